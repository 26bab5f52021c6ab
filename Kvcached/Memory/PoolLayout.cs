namespace Kvcached.Memory;

/// <summary>A block size of a tenant in an arena: the segments that serve it, and what of them is in use. Owned by <see cref="BlockPool"/>.</summary>
internal struct PoolLayout
{
    /// <summary>A segment may lose at most this fraction to the tail that no block fits in.</summary>
    private const int TailFraction = 16;

    public readonly long BlockBytes;

    /// <summary>Whose blocks they are: a segment has blocks of one tenant.</summary>
    public readonly int Tenant;

    /// <summary>Its segments have 2^Order units: as few as keep the tail small.</summary>
    public readonly int Order;

    /// <summary>Blocks of a segment.</summary>
    public readonly int Capacity;

    /// <summary>Whether a block is a whole segment, to the last byte.</summary>
    public readonly bool IsWhole(long unitBytes) => Capacity == 1 && BlockBytes == unitBytes << Order;

    /// <summary>The segments that have blocks to hand out.</summary>
    public SegmentLists Free = new();

    public int EmptySegments;
    public int Segments;

    /// <summary>Blocks in use.</summary>
    public int Used;

    public PoolLayout(long blockBytes, int tenant, long unitBytes)
    {
        BlockBytes = blockBytes;
        Tenant = tenant;
        while (unitBytes << Order < blockBytes || (unitBytes << Order) % blockBytes * TailFraction > unitBytes << Order)
        {
            Order++;
        }

        Capacity = (int)Math.Min((unitBytes << Order) / blockBytes, BlockAddress.MaxBlocks);
    }
}
