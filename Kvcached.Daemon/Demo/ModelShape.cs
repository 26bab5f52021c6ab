using Kvcached.Daemon.Demo.Kernels;

namespace Kvcached.Daemon.Demo;

/// <summary>Sizes of the demo's transformer: decoder-only, RMSNorm, RoPE, grouped-query attention, SwiGLU, bytes as tokens.</summary>
internal sealed record ModelShape
{
    public int Layers { get; init; } = 8;

    /// <summary>Hidden size: a multiple of <see cref="MatMul.PanelColumns"/>.</summary>
    public int Hidden { get; init; } = 512;

    public int QueryHeads { get; init; } = 8;

    /// <summary>Heads of keys and values: divides <see cref="QueryHeads"/>.</summary>
    public int KvHeads { get; init; } = 4;

    public int HeadDim { get; init; } = 64;

    /// <summary>Size of the feed-forward layer: a multiple of <see cref="MatMul.PanelColumns"/>.</summary>
    public int FeedForward { get; init; } = 1120;

    /// <summary>Tokens that there are: bytes.</summary>
    public int Vocabulary { get; init; } = 256;

    /// <summary>Longest sequence.</summary>
    public int MaxContext { get; init; } = 2048;

    public int TokensPerBlock { get; init; } = 16;

    public KvAxisOrder AxisOrder { get; init; }

    /// <summary>A model beside the usual one: fewer layers, a key for every query, other blocks.</summary>
    public static ModelShape Second { get; } = new() { Layers = 3, KvHeads = 8, TokensPerBlock = 8 };

    /// <summary>Models of which no two have blocks of the same size: the usual one first.</summary>
    public static IReadOnlyList<ModelShape> Variants { get; } =
    [
        new(),
        Second,
        new() { Layers = 6, QueryHeads = 16, HeadDim = 32, TokensPerBlock = 32, AxisOrder = KvAxisOrder.HeadMajor },
        new() { Layers = 5, QueryHeads = 4, KvHeads = 2, HeadDim = 128, TokensPerBlock = 4, AxisOrder = KvAxisOrder.HeadMajor },
    ];

    public int QueryColumns => QueryHeads * HeadDim;

    public int KvColumns => KvHeads * HeadDim;

    public long Parameters
    {
        get
        {
            var attention = (long)Hidden * 2 * (QueryColumns + KvColumns);
            var feedForward = 3L * Hidden * FeedForward;
            var gains = 2L * Hidden;
            return (Layers * (attention + feedForward + gains)) + (2L * Vocabulary * Hidden) + Hidden;
        }
    }

    /// <summary>The KV cache's layout: all layers in one block, fp16.</summary>
    public KvLayout Layout => new()
    {
        Layers = Layers,
        Heads = KvHeads,
        HeadDim = HeadDim,
        ElementType = KvElementType.Float16,
        TokensPerBlock = TokensPerBlock,
        AxisOrder = AxisOrder,
    };

    public long BlockBytes => (long)Layout.ToShape().BlockBytes;

    /// <summary>Blocks that hold <paramref name="tokens"/> tokens.</summary>
    public int Blocks(int tokens) => (tokens + TokensPerBlock - 1) / TokensPerBlock;
}
