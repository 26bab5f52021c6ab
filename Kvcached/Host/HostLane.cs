using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Memory;

namespace Kvcached;

/// <summary>
/// What a device has for one lane: queues, timelines and memory. Owns what it has made; a begin or end timeline that was brought stays its maker's. Made by any thread, and
/// disposed by any: both may take as long as the device likes.
/// </summary>
internal sealed class HostLane : IDisposable
{
    private readonly HostDevice _device;
    private readonly Stack<IDisposable> _made = new();
    private readonly DeviceTimeline?[] _timelines = new DeviceTimeline?[4];
    private readonly string _name;

    /// <summary>Makes all that a lane needs, or nothing: but its begin and end timelines where they are shared with another process, which are brought.</summary>
    /// <param name="device">Where.</param>
    /// <param name="name">What it is called, in messages.</param>
    /// <param name="options">Its sizes.</param>
    /// <param name="pool">Address of the pool's byte 0 in the process that runs the lane's steps.</param>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    /// <exception cref="KernelNotFoundException">The device lacks a kernel for the lane's page tables or windows.</exception>
    public HostLane(HostDevice device, string name, KvLaneOptions options, ulong pool)
    {
        (_device, _name) = (device, name);
        try
        {
            var bytes = LaneState.RingBytes(options.Depth, options.MaxBatch, options.MaxLayouts);
            var views = Allocate(bytes, MemoryKind.Device, $"views of {name}", SharedAccess.ReadOnlyForOthers);
            var staging = Allocate(bytes, MemoryKind.Host, $"staging of {name}");
            var pageTables = options.MaxPages == 0
                ? null
                : new PageTableRing(options, Allocate(PageTableRing.BytesOf(options), MemoryKind.Device, $"page tables of {name}", SharedAccess.ReadOnlyForOthers), device.Device.LoadKernel(KernelNames.PageTable));
            Memory = new LaneMemory(options.Depth, options.MaxBatch, options.MaxLayouts, views, staging, pageTables, options.Windows ? MakeWindows(options, pool) : null);
            if (!device.IsShared)
            {
                _timelines[(int)TimelineKind.Begin] = MakeTimeline(TimelineKind.Begin);
                _timelines[(int)TimelineKind.End] = MakeTimeline(TimelineKind.End);
            }

            _timelines[(int)TimelineKind.In] = MakeTimeline(TimelineKind.In);
            _timelines[(int)TimelineKind.Out] = MakeTimeline(TimelineKind.Out);
            In = Keep(device.Device.CreateQueue($"{name} in"));
            Out = Keep(device.Device.CreateQueue($"{name} out"));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public LaneMemory Memory { get; }

    public DeviceQueue In { get; }

    public DeviceQueue Out { get; }

    /// <summary>Device memory, and staging beside it.</summary>
    public long DeviceBytes { get; private set; }

    public DeviceTimeline this[TimelineKind kind] => _timelines[(int)kind]!;

    /// <summary>Gives it timelines of its steps in place of its own.</summary>
    public void Bring(DeviceTimeline? begin, DeviceTimeline? end)
    {
        _timelines[(int)TimelineKind.Begin] = begin ?? _timelines[(int)TimelineKind.Begin];
        _timelines[(int)TimelineKind.End] = end ?? _timelines[(int)TimelineKind.End];
    }

    /// <summary>Gives back what it has made, the last first: queues before what their submissions name.</summary>
    public void Dispose()
    {
        while (_made.TryPop(out var made))
        {
            made.Dispose();
        }
    }

    private WindowRing MakeWindows(KvLaneOptions options, ulong pool)
    {
        var bytes = WindowRing.BytesOf(options);
        var ring = Allocate(bytes, MemoryKind.Device, $"windows of {_name}", SharedAccess.ReadOnlyForOthers);
        var staging = Allocate(bytes, MemoryKind.Host, $"staged windows of {_name}");
        var gathering = new WindowGathering(staging, _device.Device.LoadKernel(KernelNames.GatherWindows));
        return new WindowRing(options, ring, pool, _device.IsShared ? null : _device.Device.LoadKernel(KernelNames.StoreWindows), gathering);
    }

    private DeviceMemory Allocate(long bytes, MemoryKind kind, string label, SharedAccess access = SharedAccess.Private)
    {
        DeviceBytes += bytes;
        return Keep(_device.Allocate(bytes, kind, label, access));
    }

    private DeviceTimeline MakeTimeline(TimelineKind kind) => Keep(_device.CreateTimeline($"{_name} {kind}"));

    private TMade Keep<TMade>(TMade made)
        where TMade : IDisposable
    {
        _made.Push(made);
        return made;
    }
}
