using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>
/// Arguments of <see cref="KernelNames.CopyBatch"/>: ranges that are copied at the same time. No target overlaps another target, or any source.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
public unsafe struct CopyBatchArguments
{
    /// <summary>Most ranges: with them, the arguments fit where OpenCL guarantees 1,024 bytes.</summary>
    public const int MaxRanges = 32;

    private const int RangeWords = 3;

    /// <summary>An address in the memory that all sources lie in; not read where kernels reach every address.</summary>
    public ulong Source;

    /// <summary>An address in the memory that all targets lie in; not read where kernels reach every address.</summary>
    public ulong Target;

    /// <summary>Ranges that there are.</summary>
    public uint Count;

    /// <summary>Zero.</summary>
    public uint Reserved;

    /// <summary><see cref="CopyArguments"/>[<see cref="MaxRanges"/>].</summary>
    public fixed ulong Ranges[RangeWords * MaxRanges];

    /// <summary>A range that was added.</summary>
    /// <param name="index">Below <see cref="Count"/>.</param>
    public readonly CopyArguments this[int index] => new() { Source = Ranges[RangeWords * index], Target = Ranges[(RangeWords * index) + 1], Bytes = Ranges[(RangeWords * index) + 2] };

    /// <summary>Adds a range, if there are fewer than <see cref="MaxRanges"/>.</summary>
    /// <returns>False if there is no room.</returns>
    public bool TryAdd(in CopyArguments range)
    {
        if (Count == MaxRanges)
        {
            return false;
        }

        var words = RangeWords * (int)Count++;
        Ranges[words] = range.Source;
        Ranges[words + 1] = range.Target;
        Ranges[words + 2] = range.Bytes;
        return true;
    }

    /// <summary>Whether a range must come after those that were added: one of the two would write what the other reads or writes.</summary>
    public readonly bool Conflicts(in CopyArguments range)
    {
        for (var i = 0; i < Count; i++)
        {
            var other = this[i];
            if (Overlap(range.Target, range.Bytes, other.Target, other.Bytes)
                || Overlap(range.Target, range.Bytes, other.Source, other.Bytes)
                || Overlap(range.Source, range.Bytes, other.Target, other.Bytes))
            {
                return true;
            }
        }

        return false;
    }

    private static bool Overlap(ulong a, ulong aBytes, ulong b, ulong bBytes) => a < b + bBytes && b < a + aBytes;
}
