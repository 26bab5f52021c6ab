using System.Runtime.CompilerServices;

namespace Kvcached.Kernels.Cpu;

/// <summary>
/// Where the tokens of one sequence lie: the one difference between the paged kernels and their contiguous twins. A struct, so that each
/// is compiled from the same code with its own address computation.
/// </summary>
internal unsafe interface ITokenSource<TSelf>
    where TSelf : struct, ITokenSource<TSelf>
{
    static abstract TSelf Create(KvBatch* batch, int sequence);

    /// <summary>
    /// The address of a token's elements of plane 0, head 0, and how many tokens from it on follow at the shape's token stride.
    /// </summary>
    byte* Locate(int token, out int run);
}

/// <summary>Tokens in blocks of the pool: one entry is read per block. What <see cref="TableLookup"/> reads anew each time is kept.</summary>
internal readonly unsafe struct PagedTokens : ITokenSource<PagedTokens>
{
    private readonly uint* _row;
    private readonly byte* _layer;
    private readonly int _shift;
    private readonly uint _tokenStride;

    private PagedTokens(KvBatch* batch, int sequence)
    {
        var view = (SequenceView*)batch->Views + sequence;
        _row = (uint*)batch->Entries + view->RowStart;
        _layer = (byte*)batch->Pool + (batch->Layer * batch->Shape.LayerStride);
        _shift = (int)batch->Shape.TokensPerBlockShift;
        _tokenStride = batch->Shape.TokenStride;
    }

    public static PagedTokens Create(KvBatch* batch, int sequence) => new(batch, sequence);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Locate(int token, out int run)
    {
        var tokensPerBlock = 1 << _shift;
        var inBlock = token & (tokensPerBlock - 1);
        run = tokensPerBlock - inBlock;
        return _layer + TableLookup.BlockOffset(_row[token >> _shift]) + ((ulong)(uint)inBlock * _tokenStride);
    }
}

/// <summary>Tokens in a buffer of the sequence's own.</summary>
internal readonly unsafe struct ContiguousTokens : ITokenSource<ContiguousTokens>
{
    private readonly byte* _layer;
    private readonly ulong _tokenStride;

    private ContiguousTokens(KvBatch* batch, int sequence)
    {
        _layer = (byte*)((ulong*)batch->Buffers)[sequence] + (batch->Layer * batch->Shape.LayerStride);
        _tokenStride = batch->Shape.TokenStride;
    }

    public static ContiguousTokens Create(KvBatch* batch, int sequence) => new(batch, sequence);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Locate(int token, out int run)
    {
        run = int.MaxValue;
        return _layer + ((ulong)(uint)token * _tokenStride);
    }
}
