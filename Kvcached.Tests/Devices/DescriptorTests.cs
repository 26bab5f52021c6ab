using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Kvcached.Devices.Linux;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>What watches, names and passes descriptors.</summary>
public sealed class DescriptorTests : IDisposable
{
    private const int CloseOnExec = 0x80000;
    private const int Kill = 9;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly SocketPair _sockets = new();
    private readonly Epoll _epoll = new(4);

    public void Dispose()
    {
        _sockets.Dispose();
        _epoll.Dispose();
    }

    [Fact]
    public void Descriptors_travel_with_bytes_and_are_closed_on_exec()
    {
        using var memory = SharedMapping.Create(4096, "travels");
        using var called = EventFd.Create();
        Assert.Equal(3, DescriptorSocket.Send(_sockets.One, [1, 2, 3], [memory.Descriptor, called]));
        Assert.Equal(2, DescriptorSocket.Send(_sockets.One, [4, 5], []));

        var (bytes, descriptors) = (new byte[16], new SafeFileHandle?[4]);
        var received = DescriptorSocket.Receive(_sockets.Other, bytes, descriptors);
        Assert.Equal(new Received(ReceiveStatus.Ok, 3, 2), received);
        Assert.Equal([1, 2, 3], bytes[..3]);
        Assert.All(descriptors[..2], d => Assert.NotEqual(0, FlagsOf(d!) & CloseOnExec));
        Assert.Contains("travels", new FileInfo(PathOf(descriptors[0]!)).LinkTarget, StringComparison.Ordinal);
        Assert.Contains("eventfd", new FileInfo(PathOf(descriptors[1]!)).LinkTarget, StringComparison.Ordinal);

        Assert.Equal(new Received(ReceiveStatus.Ok, 2, 0), DescriptorSocket.Receive(_sockets.Other, bytes, []));
        Array.ForEach(descriptors, d => d?.Dispose());
    }

    [Fact]
    public void As_many_as_a_message_holds_come_and_more_are_not_sent()
    {
        using var memory = SharedMapping.Create(4096, "as many as fit");
        var many = Enumerable.Repeat<SafeHandle>(memory.Descriptor, DescriptorSocket.MostDescriptors + 1).ToArray();
        Assert.Throws<ArgumentOutOfRangeException>(() => DescriptorSocket.Send(_sockets.One, [1], many));
        Assert.Equal(1, DescriptorSocket.Send(_sockets.One, [1], many.AsSpan(1)));
        var descriptors = new SafeFileHandle?[DescriptorSocket.MostDescriptors];
        Assert.Equal(new Received(ReceiveStatus.Ok, 1, descriptors.Length), DescriptorSocket.Receive(_sockets.Other, new byte[1], descriptors));
        Assert.Equal(descriptors.Length + 1, SocketPair.OpenDescriptors("as many as fit"));
        Array.ForEach(descriptors, d => d!.Dispose());
    }

    [Theory]
    [InlineData(3, 2)]
    [InlineData(3, 0)]
    [InlineData(20, 16)]
    public void None_stays_open_where_more_came_than_were_asked_for(int sent, int room)
    {
        var name = $"too many {sent} {room}";
        using var memory = SharedMapping.Create(4096, name);
        SendRaw(_sockets.One, memory.Descriptor, sent);
        var descriptors = new SafeFileHandle?[room];
        Assert.Equal(new Received(ReceiveStatus.TooManyDescriptors, 1, 0), DescriptorSocket.Receive(_sockets.Other, new byte[1], descriptors));
        Assert.All(descriptors, Assert.Null);
        Assert.Equal(1, SocketPair.OpenDescriptors(name));
    }

    [Fact]
    public void Nothing_to_receive_and_an_end_are_told_apart_and_neither_blocks()
    {
        Assert.Equal(ReceiveStatus.WouldBlock, DescriptorSocket.Receive(_sockets.Other, new byte[1], []).Status);
        _sockets.One.Dispose();
        Assert.Equal(ReceiveStatus.Ended, DescriptorSocket.Receive(_sockets.Other, new byte[1], []).Status);
        Assert.Throws<SocketException>(() => DescriptorSocket.Send(_sockets.Other, [1], []));
    }

    [Fact]
    public void A_full_socket_sends_nothing()
    {
        var bytes = new byte[1 << 16];
        var sent = 0L;
        while (DescriptorSocket.Send(_sockets.One, bytes, []) is > 0 and var now)
        {
            sent += now;
        }

        Assert.InRange(sent, 1, 1 << 26);
        Assert.Equal(ReceiveStatus.Ok, DescriptorSocket.Receive(_sockets.Other, bytes, []).Status);
    }

