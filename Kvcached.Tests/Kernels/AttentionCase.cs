using Kvcached.Kernels;

namespace Kvcached.Tests.Kernels;

/// <summary>The shape of a random attention problem.</summary>
internal sealed record AttentionCase
{
    internal KvElementType ElementType { get; init; } = KvElementType.Float16;

    internal KvAxisOrder AxisOrder { get; init; } = KvAxisOrder.TokenMajor;

    internal int KvHeads { get; init; } = 2;

    internal int Group { get; init; } = 4;

    internal int HeadDim { get; init; } = 64;

    internal int TokensPerBlock { get; init; } = 16;

    internal int Layers { get; init; } = 2;

    internal int Layer { get; init; } = 1;

    internal int WindowTokens { get; init; }

    /// <summary>Tokens of each sequence, and how many of them are new.</summary>
    internal (int Tokens, int New)[] Sequences { get; init; } = [(1, 1), (16, 1), (17, 5), (300, 40), (777, 777)];

    internal int Seed { get; init; } = 1;

    internal int QueryHeads => KvHeads * Group;

    internal ElementFormat Format => (ElementFormat)(uint)ElementType;

    internal KvShape Shape => new KvLayout
    {
        Layers = Layers,
        Heads = KvHeads,
        HeadDim = HeadDim,
        ElementType = ElementType,
        TokensPerBlock = TokensPerBlock,
        AxisOrder = AxisOrder,
    }.ToShape();

    public override string ToString() =>
        $"{ElementType} {AxisOrder} {KvHeads}x{Group} dim {HeadDim} blocks of {TokensPerBlock} window {WindowTokens}: {string.Join(' ', Sequences)}";
}
