using System.Numerics;
using Kvcached.Kernels;

namespace Kvcached;

/// <summary>Type of a KV element.</summary>
public enum KvElementType
{
    /// <summary>8 bits (fp8, int8): stored, moved and reloaded.</summary>
    Byte,

    /// <summary>IEEE 754 binary16.</summary>
    Float16,

    /// <summary>bfloat16.</summary>
    BFloat16,

    /// <summary>IEEE 754 binary32.</summary>
    Float32,
}

/// <summary>Order of the axes inside one plane of one layer of a block.</summary>
public enum KvAxisOrder
{
    /// <summary>[token][head][dim] (NHD).</summary>
    TokenMajor,

    /// <summary>[head][token][dim] (HND).</summary>
    HeadMajor,
}

/// <summary>
/// A model's shape: what one block holds. A block is [layer][plane] followed by the axes in <see cref="AxisOrder"/>, its size rounded up to
/// 256 bytes, or to a power of two (<see cref="PageTable"/>). A layout may cover all layers of a model or a group of them.
/// </summary>
public sealed record KvLayout
{
    /// <summary>Planes: 2 for K and V, 1 for an MLA latent or an activation checkpoint.</summary>
    public int Planes { get; init; } = 2;

    /// <summary>Layers that a block covers.</summary>
    public required int Layers { get; init; }

    /// <summary>KV heads; 1 for an MLA latent.</summary>
    public required int Heads { get; init; }

    /// <summary>Elements of one head of one token.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Type of an element.</summary>
    public KvElementType ElementType { get; init; } = KvElementType.Float16;

    /// <summary>Tokens in a block: a power of two, at most 1,024.</summary>
    public int TokensPerBlock { get; init; } = 16;

    /// <summary>Order of the axes.</summary>
    public KvAxisOrder AxisOrder { get; init; } = KvAxisOrder.TokenMajor;

    /// <summary>Sliding window in tokens: a kernel reads the last this many; 0 for all.</summary>
    public int WindowTokens { get; init; }

    /// <summary>
    /// Whether steps publish page tables of the layout, for kernels that find KV by page number: on lanes with <see cref="KvLaneOptions.MaxPages"/>.
    /// Block bytes are then rounded up to a power of two of at least 512, and blocks lie at multiples of it.
    /// </summary>
    public bool PageTable { get; init; }

    /// <summary>Strides of the layout.</summary>
    /// <exception cref="KvException">A member is out of range.</exception>
    public KvShape ToShape()
    {
        CheckRange(nameof(Planes), Planes, 1, 16);
        CheckRange(nameof(Layers), Layers, 1, 1024);
        CheckRange(nameof(Heads), Heads, 1, 1024);
        CheckRange(nameof(HeadDim), HeadDim, 1, 16384);
        CheckRange(nameof(TokensPerBlock), TokensPerBlock, 1, 1024);
        CheckRange(nameof(WindowTokens), WindowTokens, 0, int.MaxValue);
        if (!int.IsPow2(TokensPerBlock))
        {
            throw new KvException(KvError.InvalidArgument, $"TokensPerBlock is {TokensPerBlock}; it must be a power of two.");
        }

        var elementBytes = ElementType switch
        {
            KvElementType.Byte => 1,
            KvElementType.Float16 or KvElementType.BFloat16 => 2,
            KvElementType.Float32 => 4,
            _ => throw new KvException(KvError.InvalidArgument, $"ElementType {(int)ElementType} is not defined."),
        };
        if (AxisOrder is not (KvAxisOrder.TokenMajor or KvAxisOrder.HeadMajor))
        {
            throw new KvException(KvError.InvalidArgument, $"AxisOrder {(int)AxisOrder} is not defined.");
        }

        var tokenMajor = AxisOrder == KvAxisOrder.TokenMajor;
        var vectorBytes = (long)HeadDim * elementBytes;
        var planeBytes = vectorBytes * Heads * TokensPerBlock;
        var layerBytes = planeBytes * Planes;
        var blockBytes = PageTable
            ? Math.Max(MinPageBytes, (long)BitOperations.RoundUpToPowerOf2((ulong)(layerBytes * Layers)))
            : RoundUp(layerBytes * Layers, KvShape.GranuleBytes);
        if (blockBytes > MaxBlockBytes)
        {
            throw new KvException(KvError.InvalidArgument, $"A block of this layout has {blockBytes} bytes; the limit is {MaxBlockBytes}.");
        }

        return new KvShape
        {
            BlockBytes = (ulong)blockBytes,
            LayerStride = (ulong)layerBytes,
            PlaneStride = (uint)planeBytes,
            HeadStride = (uint)(tokenMajor ? vectorBytes : vectorBytes * TokensPerBlock),
            TokenStride = (uint)(tokenMajor ? vectorBytes * Heads : vectorBytes),
            TokensPerBlockShift = (uint)int.Log2(TokensPerBlock),
            Layers = (uint)Layers,
            Planes = (uint)Planes,
            Heads = (uint)Heads,
            HeadDim = (uint)HeadDim,
            ElementBytes = (uint)elementBytes,
            PageShift = PageTable ? (uint)BitOperations.Log2((ulong)blockBytes) : 0,
        };
    }

    /// <summary>The sliding windows of layouts.</summary>
    internal static int[] WindowsOf(ReadOnlySpan<KvLayout> layouts)
    {
        var windows = new int[layouts.Length];
        for (var i = 0; i < layouts.Length; i++)
        {
            windows[i] = layouts[i].WindowTokens;
        }

        return windows;
    }

    /// <summary>Largest block.</summary>
    public const long MaxBlockBytes = 1L << 30;

    /// <summary>Smallest block with a page number: the numbers of the largest pool fit in 31 bits.</summary>
    private const long MinPageBytes = KvCacheOptions.MaxPoolBytes >> 31;

    private static long RoundUp(long value, long multiple) => (value + multiple - 1) / multiple * multiple;

    private static void CheckRange(string name, int value, int min, int max)
    {
        if (value < min || value > max)
        {
            throw new KvException(KvError.InvalidArgument, $"{name} is {value}; it must be between {min} and {max}.");
        }
    }
}
