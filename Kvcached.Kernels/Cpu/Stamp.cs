using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Kvcached.Kernels.Cpu;

/// <summary>
/// What a stamped granule holds: 32 words, all made from sequence, position, version and the granule's place in its token. No two words
/// of a granule are equal and a granule of another token is unrelated, so a flipped bit, a block that lies elsewhere and content
/// of an earlier version all show.
/// <code>
///   key     = Mix(sequence, version)                  once per sequence
///   token   = Mix(key + position × odd)               once per token
///   granule = token + granule × odd
///   word k  = granule XOR WordSalt[k]                 k = 0 … 31
/// </code>
/// </summary>
public static class Stamp
{
    /// <summary>64-bit words of a granule.</summary>
    public const int WordsPerGranule = KvShape.GranuleBytes / sizeof(ulong);

    private const ulong PositionStep = 0x9E3779B97F4A7C15;
    private const ulong GranuleStep = 0xD1B54A32D192ED03;
    private const ulong SaltStep = 0x2545F4914F6CDD1D;

    /// <summary>What all stamps of one version of a sequence have in common.</summary>
    /// <param name="sequence">Number of the sequence, as its views carry it.</param>
    /// <param name="version">Version of the content, which a truncation raises.</param>
    public static ulong Key(uint sequence, uint version) => Mix((((ulong)version << 32) | sequence) + SaltStep);

    /// <summary>Stamp of granule 0 of a token.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Token(ulong key, uint position) => Mix(key + (position * PositionStep));

    /// <summary>Stamp of a granule of a token.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Granule(ulong token, uint granule) => token + (granule * GranuleStep);

    /// <summary>Word <paramref name="index"/> of a granule.</summary>
    public static ulong Word(ulong granule, int index) => granule ^ ((ulong)index * SaltStep);

    /// <summary>What the words of quarter <paramref name="quarter"/> of a granule differ by from its stamp.</summary>
    internal static Vector512<ulong> Salt(int quarter)
    {
        var first = (ulong)quarter * (ulong)Vector512<ulong>.Count;
        return Vector512.Create(
            first * SaltStep,
            (first + 1) * SaltStep,
            (first + 2) * SaltStep,
            (first + 3) * SaltStep,
            (first + 4) * SaltStep,
            (first + 5) * SaltStep,
            (first + 6) * SaltStep,
            (first + 7) * SaltStep);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}

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
/// Arguments of <see cref="StampKernel"/> and <see cref="VerifyKernel"/>. The layout must keep a token's bytes together: one layer,
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
