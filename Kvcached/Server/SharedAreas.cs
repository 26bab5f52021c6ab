using Kvcached.Devices;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Server;

/// <summary>
/// What the daemon shares with one client beside the pool and tables (<see cref="RingLayout"/>): an area that each side writes, with a ring and a timeline for each lane,
/// and the eventfd by which the client wakes the daemon. On the server's thread, but for descriptors.
/// </summary>
internal sealed unsafe class SharedAreas : IDisposable
{
    private readonly ISharingDevice _device;
    private readonly Waker _waker;
    private readonly DeviceMemory _client;
    private readonly DeviceMemory _daemon;
    private readonly SafeFileHandle _event;
    private readonly List<DeviceTimeline> _timelines = [];
    private readonly SplitBell _bell;
    private ulong _beats;

    /// <summary>Makes both areas.</summary>
    /// <exception cref="KvException">No ring has so many bytes.</exception>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    public SharedAreas(ISharingDevice device, Waker waker, int number, int ringBytes, int maxLanes)
    {
        if (!RingLayout.IsRing(ringBytes))
        {
            throw new KvException(KvError.InvalidArgument, $"A ring of {ringBytes} bytes; it must have a power of two from {RingLayout.LeastRing} to {RingLayout.MostRing}.");
        }

        (_device, _waker, RingBytes) = (device, waker, ringBytes);
        var bytes = RingLayout.AreaBytes(ringBytes, maxLanes);
        _client = device.Allocate(bytes, MemoryKind.Host, $"area of client {number}", SharedAccess.ReadWriteForOthers);
        try
        {
            _daemon = device.Allocate(bytes, MemoryKind.Host, $"area for client {number}", SharedAccess.ReadOnlyForOthers);
            _event = EventFd.Create();
            waker.Watch(_event);
        }
        catch
        {
            _event?.Dispose();
            _daemon?.Dispose();
            _client.Dispose();
            throw;
        }

        var client = (byte*)_client.Address;
        var daemon = (byte*)_daemon.Address;
        Submissions = new RingConsumer(client + RingLayout.Ring, ringBytes, (ulong*)(client + RingLayout.SubmissionTail), (ulong*)(daemon + RingLayout.SubmissionHead));
        Completions = new RingProducer(daemon + RingLayout.Ring, ringBytes, (ulong*)(daemon + RingLayout.CompletionTail), (ulong*)(client + RingLayout.CompletionHead));
        _bell = new SplitBell((uint*)(daemon + RingLayout.CompletionSequence), (uint*)(client + RingLayout.ClientSleeps));
        Attention = new Attention((uint*)(daemon + RingLayout.Attention));
    }

    public int RingBytes { get; }

    public RingConsumer Submissions { get; }

    public RingProducer Completions { get; }

    /// <summary>What the client is to wake the daemon for.</summary>
    public Attention Attention { get; }

    public SafeFileHandle ClientDescriptor => _device.DescriptorOf(_client);

    public SafeFileHandle DaemonDescriptor => _device.DescriptorOf(_daemon);

    public SafeFileHandle EventDescriptor => _event;

    /// <summary>Makes the timelines of a lane: begin in the daemon's area, end in the client's.</summary>
    public (DeviceTimeline Begin, DeviceTimeline End) CreateTimelines(int lane, ulong begin, ulong end)
    {
        var offset = RingLayout.TimelineAt(RingBytes, lane);
        var made = (Keep(_device.CreateTimeline(_daemon, offset, begin, "begin")), Keep(_device.CreateTimeline(_client, offset, end, "end")));
        _device.Attach(made.Item1, _waker.Bell);
        return made;
    }

    /// <summary>Wakes the client if it sleeps, and shows that the daemon is well.</summary>
    public void Ring() => _bell.Ring();

    /// <summary>Shows that the daemon is well.</summary>
    public void Beat() => Volatile.Write(ref *(ulong*)(_daemon.Address + RingLayout.Heartbeat), ++_beats);

    /// <summary>Shows that the client is served no more, and wakes it.</summary>
    public void Close()
    {
        Volatile.Write(ref *(uint*)(_daemon.Address + RingLayout.DaemonState), RingLayout.Closed);
        Ring();
    }

    /// <summary>Gives it back, once no queue names the timelines any more.</summary>
    public void Dispose()
    {
        _waker.Forget(_event);
        _timelines.ForEach(timeline => timeline.Dispose());
        _client.Dispose();
        _daemon.Dispose();
        _event.Dispose();
    }

    private DeviceTimeline Keep(DeviceTimeline timeline)
    {
        _timelines.Add(timeline);
        return timeline;
    }
}
