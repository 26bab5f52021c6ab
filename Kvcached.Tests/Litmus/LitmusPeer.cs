using System.Diagnostics;
using System.Globalization;
using System.IO.MemoryMappedFiles;
using Kvcached.Devices.Linux;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Tests.Litmus;

/// <summary>The second process: this assembly once more, which maps the memory of the first and runs party 1.</summary>
internal static unsafe class LitmusPeer
{
    /// <summary>The command of the program that it is.</summary>
    internal const string Command = "litmus-peer";

    /// <summary>Says that no run follows.</summary>
    internal const int NoMore = -1;

    private static readonly TimeSpan _readyPatience = TimeSpan.FromSeconds(15);

    internal static Process Start(LitmusTest test, SafeFileHandle memory) => SecondProcess.Start(
        Command,
        test.Name,
        Environment.ProcessId.ToString(CultureInfo.InvariantCulture),
        memory.DangerousGetHandle().ToString(CultureInfo.InvariantCulture));

    /// <summary>The second process's program: runs party 1 of each run until the first process wants no more, or is gone.</summary>
    internal static int Run(string name, int processId, int descriptor)
    {
        var test = LitmusCatalog.All.Single(t => t.Name == name);
        using var parent = Process.GetProcessById(processId);
        using var file = new FileStream($"/proc/{processId}/fd/{descriptor}", FileMode.Open, FileAccess.ReadWrite);
        using var mapping = MemoryMappedFile.CreateFromFile(file, null, LitmusControl.Bytes, MemoryMappedFileAccess.ReadWrite, HandleInheritability.None, leaveOpen: false);
        using var view = mapping.CreateViewAccessor(0, LitmusControl.Bytes);
        byte* address = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref address);
        var control = (LitmusControl*)address;
        for (var run = 1; ; run++)
        {
            while (Volatile.Read(ref control->Run) is var current && current != run)
            {
                if (current == NoMore || parent.HasExited)
                {
                    return 0;
                }

                Thread.Sleep(1);
            }

            RunParty(test, control, null, 1);
        }
    }

    /// <summary>Runs a party of a run on the calling thread, once all parties are there.</summary>
    internal static void RunParty(LitmusTest test, LitmusControl* control, SharedMapping? mapping, int index)
    {
        using (var party = new LitmusParty(control, mapping, test.Parties, index))
        {
            control->ProcessIds[index] = Environment.ProcessId;
            try
            {
                if (AwaitAll(test, control))
                {
                    test.Run(party, control->Fault);
                }
                else
                {
                    party.GiveUp("not all parties came");
                }
            }
            catch (Exception e)
            {
                party.Violate(e.ToString());
            }
        }

        Interlocked.Increment(ref control->Ended);
    }

    private static bool AwaitAll(LitmusTest test, LitmusControl* control)
    {
        var started = Stopwatch.GetTimestamp();
        Interlocked.Increment(ref control->Ready);
        while (Volatile.Read(ref control->Ready) < test.Parties)
        {
            if (Stopwatch.GetElapsedTime(started) > _readyPatience)
            {
                return false;
            }

            Thread.Yield();
        }

        return true;
    }
}
