namespace Kvcached.Memory;

/// <summary>
/// What a block of a segment is used for, in 32 bits: held (by whom is the reverse map), reserved by a plan, pending (freed, its frontier not
/// observed), or free.
/// <code>
///   0…  holder    10…  free    11…  pending node    all ones  reserved
/// </code>
/// </summary>
internal readonly record struct BlockUse
{
    private const int Value = (1 << 30) - 1;
    private const int PendingTag = int.MinValue | (1 << 30);

    private readonly int _bits;

    private BlockUse(int bits) => _bits = bits;

    public static BlockUse Free => new(int.MinValue);

    /// <summary>Handed out, and its holder not told yet: a plan's reservation.</summary>
    public static BlockUse Reserved => new(-1);

    public bool IsReserved => _bits == -1;

    public bool IsHeld => _bits >= 0;

    public bool IsPending => (_bits & PendingTag) == PendingTag && !IsReserved;

    /// <summary>Who holds the block, if it is held.</summary>
    public int Holder => _bits;

    /// <summary>Where its frontier is kept, if it is pending.</summary>
    public int Node => _bits & Value;

    public static BlockUse HeldBy(int holder) => new(holder);

    public static BlockUse Pending(int node) => new(PendingTag | node);
}
