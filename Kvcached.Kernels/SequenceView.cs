using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>What a view says about itself.</summary>
public static class ViewFlags
{
    /// <summary>Nothing to report: the view covers its blocks.</summary>
    public const uint None = 0;

    /// <summary>The step was refused for this sequence: the view has no blocks and no tokens, and kernels find nothing to do.</summary>
    public const uint Refused = 1;
}

/// <summary>
/// What a kernel gets for one sequence of a step (table ABI, <c>docs/table-abi.md</c>). Constant from the step's begin point to its
/// end point.
/// <code>
///  byte  0         4            8            12          16                   20      24           28         32
///        | RowStart | BlockCount | TokenCount | NewTokens | FirstVisibleBlock | Flags | SequenceId | Reserved |
/// </code>
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 4, Size = Bytes)]
public struct SequenceView
{
    /// <summary>Size of a view in bytes.</summary>
    public const int Bytes = 32;

    /// <summary>Index in the entry heap of this sequence's entry for block 0.</summary>
    public uint RowStart;

    /// <summary>Blocks that hold <see cref="TokenCount"/> tokens.</summary>
    public uint BlockCount;

    /// <summary>Tokens of the sequence after this step, the step's own included.</summary>
    public uint TokenCount;

    /// <summary>Tokens that this step writes: positions TokenCount − NewTokens to TokenCount − 1.</summary>
    public uint NewTokens;

    /// <summary>First block that a kernel may read (sliding window); entries before it are stale.</summary>
    public uint FirstVisibleBlock;

    /// <summary>See <see cref="ViewFlags"/>.</summary>
    public uint Flags;

    /// <summary>Number of the sequence, never given twice by one cache.</summary>
    public uint SequenceId;

    /// <summary>Zero.</summary>
    public uint Reserved;
}
