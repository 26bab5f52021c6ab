using System.Globalization;
using Kvcached.Devices;
using Kvcached.Devices.Cuda;
using Kvcached.Devices.Linux;
using Kvcached.Tests.Devices;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace Kvcached.Tests.StandIn;

/// <summary>In which order a queue's stream does what, seen between its commands: each takes a while there (DAWDLE), so that what comes too early shows.</summary>
public sealed class OnStandInOrder : IDisposable
{
    /// <summary>More than a queue has in its stream at a time.</summary>
    private const int Many = 40;

    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);

    private readonly CudaDevice _device = new();
    private readonly CommandList _commands = new();

    public void Dispose() => _device.Dispose();

    [OnStandInFact]
    public void A_point_is_reached_after_the_commands_and_before_the_submission_is_past()
    {
        var (queue, done) = (Queue(), _device.CreateTimeline("done"));
        var memory = _device.Allocate(64, MemoryKind.Host, "written");
        for (byte n = 1; n <= 5; n++)
        {
            _commands.Clear();
            _commands.Fill(memory, 0, 64, n);
            queue.Submit([], _commands, new TimelinePoint(done, n));
            Assert.True(SpinWait.SpinUntil(() => done.Value >= n || queue.IsPast(n), _patience));
            Assert.Equal((n, n), ((byte)done.Value, memory.HostSpan(63, 1)[0]));
            Assert.True(SpinWait.SpinUntil(() => queue.IsPast(n), _patience));
        }
    }

    [OnStandInFact]
    public void Each_bell_rings_once_and_after_its_signal()
    {
        var queue = Queue();
        var attention = _device.Allocate(4096, MemoryKind.Host, "attention", SharedAccess.ReadWriteForOthers);
        attention.HostSpan(0, 1)[0] = 1;
        var descriptors = Enumerable.Range(0, Many).Select(_ => EventFd.Create()).ToArray();
        var timelines = descriptors.Select((descriptor, i) =>
        {
            var timeline = _device.CreateTimeline($"timeline {i}");
            _device.Attach(timeline, _device.CreateBell(attention, 0, 1, descriptor));
            return timeline;
        }).ToArray();
        _commands.Clear();
        foreach (var timeline in timelines)
        {
            queue.Submit([], _commands, new TimelinePoint(timeline, 1));
        }

        foreach (var (timeline, descriptor) in timelines.Zip(descriptors))
        {
            Assert.True(SpinWait.SpinUntil(() => CountOf(descriptor) > 0, _patience), $"{timeline.Label} rang nobody.");
            Assert.Equal(1ul, timeline.Value);
        }

        Assert.True(SpinWait.SpinUntil(() => queue.IsPast(Many), _patience));
        Assert.All(descriptors, descriptor => Assert.Equal(1ul, CountOf(descriptor)));
    }

    [OnStandInFact]
    public void Memory_that_was_let_go_of_is_there_until_what_names_it_has_run()
    {
        var (queue, done) = (Queue(), _device.CreateTimeline("done"));
        var (source, target) = (_device.Allocate(1 << 20, MemoryKind.Device, "source"), _device.Allocate(1 << 20, MemoryKind.Device, "target"));
        _commands.Clear();
        _commands.Fill(source, 0, 1 << 20, 7);
        _commands.Copy(target, 0, source, 0, 1 << 20);
        queue.Submit([], _commands, new TimelinePoint(done, 1));
        source.Dispose();
        target.Dispose();
        Assert.True(done.WaitOnHost(1, _patience));
    }

    /// <summary>The driver makes such a copy while its caller waits.</summary>
    [OnStandInFact]
    public async Task A_device_ends_though_a_copy_between_host_memories_waits_for_a_peer_that_never_signals()
    {
        using var peer = new CudaDevice();
        var shared = _device.Allocate(4096, MemoryKind.Host, "shared", SharedAccess.ReadOnlyForOthers);
        using var begin = _device.CreateTimeline(shared, 64, 0, "begin");
        var imported = peer.Import(SocketPair.Copy(_device.DescriptorOf(shared)), 4096, MemoryKind.Host, SharedAccess.ReadOnlyForOthers, "shared");
        var (seen, done) = (peer.ImportTimeline(imported, 64, "begin"), peer.CreateTimeline("done"));
        var (source, target) = (peer.Allocate(1 << 20, MemoryKind.Host, "source"), peer.Allocate(1 << 20, MemoryKind.Host, "target"));
        _commands.Clear();
        _commands.Copy(target, 0, source, 0, 1 << 20);
        peer.CreateQueue("queue").Submit([new WaitPoint(seen, 1)], _commands, new TimelinePoint(done, 1));
        Assert.False(done.WaitOnHost(1, TimeSpan.FromMilliseconds(50)));
        await Task.Run(peer.Dispose).WaitAsync(_patience);
    }

    private static ulong CountOf(SafeFileHandle eventDescriptor)
    {
        var line = File.ReadLines($"/proc/self/fdinfo/{eventDescriptor.DangerousGetHandle()}").Single(l => l.StartsWith("eventfd-count:", StringComparison.Ordinal));
        return ulong.Parse(line["eventfd-count:".Length..].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }

    private CudaQueue Queue() => (CudaQueue)_device.CreateQueue("queue");
}
