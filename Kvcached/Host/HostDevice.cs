using Kvcached.Devices;

namespace Kvcached;

/// <summary>
/// A device as a host uses it: an embedded cache keeps to itself what it makes there; a daemon lets other processes map some of it, and has a bell rung when its own
/// queues have signalled.
/// </summary>
internal sealed class HostDevice
{
    private readonly ISharingDevice? _sharing;
    private readonly SignalBell? _bell;

    /// <summary>For a cache inside this process.</summary>
    public HostDevice(IDevice device) => Device = device;

    /// <summary>For a daemon.</summary>
    /// <param name="device">The device.</param>
    /// <param name="bell">Rung after signals of the timelines that are made here.</param>
    public HostDevice(ISharingDevice device, SignalBell bell) => (Device, _sharing, _bell) = (device, device, bell);

    public IDevice Device { get; }

    /// <summary>Whether other processes signal ends.</summary>
    public bool IsShared => _sharing is not null;

    /// <summary>Allocates memory that other processes may use as far as <paramref name="access"/> says, if there are others.</summary>
    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label, SharedAccess access = SharedAccess.Private) =>
        _sharing is null || access == SharedAccess.Private ? Device.Allocate(bytes, kind, label) : _sharing.Allocate(bytes, kind, label, access);

    /// <summary>Allocates a pool, which other processes may write if there are others, and of which the first part alone need have memory.</summary>
    public DeviceMemory AllocatePool(long bytes, long populated, string label)
    {
        if (_sharing is null)
        {
            return Device.AllocateElastic(bytes, populated, label);
        }

        var memory = _sharing.Allocate(bytes, MemoryKind.Device, label, SharedAccess.ReadWriteForOthers);
        memory.KeepFirst(populated);
        return memory;
    }

    public DeviceTimeline CreateTimeline(string label)
    {
        var timeline = Device.CreateTimeline(label);
        _sharing?.Attach(timeline, _bell);
        return timeline;
    }

    /// <summary>Signals a timeline in place of a client that is gone, which may have left anything in it.</summary>
    public void Poison(DeviceTimeline timeline, ulong value)
    {
        if (_sharing is null)
        {
            timeline.Signal(value);
        }
        else
        {
            _sharing.Poison(timeline, value);
        }
    }
}
