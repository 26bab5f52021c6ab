namespace Kvcached.Memory;

/// <summary>
/// Where a block lies in an arena: its segment (named by first unit) and its number in it, in 32 bits, since every block's state and every
/// reservation holds one. The default is nowhere.
/// </summary>
internal readonly record struct BlockAddress : IComparable<BlockAddress>
{
    private const int BlockBits = 13;

    /// <summary>Units of the largest arena: 1 TiB of 2 MiB each.</summary>
    public const int MaxUnits = 1 << (32 - BlockBits);

    /// <summary>Blocks of the fullest segment. One fewer than the bits can tell, so that no address looks like the default.</summary>
    public const int MaxBlocks = (1 << BlockBits) - 1;

    private readonly uint _inverted;

    public BlockAddress(int segment, int block)
    {
        System.Diagnostics.Debug.Assert((uint)segment < MaxUnits && (uint)block < MaxBlocks);
        _inverted = ~(((uint)segment << BlockBits) | (uint)block);
    }

    public int Segment => (int)(~_inverted >> BlockBits);

    public int Block => (int)(~_inverted & MaxBlocks);

    public bool IsNone => _inverted == 0;

    /// <summary>The block after it in its segment, if there is one.</summary>
    public BlockAddress Next => new(Segment, Block + 1);

    /// <summary>The order of addresses.</summary>
    public int CompareTo(BlockAddress other) => other._inverted.CompareTo(_inverted);
}
