namespace Kvcached.Bench.Simulation;

/// <summary>How a run is to be read.</summary>
public enum SimulationOutcome
{
    /// <summary>It did what it was to do, and nothing was wrong.</summary>
    Pass,

    /// <summary>Something was wrong.</summary>
    Violation,

    /// <summary>Nothing was wrong, but the run did not do what it was to do: it says nothing.</summary>
    Inconclusive,
}

/// <summary>What a run came to.</summary>
public sealed record SimulationResult
{
    /// <summary>The violation, if there was one; of a program that was drawn, with the command that replays it.</summary>
    public string? Violation { get; init; }

    /// <summary>What kind of violation: the same for two that differ in places and numbers alone.</summary>
    public string? ViolationKind { get; init; }

    /// <summary>Why the run shows nothing, if it has found no violation and does not.</summary>
    public string? Inconclusive { get; init; }

    /// <summary>How the run is to be read.</summary>
    public SimulationOutcome Outcome => Violation is not null ? SimulationOutcome.Violation : Inconclusive is not null ? SimulationOutcome.Inconclusive : SimulationOutcome.Pass;

    /// <summary>Hash of all that was submitted and run.</summary>
    public required ulong TraceHash { get; init; }

    /// <summary>Operations by kind, and what became of them.</summary>
    public required SimulationCoverage Coverage { get; init; }

    /// <summary>Every class of order that there was.</summary>
    public required IReadOnlyList<DroppedOrder> Orders { get; init; }

    /// <summary>Waits of the dropped reasons that were dropped, and those that a wait which stayed implied.</summary>
    public long DroppedWaits { get; init; }

    /// <summary>See <see cref="DroppedWaits"/>.</summary>
    public long ImpliedWaits { get; init; }

    /// <summary>Operations that were planned before the end.</summary>
    public int Operations { get; init; }

    /// <summary>Operations of the program that were read before the end: those that came to nothing too.</summary>
    public int ReadOperations { get; init; }
}
