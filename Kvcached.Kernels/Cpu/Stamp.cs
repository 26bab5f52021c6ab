using System.Runtime.CompilerServices;
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
