using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels.Cpu;
using Kvcached.Memory;

namespace Kvcached;

/// <summary>What an engine is given of a device.</summary>
internal sealed record EngineSizes
{
    public required long PoolBytes { get; init; }

    public required long ColdBytes { get; init; }

    public required long TableBytes { get; init; }

    public long UnitBytes { get; init; } = KvCacheOptions.UnitBytes;

    public long RowUnitBytes { get; init; } = KvCacheOptions.TableUnitBytes;

    public int MaxSequences { get; init; } = 65536;

    public int CleanAheadBlocks { get; init; } = 32;

    public long? PoolFloorBytes { get; init; }

    public long CompactionBytes { get; init; } = 16 << 20;
}

/// <summary>
/// Gives an engine a device: makes queues and timelines, passes submissions on, and reads timelines for it. Called under the cache's lock.
/// </summary>
internal sealed class EngineHost : ISubmitter, IDisposable
{
    private readonly IDevice _device;
    private readonly List<DeviceMemory> _memory = [];
    private DeviceQueue?[] _queues = [];
    private DeviceTimeline?[] _timelines = [];
    private WaitPoint[] _waits = new WaitPoint[64];

    public EngineHost(IDevice device, EngineSizes sizes)
    {
        _device = device;
        try
        {
            Pool = Allocate(sizes.PoolBytes, MemoryKind.Device, "pool");
            if (sizes.PoolFloorBytes is { } floor)
            {
                Pool.Discard(floor, sizes.PoolBytes - floor);
            }

            Entries = Allocate(sizes.TableBytes, MemoryKind.Device, "entries");
            var cold = sizes.ColdBytes == 0 ? null : Allocate(sizes.ColdBytes, MemoryKind.Host, "cold");
            AddQueue(Point.BackgroundLane, TimelineKind.In, "background");
            AddTimeline(Point.BackgroundLane, TimelineKind.In, "background");
            Engine = new CacheEngine(
                new EngineOptions
                {
                    Pool = Pool,
                    Entries = Entries,
                    Cold = cold,
                    UnitBytes = sizes.UnitBytes,
                    RowUnitBytes = sizes.RowUnitBytes,
                    MaxSequences = sizes.MaxSequences,
                    CleanAheadBlocks = sizes.CleanAheadBlocks,
                    PoolFloorBytes = sizes.PoolFloorBytes,
                    CompactionBytes = sizes.CompactionBytes,
                },
                this);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public DeviceMemory Pool { get; }

    public DeviceMemory Entries { get; }

    public CacheEngine Engine { get; }

    /// <summary>Device memory, and staging beside it.</summary>
    public long DeviceBytes { get; private set; }

    /// <summary>Makes queues, timelines and memory of a lane, then the lane.</summary>
    /// <exception cref="KernelNotFoundException">The lane is to have page tables, and the device has no kernel that writes them; or windows, and it has none that gathers them.</exception>
    public LaneState OpenLane(ClientState client, KvLaneOptions options)
    {
        var number = Engine.NextLane;
        var bytes = LaneState.RingBytes(options.Depth, options.MaxBatch, options.MaxLayouts);
        var (memoryBefore, deviceBytesBefore) = (_memory.Count, DeviceBytes);
        try
        {
            return OpenLane(client, options, number, bytes);
        }
        catch
        {
            GiveBackLane(number, memoryBefore);
            DeviceBytes = deviceBytesBefore;
            throw;
        }
    }

    private LaneState OpenLane(ClientState client, KvLaneOptions options, int number, long bytes)
    {
        var views = Allocate(bytes, MemoryKind.Device, $"views of lane {number}");
        var staging = Allocate(bytes, MemoryKind.Host, $"staging of lane {number}");
        DeviceBytes += bytes;
        var pageTables = options.MaxPages == 0
            ? null
            : new PageTableRing(options, Allocate(PageTableRing.BytesOf(options), MemoryKind.Device, $"page tables of lane {number}"), _device.LoadKernel(CpuKernelLibrary.PageTable));
        var windows = options.Windows ? OpenWindows(options, number) : null;
        AddQueue(number, TimelineKind.In, $"lane {number} in");
        AddQueue(number, TimelineKind.Out, $"lane {number} out");
        foreach (var kind in (ReadOnlySpan<TimelineKind>)[TimelineKind.Begin, TimelineKind.End, TimelineKind.In, TimelineKind.Out])
        {
            AddTimeline(number, kind, $"lane {number} {kind}");
        }

        return Engine.OpenLane(client, new LaneMemory(options.Depth, options.MaxBatch, options.MaxLayouts, views, staging, pageTables, windows));
    }

    private WindowRing OpenWindows(KvLaneOptions options, int number)
    {
        var bytes = WindowRing.BytesOf(options);
        var (ring, staging) = (Allocate(bytes, MemoryKind.Device, $"windows of lane {number}"), Allocate(bytes, MemoryKind.Host, $"staged windows of lane {number}"));
        DeviceBytes += bytes;
        return new WindowRing(options, ring, staging, _device.LoadKernel(CpuKernelLibrary.GatherWindows), _device.LoadKernel(CpuKernelLibrary.StoreWindows));
    }

    public DeviceTimeline Timeline(int lane, TimelineKind kind) => _timelines[Point.TimelineOf(lane, kind)]!;

    public void Submit(int queue, ReadOnlySpan<EngineWait> waits, CommandList commands, Point signal)
    {
        if (waits.Length > _waits.Length)
        {
            Array.Resize(ref _waits, waits.Length * 2);
        }

        for (var i = 0; i < waits.Length; i++)
        {
            _waits[i] = new WaitPoint(_timelines[waits[i].Point.Timeline]!, waits[i].Point.Value, (int)waits[i].Reason);
        }

        _queues[queue]!.Submit(_waits.AsSpan(0, waits.Length), commands, new TimelinePoint(_timelines[signal.Timeline]!, signal.Value));
    }

    public void Discard(long offset, long bytes) => Pool.Discard(offset, bytes);

    public void Populate(long offset, long bytes) => Pool.Populate(offset, bytes);

    /// <summary>Tells the engine what the timelines have reached, and lets it act on that.</summary>
    public void Turn()
    {
        Observe();
        Engine.Turn();
    }

    /// <summary>Tells the engine what the timelines have reached.</summary>
    public void Observe()
    {
        for (var i = 0; i < _timelines.Length; i++)
        {
            if (_timelines[i] is { } timeline)
            {
                Engine.Observe(i, timeline.Value);
            }
        }
    }

    public void Dispose()
    {
        foreach (var queue in _queues)
        {
            queue?.Dispose();
        }

        foreach (var timeline in _timelines)
        {
            timeline?.Dispose();
        }

        foreach (var memory in _memory)
        {
            memory.Dispose();
        }

        _memory.Clear();
        _queues = [];
        _timelines = [];
    }

    /// <summary>Gives back what was made of a lane that the device could not make whole.</summary>
    private void GiveBackLane(int number, int memoryBefore)
    {
        foreach (var memory in _memory[memoryBefore..])
        {
            memory.Dispose();
        }

        _memory.RemoveRange(memoryBefore, _memory.Count - memoryBefore);
        for (var queue = number * 2; queue < Math.Min(_queues.Length, (number * 2) + 2); queue++)
        {
            _queues[queue]?.Dispose();
            _queues[queue] = null;
        }

        for (var timeline = number * 4; timeline < Math.Min(_timelines.Length, (number * 4) + 4); timeline++)
        {
            _timelines[timeline]?.Dispose();
            _timelines[timeline] = null;
        }
    }

    private DeviceMemory Allocate(long bytes, MemoryKind kind, string label)
    {
        var memory = _device.Allocate(bytes, kind, label);
        _memory.Add(memory);
        DeviceBytes += kind == MemoryKind.Device ? bytes : 0;
        return memory;
    }

    private void AddQueue(int lane, TimelineKind kind, string label)
    {
        var number = (lane * 2) + (kind == TimelineKind.Out ? 1 : 0);
        if (number >= _queues.Length)
        {
            Array.Resize(ref _queues, number + 2);
        }

        _queues[number] = _device.CreateQueue(label);
    }

    private void AddTimeline(int lane, TimelineKind kind, string label)
    {
        var number = Point.TimelineOf(lane, kind);
        if (number >= _timelines.Length)
        {
            Array.Resize(ref _timelines, number + 4);
        }

        _timelines[number] = _device.CreateTimeline(label);
    }
}
