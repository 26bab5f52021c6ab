namespace Kvcached;

/// <summary>What a cache has done since it was opened, and what it holds now.</summary>
public record struct KvCacheStatistics
{
    /// <summary>Steps committed.</summary>
    public long Steps { get; init; }

    /// <summary>Steps refused (NeverFits, NoRoom).</summary>
    public long RefusedSteps { get; init; }

    /// <summary>Steps that had to wait in their lane.</summary>
    public long BusySteps { get; init; }

    /// <summary>Copies of blocks to cold memory.</summary>
    public long CleanedBlocks { get; init; }

    /// <summary>Device copies given up whose content is kept cold.</summary>
    public long EvictedBlocks { get; init; }

    /// <summary>Copies of blocks from cold memory.</summary>
    public long ReloadedBlocks { get; init; }

    /// <summary>Copies of blocks from one place of the pool to another.</summary>
    public long MovedBlocks { get; init; }

    /// <summary>Copies of blocks that emptied a segment; <see cref="MovedBlocks"/> does not count them.</summary>
    public long CompactedBlocks { get; init; }

    /// <summary>Segments emptied by compaction: by copies of their blocks, and by giving up clean ones where a step waited.</summary>
    public long CompactedSegments { get; init; }

    /// <summary>Copies of blocks that restored the order of a sequence; <see cref="MovedBlocks"/> does not count them.</summary>
    public long ReorderedBlocks { get; init; }

    /// <summary>Copy commands that copied blocks, whichever way: blocks that lie one behind the other at both ends go in one.</summary>
    public long Copies { get; init; }

    /// <summary>Runs that the blocks on the device lie in now: blocks that are neighbours in their sequence and in the pool.</summary>
    public long BlockRuns { get; init; }

    /// <summary>Blocks of a run, on average: 1 where no two neighbours lie together, 0 where there is no block.</summary>
    public readonly double MeanRunLength => BlockRuns == 0 ? 0 : (double)ResidentBlocks / BlockRuns;

    /// <summary>Bytes of segments that serve some layout, contiguous windows too: no other can use them.</summary>
    public long PoolPinnedBytes { get; init; }

    /// <summary>Bytes of the pool that may have memory behind them; what the system has given so far is <see cref="KvCache.PoolPhysicalBytes"/>.</summary>
    public long PoolPresentBytes { get; init; }

    /// <summary>Bytes of the pool that keep their memory in a trim: all of it, where no less was asked for or the device never gives memory back; whole extents, where it gives that back so.</summary>
    public long PoolFloorBytes { get; init; }

    /// <summary>Times that the pool was given memory by a device that gives it later, in extents; steps that wanted it were Busy meanwhile.</summary>
    public long PoolGrowths { get; init; }

    /// <summary>Times that the device had none to give: the pool went on with what it had.</summary>
    public long PoolGrowthsRefused { get; init; }

    /// <summary>Bytes copied to cold memory.</summary>
    public long BytesOut { get; init; }

    /// <summary>Bytes copied from cold memory.</summary>
    public long BytesIn { get; init; }

    /// <summary>Bytes moved inside the pool.</summary>
    public long BytesMoved { get; init; }

    /// <summary>Waits for a point by the application (<see cref="KvCache.Wait"/>, <see cref="KvCache.WaitAsync"/>).</summary>
    public long HostWaits { get; init; }

    /// <summary>Blocks on the device now.</summary>
    public long ResidentBlocks { get; init; }

    /// <summary>Bytes of blocks on the device now.</summary>
    public long ResidentBytes { get; init; }

    /// <summary>Bytes of the pool that contiguous windows have now.</summary>
    public long WindowBytes { get; init; }

    /// <summary>Times that a window's run of units was doubled in place.</summary>
    public long WindowsGrown { get; init; }

    /// <summary>Times that a window went to a larger run, into which it was gathered again.</summary>
    public long WindowsMoved { get; init; }

    /// <summary>Windows given up to make room.</summary>
    public long WindowsDropped { get; init; }

    /// <summary>Bytes that steps gathered into windows.</summary>
    public long BytesGathered { get; init; }

    /// <summary>Cold copies now.</summary>
    public long ColdBlocks { get; init; }

    /// <summary>Bytes of cold copies now.</summary>
    public long ColdBytes { get; init; }

    /// <summary>Most bytes of cold copies at any time.</summary>
    public long ColdBytesPeak { get; init; }

    /// <summary>Device memory that the cache has addresses for: all of the pool, whether or not it has memory now (<see cref="PoolPresentBytes"/>), the entry heap, view rings, and the staging of its lanes.</summary>
    public long DeviceBytes { get; init; }
}
