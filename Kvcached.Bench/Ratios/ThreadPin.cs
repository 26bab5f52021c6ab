using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Keeps a thread on one processor and reads the time that it has run: what others do on a shared machine is then left out of what is measured,
/// but for what they do to the caches. Linux, 64 bit.
/// </summary>
internal static unsafe partial class ThreadPin
{
    private const int MaskWords = 16;
    private const int ThreadCpuTime = 3;

    /// <summary>Pins the calling thread to the last processor that it may run on.</summary>
    public static void PinCurrent()
    {
        var mask = stackalloc ulong[MaskWords];
        new Span<ulong>(mask, MaskWords).Clear();
        Check(GetAffinity(0, MaskWords * sizeof(ulong), mask));
        var word = MaskWords - 1;
        while (mask[word] == 0)
        {
            word--;
        }

        mask[word] = 1UL << (63 - System.Numerics.BitOperations.LeadingZeroCount(mask[word]));
        new Span<ulong>(mask, word).Clear();
        Check(SetAffinity(0, MaskWords * sizeof(ulong), mask));
    }

    /// <summary>Nanoseconds that the calling thread has run.</summary>
    public static long Nanoseconds()
    {
        var time = stackalloc long[2];
        Check(GetTime(ThreadCpuTime, time));
        return (time[0] * 1_000_000_000) + time[1];
    }

    private static void Check(int result)
    {
        if (result < 0)
        {
            throw new Win32Exception(Marshal.GetLastPInvokeError());
        }
    }

    [LibraryImport("libc", EntryPoint = "sched_getaffinity", SetLastError = true)]
    private static partial int GetAffinity(int thread, nuint bytes, ulong* mask);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity", SetLastError = true)]
    private static partial int SetAffinity(int thread, nuint bytes, ulong* mask);

    [LibraryImport("libc", EntryPoint = "clock_gettime", SetLastError = true)]
    private static partial int GetTime(int clock, long* time);
}
