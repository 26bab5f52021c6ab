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

    /// <summary>The last processor that the calling thread may run on.</summary>
    public static int LastProcessor() => Processors()[^1];

    /// <summary>The processors that the calling thread may run on, in ascending order.</summary>
    public static int[] Processors()
    {
        var mask = stackalloc ulong[MaskWords];
        new Span<ulong>(mask, MaskWords).Clear();
        Check(GetAffinity(0, MaskWords * sizeof(ulong), mask));
        var processors = new List<int>();
        for (var i = 0; i < MaskWords * 64; i++)
        {
            if ((mask[i / 64] >> (i % 64) & 1) != 0)
            {
                processors.Add(i);
            }
        }

        return [.. processors];
    }

    /// <summary>Pins the calling thread to a processor.</summary>
    public static void PinCurrent(int processor)
    {
        var mask = stackalloc ulong[MaskWords];
        new Span<ulong>(mask, MaskWords).Clear();
        mask[processor / 64] = 1UL << (processor % 64);
        Check(SetAffinity(0, MaskWords * sizeof(ulong), mask));
    }

    /// <summary>Keeps all threads that the process has by now off a processor. Where there is no other, nothing changes.</summary>
    public static void KeepAllOff(int processor)
    {
        var mask = stackalloc ulong[MaskWords];
        new Span<ulong>(mask, MaskWords).Fill(ulong.MaxValue);
        mask[processor / 64] &= ~(1UL << (processor % 64));
        ForEachThread(mask);
    }

    /// <summary>Lets all threads of the process run on all processors that it is given.</summary>
    public static void LetAllRun()
    {
        var mask = stackalloc ulong[MaskWords];
        new Span<ulong>(mask, MaskWords).Fill(ulong.MaxValue);
        ForEachThread(mask);
    }

    /// <summary>Nanoseconds that the calling thread has run.</summary>
    public static long Nanoseconds()
    {
        var time = stackalloc long[2];
        Check(GetTime(ThreadCpuTime, time));
        return (time[0] * 1_000_000_000) + time[1];
    }

    private static void ForEachThread(ulong* mask)
    {
        foreach (var task in Directory.EnumerateDirectories("/proc/self/task"))
        {
            // A thread that has ended meanwhile needs none.
            _ = SetAffinity(int.Parse(Path.GetFileName(task)), MaskWords * sizeof(ulong), mask);
        }
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
