using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>The suite on cpu devices.</summary>
public sealed class CpuSharingProcesses() : SharingProcesses(SharingPeer.Cpu);

/// <summary>The suite on OpenCL devices that use the host's memory.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClSharingProcesses() : SharingProcesses(SharingPeer.OpenCl)
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaSharingProcesses() : SharingProcesses(SharingPeer.Cuda)
{
    [CudaFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>Memory and timelines of two processes: this one makes them and hands them over, a second one (<see cref="SharingPeer"/>) uses them.</summary>
public abstract class SharingProcesses : IDisposable
{
    private const int Kill = 9;
    private const ulong Poison = 1ul << 40;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(20);

    private readonly string _kind;
    private readonly MappedDevice _device;
    private readonly CommandList _commands = new();
    private readonly DeviceMemory _read;
    private readonly DeviceMemory _written;
    private readonly DeviceTimeline _mine;
    private readonly DeviceTimeline _theirs;
    private Process? _peer;

    private protected SharingProcesses(string kind)
    {
        (_kind, _device) = (kind, SharingPeer.Open(kind));
        _read = _device.Allocate(SharingPeer.AreaBytes, MemoryKind.Host, "for the peer to read", SharedAccess.ReadOnlyForOthers);
        _written = _device.Allocate(SharingPeer.AreaBytes, MemoryKind.Host, "for the peer to write", SharedAccess.ReadWriteForOthers);
        _mine = _device.CreateTimeline(_read, SharingPeer.TimelineOffset, 0, "mine");
        _theirs = _device.CreateTimeline(_written, SharingPeer.TimelineOffset, 0, "theirs");
    }

    public void Dispose()
    {
        _device.Dispose();
        if (_peer is { HasExited: false })
        {
            _peer.Kill();
        }

        _peer?.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public void Queues_of_two_processes_pass_words_to_and_fro()
    {
        StartPeer(SharingPeer.PassWords).Dispose();
        var queue = _device.CreateQueue("passes");
        for (var n = 1ul; n <= SharingPeer.Rounds; n++)
        {
            // Word 1 is the host's; each one after it is what came back of the one before, which the queue waits for.
            var offset = OffsetOf(n);
            _commands.Clear();
            if (n == 1)
            {
                MemoryMarshal.Write(_read.HostSpan(offset, sizeof(ulong)), 0x1234567890ul);
            }
            else
            {
                _commands.Copy(_read, offset, _written, OffsetOf(n - 1), sizeof(ulong));
            }

            queue.Submit([new WaitPoint(_theirs, n - 1)], _commands, new TimelinePoint(_mine, n));
        }

        Assert.True(_theirs.WaitOnHost(SharingPeer.Rounds, Patience));
        Assert.Equal(0x1234567890ul, MemoryMarshal.Read<ulong>(_written.HostSpan(OffsetOf(SharingPeer.Rounds), sizeof(ulong))));
        AssertExits(0);
    }

    [Fact]
    public void A_queue_that_waits_for_a_peer_holds_up_no_other()
    {
        // On a GPU this is so only if the wait is not given to a stream: others may share its hardware channel.
        var (waiting, other) = (_device.CreateQueue("waits"), _device.CreateQueue("other"));
        var (held, done) = (_device.CreateTimeline("held"), _device.CreateTimeline("done"));
        waiting.Submit([new WaitPoint(_theirs, 1)], _commands, new TimelinePoint(held, 1));
        Assert.False(held.WaitOnHost(1, Moment));
        _commands.Fill(_device.Allocate(4096, MemoryKind.Host, "filled"), 0, 4096, 1);
        other.Submit([], _commands, new TimelinePoint(done, 1));
        Assert.True(done.WaitOnHost(1, Patience));
        Assert.Equal(0ul, held.Value);
        _theirs.Signal(1);
        Assert.True(held.WaitOnHost(1, Patience));
    }

    [Fact]
    public void A_process_finds_no_way_to_write_what_it_may_only_read()
    {
        StartPeer(SharingPeer.WriteSealed).Dispose();
        AssertExits(0);
    }

    [Fact]
    public void The_death_of_a_peer_that_waits_and_is_waited_for_leaves_nobody_stuck()
    {
        using var process = StartPeer(SharingPeer.WaitForEver);
        Assert.True(_theirs.WaitOnHost(1, Patience));
        var (queue, done) = (_device.CreateQueue("waits"), _device.CreateTimeline("done"));
        queue.Submit([new WaitPoint(_theirs, 5)], _commands, new TimelinePoint(done, 1));
        Assert.False(done.WaitOnHost(1, Moment));

        using var epoll = new Epoll(1);
        epoll.Add(process.Descriptor, 1);
        Assert.Equal(0, epoll.Wait(TimeSpan.Zero));
        Assert.True(process.Send(Kill));
        Assert.Equal(1, epoll.Wait(Patience));
        Assert.True(process.HasExited);
        Assert.False(done.WaitOnHost(1, Moment));

        // It can write nothing any more, so that its timeline may be said to be over.
        _device.Poison(_theirs, _theirs.Value + Poison);
        Assert.True(done.WaitOnHost(1, Patience));
        _mine.Signal(2);

        // The same words serve another peer, from the values that they have now.
        var (mine, theirs) = (_mine.Value, 0ul);
        _theirs.Dispose();
        using var next = _device.CreateTimeline(_written, SharingPeer.TimelineOffset, theirs, "theirs again");
        _mine.Dispose();
        using var again = _device.CreateTimeline(_read, SharingPeer.TimelineOffset, mine, "mine again");
        using var another = StartPeer(SharingPeer.WaitForEver);
        Assert.True(next.WaitOnHost(2, Patience));
        again.Signal(3);
        AssertExits(0);
    }

    private static int OffsetOf(ulong n) => SharingPeer.WordsOffset + ((int)n * sizeof(ulong));

    private PidFd StartPeer(string scenario)
    {
        var path = Path.Combine(Path.GetTempPath(), $"kvcached-{Guid.NewGuid():N}.socket");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        _peer = SecondProcess.Start(SharingPeer.Command, scenario, path, _kind);
        Assert.True(listener.Poll(Patience, SelectMode.SelectRead));
        using var socket = listener.Accept();
        File.Delete(path);
        Assert.Equal(_peer.Id, PeerCredentials.Of(socket).ProcessId);
        Assert.Equal(1, DescriptorSocket.Send(socket, [1], [_device.DescriptorOf(_read), _device.DescriptorOf(_written)]));
        return PidFd.TryOpenPeer(socket)!;
    }

    private void AssertExits(int code)
    {
        Assert.True(_peer!.WaitForExit(Patience));
        Assert.Equal(code, _peer.ExitCode);
    }
}
