namespace Kvcached.Bench.Fragmentation;

/// <summary>What one stride came to. Bytes.</summary>
internal sealed record RetainedRow(int Stride, long Held, long PinnedBefore, long PinnedAfter, long Limit, long MovedBlocks, long Mismatched)
{
    public double RatioBefore => (double)PinnedBefore / Held;

    public double RatioAfter => (double)PinnedAfter / Held;

    public bool Holds => PinnedAfter <= Limit && Mismatched == 0;
}

/// <summary>What the system got back at one stride. Bytes.</summary>
internal sealed record ReturnedRow(int Stride, long Before, long Evicted, long Returned, long HeldBySystem, long Floor, long Mismatched)
{
    /// <summary>After a trim the system holds what the survivors need, or the floor.</summary>
    public bool Holds(ReturnedRow first) => Mismatched == 0 && Returned == first.Returned && HeldBySystem <= Floor;
}

/// <summary>
/// The scenarios by which peers that free whole 2 MiB pages were measured: what scattered survivors pin, and what evicting the others gives back. On the cpu
/// device; every survivor's bytes are verified through the table afterwards.
/// </summary>
internal static class StrideScenarios
{
    private const int RetainedOf = 16_384;
    private const int CachedBefore = 4096;
    private const int Survivors = 512;

    /// <summary>Retains every n-th of 16,384 blocks of 16 KiB.</summary>
    public static RetainedRow Retain(int stride)
    {
        using var blocks = new CachedBlocks(RetainedOf, KvCacheOptions.UnitBytes);
        blocks.Retain(i => i % stride == 0);
        var before = blocks.Statistics;
        blocks.Trim();
        var after = blocks.Statistics;
        var limit = Segments(blocks.HeldBytes) + KvCacheOptions.UnitBytes;
        return new RetainedRow(stride, blocks.HeldBytes, before.PoolPinnedBytes, after.PoolPinnedBytes, limit, after.CompactedBlocks - before.CompactedBlocks, blocks.Verify());
    }

    /// <summary>Evicts 3,584 of 4,096 cached blocks; the survivors lie at a stride.</summary>
    public static ReturnedRow Return(int stride)
    {
        var floor = Segments((long)Survivors * CachedBlocks.BlockBytes);
        using var blocks = new CachedBlocks(CachedBefore, floor);
        var before = blocks.PhysicalBytes;
        blocks.Retain(i => i % stride == 0 && i / stride < Survivors);
        var evicted = blocks.PhysicalBytes;
        blocks.Trim();
        var after = blocks.PhysicalBytes;
        return new ReturnedRow(stride, before, evicted, before - after, after, floor, blocks.Verify());
    }

    private static long Segments(long bytes) => (bytes + KvCacheOptions.UnitBytes - 1) / KvCacheOptions.UnitBytes * KvCacheOptions.UnitBytes;
}
