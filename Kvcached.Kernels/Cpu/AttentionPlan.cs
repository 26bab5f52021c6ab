namespace Kvcached.Kernels.Cpu;

/// <summary>
/// Sizes of an <see cref="AttentionRows"/> for one head dimension: as many rows and tokens at a time as keep its buffers in a core's
/// nearest caches. None of them changes a result.
/// </summary>
internal readonly struct AttentionPlan
{
    /// <summary>Tokens between two rescalings of the accumulator. Tiles begin at multiples of it; results depend on it.</summary>
    internal const int TileTokens = 64;

    private const int BufferFloats = 4096;
    private const int AlignmentFloats = 16;

    internal AttentionPlan(int dim, int rows)
    {
        Dim = dim;
        PaddedDim = (dim + 31) & ~31;
        Rows = rows;
        PaddedRows = rows <= 4 ? 4 : rows <= 8 ? 8 : rows <= 16 ? 16 : (rows + 31) & ~31;
        StepTokens = WithinBuffer(PaddedDim, 8);
    }

    /// <summary>Elements of a head.</summary>
    internal int Dim { get; }

    /// <summary>Dim rounded up to whole vectors.</summary>
    internal int PaddedDim { get; }

    /// <summary>Rows: (position, query head) pairs that share a KV head.</summary>
    internal int Rows { get; }

    /// <summary>Rows rounded up to whole vectors. What is computed in the lanes beyond the last row is never read.</summary>
    internal int PaddedRows { get; }

    /// <summary>Tokens whose keys or values are widened at a time.</summary>
    internal int StepTokens { get; }

    /// <summary>Whether <see cref="FourRows"/> computes groups of tokens that all rows see.</summary>
    internal bool CanStream => FourRows.IsSupported && PaddedRows == FourRows.Rows && Dim % FourRows.DimMultiple == 0 && StepTokens >= FourRows.Tokens;

    /// <summary>Floats of memory that the rows need.</summary>
    internal int Floats =>
        (PaddedRows * (Dim + TileTokens + (2 * PaddedDim) + RowState.Vectors + 4)) + (StepTokens * PaddedDim) + AlignmentFloats;

    /// <summary>Most rows that are worth computing at a time.</summary>
    internal static int MaxRows(int dim) => WithinBuffer((dim + 31) & ~31, 4);

    private static int WithinBuffer(int floats, int least) => int.Clamp(1 << int.Log2(int.Max(1, BufferFloats / floats)), least, 64);
}
