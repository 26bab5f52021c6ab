namespace Kvcached.Tests.Paged;

/// <summary>How a kernel of the outside world finds the pages of a sequence.</summary>
internal interface IPageForm
{
    static abstract string Name { get; }

    /// <summary>Tokens of a sequence, counted from the first page that the form lists.</summary>
    int Tokens(int sequence, int pageTokens);

    /// <summary>A page of a sequence, by its place in the sequence.</summary>
    int Page(int sequence, int index);
}

/// <summary>What FlashAttention and vLLM take: <c>int32 block_table[batch, max_blocks]</c> and sequence lengths.</summary>
internal unsafe struct BlockTableForm : IPageForm
{
    public int* BlockTable;
    public int* SequenceLengths;
    public long RowStride;

    public static string Name => "block table";

    public readonly int Tokens(int sequence, int pageTokens) => SequenceLengths[sequence];

    public readonly int Page(int sequence, int index) => BlockTable[(sequence * RowStride) + index];
}

/// <summary>What FlashInfer takes: the rows of a sparse matrix of pages.</summary>
internal unsafe struct CsrForm : IPageForm
{
    public int* Indptr;
    public int* Indices;
    public int* LastPageLengths;

    public static string Name => "CSR";

    public readonly int Tokens(int sequence, int pageTokens)
    {
        var pages = Indptr[sequence + 1] - Indptr[sequence];
        return pages == 0 ? 0 : ((pages - 1) * pageTokens) + LastPageLengths[sequence];
    }

    public readonly int Page(int sequence, int index) => Indices[Indptr[sequence] + index];
}