    [Fact]
    public void The_other_end_is_this_user_and_this_process()
    {
        var peer = PeerCredentials.Of(_sockets.Other);
        Assert.Equal(Environment.ProcessId, peer.ProcessId);
        Assert.Equal(UserOfThisProcess(), peer.UserId);
        using var process = PidFd.TryOpenPeer(_sockets.Other);
        Assert.False(process!.HasExited);
        Assert.Contains($"Pid:\t{Environment.ProcessId}\n", File.ReadAllText($"/proc/self/fdinfo/{process.Descriptor.DangerousGetHandle()}"), StringComparison.Ordinal);

        static uint UserOfThisProcess() =>
            uint.Parse(File.ReadLines("/proc/self/status").Single(l => l.StartsWith("Uid:", StringComparison.Ordinal)).Split('\t')[2], CultureInfo.InvariantCulture);
    }

    [Fact]
    public void Each_write_to_an_eventfd_is_told_once_though_it_is_never_read()
    {
        using var called = EventFd.Create();
        _epoll.Add(called, 7);
        Assert.Equal(0, _epoll.Wait(TimeSpan.Zero));
        for (var i = 0; i < 3; i++)
        {
            EventFd.Write(called);
            Assert.Equal(1, _epoll.Wait(Patience));
            Assert.Equal(7ul, _epoll.TokenAt(0));
            Assert.NotEqual(0u, _epoll.EventsAt(0) & Epoll.Readable);
            Assert.Equal(0, _epoll.Wait(TimeSpan.Zero));
        }

        _epoll.Remove(called);
        EventFd.Write(called);
        Assert.Equal(0, _epoll.Wait(TimeSpan.FromMilliseconds(2)));
    }

    [Fact]
    public void News_of_several_are_told_at_once_or_one_after_another()
    {
        var called = Enumerable.Range(0, 6).Select(_ => EventFd.Create()).ToArray();
        for (var i = 0; i < called.Length; i++)
        {
            _epoll.Add(called[i], 100ul + (ulong)i);
            EventFd.Write(called[i]);
        }

        var told = new List<ulong>();
        while (_epoll.Wait(TimeSpan.Zero) is > 0 and var count)
        {
            told.AddRange(Enumerable.Range(0, count).Select(_epoll.TokenAt));
        }

        Assert.Equal(Enumerable.Range(100, called.Length).Select(i => (ulong)i), told.Order());
        Array.ForEach(called, c => c.Dispose());
        Assert.Throws<Win32Exception>(() => _epoll.Add(File.OpenHandle("/proc/self/maps"), 1));
    }

    [Fact]
    public void The_end_of_a_connection_is_told()
    {
        _epoll.Add(_sockets.Other.SafeHandle, 3);
        _epoll.Wait(TimeSpan.Zero);
        _sockets.One.Dispose();
        Assert.Equal(1, _epoll.Wait(Patience));
        Assert.NotEqual(0u, _epoll.EventsAt(0) & Epoll.Gone);
    }

    [Fact]
    public void A_process_that_is_killed_is_told_as_ended_and_takes_no_signal()
    {
        using var started = Process.Start(new ProcessStartInfo("sleep", "60"))!;
        using var process = PidFd.TryOpen(started.Id)!;
        _epoll.Add(process.Descriptor, 5);
        Assert.False(process.HasExited);
        Assert.True(process.Send(0));
        Assert.True(process.Send(Kill));
        Assert.Equal(1, _epoll.Wait(Patience));
        Assert.Equal(5ul, _epoll.TokenAt(0));
        Assert.True(process.HasExited);
        Assert.True(started.WaitForExit(Patience));
        Assert.False(process.Send(Kill));
        Assert.Null(PidFd.TryOpen(started.Id));
    }

    [Fact]
    public void Waiting_allocates_nothing()
    {
        using var called = EventFd.Create();
        _epoll.Add(called, 7);
        Turn();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            Turn();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Turn()
        {
            EventFd.Write(called);
            _epoll.Wait(Patience);
        }
    }

    private static string PathOf(SafeFileHandle descriptor) => $"/proc/self/fd/{descriptor.DangerousGetHandle()}";

    private static int FlagsOf(SafeFileHandle descriptor)
    {
        var line = File.ReadLines($"/proc/self/fdinfo/{descriptor.DangerousGetHandle()}").Single(l => l.StartsWith("flags:", StringComparison.Ordinal));
        return Convert.ToInt32(line["flags:".Length..].Trim(), 8);
    }

    /// <summary>As a hostile peer would: more than the library sends.</summary>
    private static unsafe void SendRaw(Socket socket, SafeFileHandle descriptor, int count)
    {
        var control = new byte[(16 + (4 * count) + 7) & ~7];
        var data = (byte)1;
        fixed (byte* at = control)
        {
            *(LibC.ControlHeader*)at = new LibC.ControlHeader { Bytes = (nuint)(16 + (4 * count)), Level = LibC.SocketLevel, Type = LibC.ScmRights };
            MemoryMarshal.Cast<byte, int>(control.AsSpan(16))[..count].Fill((int)descriptor.DangerousGetHandle());
            var vector = new LibC.IoVector { Base = &data, Bytes = 1 };
            var message = new LibC.MessageHeader { Vectors = &vector, VectorCount = 1, Control = at, ControlBytes = (nuint)control.Length };
            Assert.Equal(1, LibC.SendMessage(socket.SafeHandle, &message, LibC.MsgNoSignal));
        }
    }
}
