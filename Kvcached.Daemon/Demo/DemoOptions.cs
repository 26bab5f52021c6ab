using Kvcached.Daemon.Hardware;

namespace Kvcached.Daemon.Demo;

/// <summary>What the demo runs.</summary>
internal sealed record DemoOptions
{
    public ModelShape Model { get; init; } = new();

    /// <summary>What it runs on.</summary>
    public DeviceName Device { get; init; } = DeviceName.Cpu;

    /// <summary>A second model, of another block size, that shares the pool of the evicting run; null for none.</summary>
    public ModelShape? SecondModel { get; init; }

    public WorkloadOptions Workload { get; init; } = new();

    /// <summary>The pool of the evicting run; null for a third of what the sequences need.</summary>
    public PoolSize? Pool { get; init; }

    /// <summary>Whether the evicting run's kernels know of no table, and run on contiguous windows.</summary>
    public bool HasWindows { get; init; }

    /// <summary>What prompts are cut from.</summary>
    public required ReadOnlyMemory<byte> Text { get; init; }

    /// <summary>Consecutive steps over which no managed byte may be allocated.</summary>
    public int ManagedWindowSteps { get; init; } = 200;

    /// <summary>The models of the evicting run.</summary>
    public IReadOnlyList<ModelShape> Models => SecondModel is null ? [Model] : [Model, SecondModel];

    /// <summary>Batch of the evicting run.</summary>
    public int MaxBatch { get; init; } = 12;

    /// <summary>Batch of the contiguous run.</summary>
    public int ContiguousMaxBatch { get; init; } = 32;
}
