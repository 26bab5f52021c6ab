using Kvcached.Devices;

namespace Kvcached.Engine;

/// <summary>Sizes and memory of an engine.</summary>
internal sealed record EngineOptions
{
    /// <summary>The pool.</summary>
    public required DeviceMemory Pool { get; init; }

    /// <summary>Bytes of the pool that always have memory behind them; the others get it when they are first used, and lose it in a trim.</summary>
    public long? PoolFloorBytes { get; init; }

    /// <summary>The entry heap.</summary>
    public required DeviceMemory Entries { get; init; }

    /// <summary>The cold tier, if there is one.</summary>
    public DeviceMemory? Cold { get; init; }

    /// <summary>Bytes of a unit of pool and cold tier. 2 MiB; simulations use less.</summary>
    public required long UnitBytes { get; init; }

    /// <summary>Bytes of the heap that serve one size of row at a time.</summary>
    public required long RowUnitBytes { get; init; }

    public required int MaxSequences { get; init; }

    /// <summary>Blocks that one turn may clean ahead of need while the background queue is idle; 0 for none.</summary>
    public required int CleanAheadBlocks { get; init; }

    /// <summary>Bytes that one turn may move to compact the pool while the background queue is idle; 0 for none.</summary>
    public long CompactionBytes { get; init; }
}
