namespace Kvcached.Bench.Simulation;

/// <summary>A random program over the engine, on the simulated device: everything follows from these.</summary>
public sealed record SimulationOptions
{
    /// <summary>Seed of program, sizes and interleaving.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Operations of the program.</summary>
    public int Operations { get; init; } = 2000;

    /// <summary>Clients that share the pool.</summary>
    public int Clients { get; init; } = 3;

    /// <summary>Orders that the run does without.</summary>
    public IReadOnlyList<DroppedOrder> Dropped { get; init; } = [];

    /// <summary>Rule that is broken, by name, where the assembly is built so that rules can be (<c>docs/simulation.md</c>).</summary>
    public string Fault { get; init; } = nameof(Memory.RuleFault.None);

    /// <summary>Gets a line for each submission and slice.</summary>
    public TextWriter? Trace { get; init; }

    /// <summary>The command that replays this run.</summary>
    public string Replay => $"dotnet run -c Release --project Kvcached.Bench -- simulate --seeds 1 --first {Seed} --ops {Operations} --clients {Clients}"
        + string.Concat(Dropped.Select(order => $" --drop \"{order}\""));
}

/// <summary>What a run came to.</summary>
public sealed record SimulationResult
{
    /// <summary>The violation, if there was one.</summary>
    public string? Violation { get; init; }

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
