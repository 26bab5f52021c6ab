namespace Kvcached.Devices.Sim;

/// <summary>What a program on the simulated device did wrong.</summary>
public enum SimViolationKind
{
    /// <summary>Two conflicting accesses that no chain of points orders.</summary>
    Race,

    /// <summary>A submission waits, in the end, for itself (I11).</summary>
    Cycle,

    /// <summary>A wait names a point that is neither reached, nor submitted, nor promised (I11).</summary>
    UnpromisedWait,

    /// <summary>A client's lane waits for another client, or the background queue for a lane (I3).</summary>
    ForeignWait,

    /// <summary>A kernel found something wrong in what it read.</summary>
    Content,

    /// <summary>A kernel reached outside all memory.</summary>
    OutOfRange,

    /// <summary>Memory that was discarded was touched before it was populated again, or without being ordered after that; or was populated without having been discarded.</summary>
    Absent,

    /// <summary>Memory was disposed while submissions that name it had not ended.</summary>
    DisposedInUse,
}

/// <summary>A violation: what, where, and the seed that shows it again.</summary>
/// <param name="Kind">The kind.</param>
/// <param name="Message">All of it in words, with the command that replays the run if the options gave one.</param>
/// <param name="Seed">The run's seed.</param>
/// <param name="First">The earlier submission involved, if any: <c>queue#index (kinds of command, signal)</c>.</param>
/// <param name="Second">The later submission involved, if any.</param>
/// <param name="Memory">Label of the memory, if any.</param>
/// <param name="Offset">First byte of the cell in that memory.</param>
public sealed record SimViolation(
    SimViolationKind Kind, string Message, ulong Seed, string First = "", string Second = "", string Memory = "", long Offset = 0);

/// <summary>Thrown by the call that found a violation; the run is over.</summary>
public sealed class SimViolationException(SimViolation violation) : Exception(violation.Message)
{
    /// <summary>What was found.</summary>
    public SimViolation Violation { get; } = violation;
}

/// <summary>A program has more queues and hosts at once than a simulated device can follow: it is not that anything is wrong with it.</summary>
public sealed class SimFullException(string message) : Exception(message);
