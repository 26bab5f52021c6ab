using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>
/// What the host expects of one sequence of a step, so that a view that says something else shows too. Blittable.
/// <code>
///   byte  0            4            8           12            16        20        24
///         | SequenceId | TokenCount | NewTokens | ChangedFrom | Version | Refused |
/// </code>
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 4, Size = Bytes)]
public struct StampedSequence
{
    /// <summary>Size in bytes.</summary>
    public const int Bytes = 24;

    /// <summary>Number of the sequence.</summary>
    public uint SequenceId;

    /// <summary>Its tokens after the step.</summary>
    public uint TokenCount;

    /// <summary>Tokens that the step writes, at the end.</summary>
    public uint NewTokens;

    /// <summary>First position that carries <see cref="Version"/>; those before it carry version 0.</summary>
    public uint ChangedFrom;

    /// <summary>Version of the positions from <see cref="ChangedFrom"/> on.</summary>
    public uint Version;

    /// <summary>Written by the verify kernel: 1 where the view was a refused one.</summary>
    public uint Refused;
}

/// <summary>
/// What the verify kernel counts, in memory that kernels add to atomically. The <c>First…</c> fields describe the first mismatch that a
/// worker came upon, and mean something once <see cref="MismatchedGranules"/> is not 0 and the step that counted it has ended.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 8, Size = Bytes)]
public struct StampTally
{
    /// <summary>Size in bytes.</summary>
    public const int Bytes = 64;

    /// <summary>Granules that were compared.</summary>
    public long VerifiedGranules;

    /// <summary>Granules that held something else, or that no entry led to.</summary>
    public long MismatchedGranules;

    /// <summary>1 once a worker has claimed the fields below.</summary>
    public int FirstClaimed;

    /// <summary>Sequence of the first mismatch.</summary>
    public uint FirstSequence;

    /// <summary>Its position.</summary>
    public uint FirstPosition;

    /// <summary>Its granule inside the token.</summary>
    public uint FirstGranule;

    /// <summary>Offset of the granule in the pool; <see cref="ulong.MaxValue"/> where the view or the entry was wrong.</summary>
    public ulong FirstPoolOffset;
}

/// <summary>
/// Arguments of <see cref="KernelNames.Stamp"/> and <see cref="KernelNames.Verify"/>. The layout must keep a token's bytes together: one layer,
/// one plane, token-major, <see cref="KvShape.TokenStride"/> a multiple of a granule.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
public struct StampArguments
{
    /// <summary>Address of the pool.</summary>
    public ulong Pool;

    /// <summary>Bytes of the pool: no entry may lead past them.</summary>
    public ulong PoolBytes;

    /// <summary>Address of the entry heap.</summary>
    public ulong Entries;

    /// <summary>Address of the step's views.</summary>
    public ulong Views;

    /// <summary>Address of one <see cref="StampedSequence"/> for each view.</summary>
    public ulong Sequences;

    /// <summary>Address of the <see cref="StampTally"/> to add to (verify).</summary>
    public ulong Tally;

    /// <summary>Strides of the layout.</summary>
    public KvShape Shape;

    /// <summary>Views of the step.</summary>
    public int Count;
}
