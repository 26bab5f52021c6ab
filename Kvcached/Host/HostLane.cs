using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Memory;

namespace Kvcached;

/// <summary>
/// What a device has for one lane: queues, timelines and memory. Owns what it has made; a begin or end timeline that was brought stays its maker's.
/// </summary>
internal sealed class HostLane : IDisposable
{
    private readonly HostDevice _device;
    private readonly Stack<IDisposable> _made = new();
    private readonly DeviceTimeline[] _timelines = new DeviceTimeline[4];

    /// <summary>Makes all that a lane needs, or nothing.</summary>
    /// <param name="device">Where.</param>
    /// <param name="number">Number of the lane.</param>
    /// <param name="options">Its sizes.</param>
    /// <param name="pool">Address of the pool's byte 0 in the process that runs the lane's steps.</param>
    /// <param name="begin">Its begin timeline, if it has been made.</param>
    /// <param name="end">Its end timeline, if it has been made.</param>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    /// <exception cref="KernelNotFoundException">The device lacks a kernel for the lane's page tables or windows.</exception>
    public HostLane(HostDevice device, int number, KvLaneOptions options, ulong pool, DeviceTimeline? begin, DeviceTimeline? end)
    {
        _device = device;
        Number = number;
        try
        {
            var bytes = LaneState.RingBytes(options.Depth, options.MaxBatch, options.MaxLayouts);
            var views = Allocate(bytes, MemoryKind.Device, $"views of lane {number}", SharedAccess.ReadOnlyForOthers);
            var staging = Allocate(bytes, MemoryKind.Host, $"staging of lane {number}");
            var pageTables = options.MaxPages == 0
                ? null
                : new PageTableRing(options, Allocate(PageTableRing.BytesOf(options), MemoryKind.Device, $"page tables of lane {number}", SharedAccess.ReadOnlyForOthers), device.Device.LoadKernel(KernelNames.PageTable));
            Memory = new LaneMemory(options.Depth, options.MaxBatch, options.MaxLayouts, views, staging, pageTables, options.Windows ? MakeWindows(options, pool) : null);
            _timelines[(int)TimelineKind.Begin] = begin ?? MakeTimeline(TimelineKind.Begin);
            _timelines[(int)TimelineKind.End] = end ?? MakeTimeline(TimelineKind.End);
            _timelines[(int)TimelineKind.In] = MakeTimeline(TimelineKind.In);
            _timelines[(int)TimelineKind.Out] = MakeTimeline(TimelineKind.Out);
            In = Keep(device.Device.CreateQueue($"lane {number} in"));
            Out = Keep(device.Device.CreateQueue($"lane {number} out"));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public int Number { get; }

    public LaneMemory Memory { get; }

    public DeviceQueue In { get; }

    public DeviceQueue Out { get; }

    /// <summary>Device memory, and staging beside it.</summary>
    public long DeviceBytes { get; private set; }

    public DeviceTimeline this[TimelineKind kind] => _timelines[(int)kind];

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
        var ring = Allocate(bytes, MemoryKind.Device, $"windows of lane {Number}", SharedAccess.ReadOnlyForOthers);
        var staging = Allocate(bytes, MemoryKind.Host, $"staged windows of lane {Number}");
        var gathering = new WindowGathering(staging, _device.Device.LoadKernel(KernelNames.GatherWindows));
        return new WindowRing(options, ring, pool, _device.IsShared ? null : _device.Device.LoadKernel(KernelNames.StoreWindows), gathering);
    }

    private DeviceMemory Allocate(long bytes, MemoryKind kind, string label, SharedAccess access = SharedAccess.Private)
    {
        DeviceBytes += bytes;
        return Keep(_device.Allocate(bytes, kind, label, access));
    }

    private DeviceTimeline MakeTimeline(TimelineKind kind) => Keep(_device.CreateTimeline($"lane {Number} {kind}"));

    private TMade Keep<TMade>(TMade made)
        where TMade : IDisposable
    {
        _made.Push(made);
        return made;
    }
}
