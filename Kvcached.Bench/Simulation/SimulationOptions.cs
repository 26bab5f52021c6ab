namespace Kvcached.Bench.Simulation;

/// <summary>A program that is drawn, and how it is run.</summary>
public sealed record SimulationOptions : RunOptions
{
    /// <summary>Seed of program, sizes and interleaving.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Operations of the program.</summary>
    public int Operations { get; init; } = 2000;

    /// <summary>Clients that share the pool.</summary>
    public int Clients { get; init; } = 3;

    /// <summary>The command that replays this run.</summary>
    public string Replay => $"dotnet run -c Release --project Kvcached.Bench -- simulate --seeds 1 --first {Seed} --ops {Operations} --clients {Clients}"
        + string.Concat(Dropped.Select(order => $" --drop \"{order}\""));
}

/// <summary>How a program is run.</summary>
public record RunOptions
{
    /// <summary>Orders that the run does without.</summary>
    public IReadOnlyList<DroppedOrder> Dropped { get; init; } = [];

    /// <summary>Rule that is broken, by name, where the assembly is built so that rules can be (<c>docs/simulation.md</c>).</summary>
    public string Fault { get; init; } = nameof(Memory.RuleFault.None);

    /// <summary>Gets a line for each submission and slice.</summary>
    public TextWriter? Trace { get; init; }

    /// <summary>Gets the set-up, and a line for each operation.</summary>
    public TextWriter? Log { get; init; }
}
