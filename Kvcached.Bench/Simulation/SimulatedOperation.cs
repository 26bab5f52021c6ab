using System.Text.Json.Serialization;

namespace Kvcached.Bench.Simulation;

/// <summary>
/// One operation of a simulated program, and what host and device do around it. Its numbers are raw choices, read modulo what there is to choose
/// from when it runs; one that finds nothing to act on does nothing. So any operations, in any order, are a program, and so are smaller numbers.
/// </summary>
public readonly record struct SimulatedOperation
{
    /// <summary>What the client does.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public SimulatedCommand Command { get; init; }

    /// <summary>Which client.</summary>
    public int Client { get; init; }

    /// <summary>Which of the client's lanes.</summary>
    public int Lane { get; init; }

    /// <summary>Which of the client's sequences: the first that lives from this slot on; a step begins its batch there, and one that is created takes the first free slot.</summary>
    public int Slot { get; init; }

    /// <summary>Sequences that a step takes at most, less one.</summary>
    public int Others { get; init; }

    /// <summary>New tokens of each sequence of a step, a byte each.</summary>
    public uint Tokens { get; init; }

    /// <summary>
    /// A step writes nothing, and its client runs no kernel for it but signals its end at once, begun or not. Only a client with one lane does
    /// so: kernels of its own other lane would miss what orders them after the publish.
    /// </summary>
    public bool EndsEarly { get; init; }

    /// <summary>How far a truncate or a commit goes, which blocks a move takes, what limits the client's tenant gets, and which of the condemned clients is proved gone.</summary>
    public int Amount { get; init; }

    /// <summary>Before: the host does not read the timelines.</summary>
    public bool SkipsTurn { get; init; }

    /// <summary>After: the lane's kernels are held; or, if any lane's are, let go.</summary>
    public bool SwitchesStall { get; init; }

    /// <summary>After: the client's kernels are held for ever; for the first operation that says so.</summary>
    public bool StallsForEver { get; init; }

    /// <summary>After: slices that the device runs; <see cref="UntilIdle"/> for all that can.</summary>
    public int Slices { get; init; }

    /// <summary>Amounts that are drawn.</summary>
    internal const int Choices = 1 << 16;

    /// <summary>As a number of slices: all that can run.</summary>
    public const int UntilIdle = -1;

    /// <summary>New tokens of a step's item.</summary>
    public int TokensOf(int item) => (byte)(Tokens >> (8 * item));
}
