using System.ComponentModel;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Cuda;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Kvcached.Devices.OpenCl;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Tests.Devices;

/// <summary>The second process of <see cref="SharingProcesses"/>: a client that is handed two areas of memory, one to read and one to write.</summary>
internal static unsafe class SharingPeer
{
    /// <summary>The command of the program that it is.</summary>
    internal const string Command = "sharing-peer";

    /// <summary>Passes words to and fro, by queues.</summary>
    internal const string PassWords = "pass-words";

    /// <summary>Tries to write what it may only read; exits 0 if nothing of that works.</summary>
    internal const string WriteSealed = "write-sealed";

    /// <summary>Waits, by queue and host, for what never comes.</summary>
    internal const string WaitForEver = "wait-for-ever";

    /// <summary>Kinds of devices.</summary>
    internal const string Cpu = "cpu";

    /// <inheritdoc cref="Cpu"/>
    internal const string OpenCl = "opencl";

    /// <inheritdoc cref="Cpu"/>
    internal const string Cuda = "cuda";

    internal const int Rounds = 200;
    internal const int AreaBytes = 8192;

    /// <summary>Of the timeline in either area.</summary>
    internal const int TimelineOffset = 64;

    /// <summary>Of the words in either area.</summary>
    internal const int WordsOffset = 4096;

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);

    /// <summary>A device that shares memory with other processes.</summary>
    internal static MappedDevice Open(string kind) => kind switch
    {
        OpenCl => new OpenClDevice(),
        Cuda => new CudaDevice(),
        _ => new CpuDevice(new CpuDeviceOptions { Workers = 1 }),
    };

    internal static int Run(string scenario, string path, string deviceKind)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(path));
        var areas = new SafeFileHandle?[2];
        if (!socket.Poll(_patience, SelectMode.SelectRead) || DescriptorSocket.Receive(socket, new byte[1], areas).Descriptors != areas.Length)
        {
            return 2;
        }

        if (scenario == WriteSealed)
        {
            return TryToWrite(areas[0]!);
        }

        using var device = Open(deviceKind);
        var read = device.Import(areas[0]!, AreaBytes, MemoryKind.Host, SharedAccess.ReadOnlyForOthers, "to read");
        var write = device.Import(areas[1]!, AreaBytes, MemoryKind.Host, SharedAccess.ReadWriteForOthers, "to write");
        var (theirs, mine) = (device.ImportTimeline(read, TimelineOffset, "theirs"), device.ImportTimeline(write, TimelineOffset, "mine"));
        return scenario == PassWords ? Pass(device, read, write, theirs, mine) : Wait(device, theirs, mine);
    }

    /// <summary>Word n comes in what may be read once their timeline is at n; the same goes back, and then mine is at n.</summary>
    private static int Pass(MappedDevice device, DeviceMemory read, DeviceMemory write, DeviceTimeline theirs, DeviceTimeline mine)
    {
        var (queue, commands) = (device.CreateQueue("passes"), new CommandList());
        for (var n = 1ul; n <= Rounds; n++)
        {
            var offset = WordsOffset + ((long)n * sizeof(ulong));
            commands.Clear();
            commands.Copy(write, offset, read, offset, sizeof(ulong));
            queue.Submit([new WaitPoint(theirs, n)], commands, new TimelinePoint(mine, n));
        }

        return mine.WaitOnHost(Rounds, _patience) ? 0 : 1;
    }

    private static int Wait(MappedDevice device, DeviceTimeline theirs, DeviceTimeline mine)
    {
        device.CreateQueue("waits").Submit([new WaitPoint(theirs, 2)], new CommandList(), new TimelinePoint(mine, 2));
        mine.Signal(1);
        return theirs.WaitOnHost(3, Timeout.InfiniteTimeSpan) ? 0 : 1;
    }

    private static int TryToWrite(SafeFileHandle area)
    {
        using var mapping = SharedMapping.Import(SocketPair.Copy(area), AreaBytes, writable: false);
        using var reopened = File.OpenHandle($"/proc/self/fd/{area.DangerousGetHandle()}", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        return Works(() => SharedMapping.Import(SocketPair.Copy(area), AreaBytes, writable: true).Dispose()) ? 3
            : Works(() => SharedMapping.Import(SocketPair.Copy(reopened), AreaBytes, writable: true).Dispose()) ? 4
            : Works(() => RandomAccess.Write(reopened, [1], 0)) ? 5
            : Works(() => mapping.PunchHole(0, 4096)) ? 6
            : Mprotect(mapping.Address, 4096, LibC.ProtRead | LibC.ProtWrite) == 0 ? 7
            : LibC.Ftruncate(area, 0) == 0 ? 8
            : 0;
    }

    private static bool Works(Action action)
    {
        try
        {
            action();
            return true;
        }
        catch (Exception e) when (e is Win32Exception or IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    [DllImport("libc", EntryPoint = "mprotect")]
    private static extern int Mprotect(nint address, nuint bytes, int protection);
}
