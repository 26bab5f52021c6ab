using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;
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
    private readonly HostDevice _device;
    private readonly Action<IDisposable> _dispose;
    private readonly List<DeviceMemory> _memory = [];
    private HostLane?[] _lanes = [null];
    private DeviceQueue?[] _queues = new DeviceQueue?[2];
    private DeviceTimeline?[] _timelines = new DeviceTimeline?[4];
    private WaitPoint[] _waits = new WaitPoint[64];

    public EngineHost(IDevice device, EngineSizes sizes)
        : this(new HostDevice(device), sizes)
    {
    }

    /// <summary>Makes an engine and what it needs of a device.</summary>
    /// <param name="device">The device.</param>
    /// <param name="sizes">How much of it.</param>
    /// <param name="dispose">Disposes what a lane that has ended had, which may take as long as the device likes; null to have it done at once.</param>
    public EngineHost(HostDevice device, EngineSizes sizes, Action<IDisposable>? dispose = null)
    {
        (_device, _dispose) = (device, dispose ?? (made => made.Dispose()));
        try
        {
            Pool = _device.AllocatePool(sizes.PoolBytes, sizes.PoolFloorBytes ?? sizes.PoolBytes, "pool");
            _memory.Add(Pool);
            DeviceBytes += Pool.Bytes;
            _timelines[Point.ArrivalTimeline] = Pool.Arrivals;
            Entries = Allocate(sizes.TableBytes, MemoryKind.Device, "entries", SharedAccess.ReadOnlyForOthers);
            var cold = sizes.ColdBytes == 0 ? null : Allocate(sizes.ColdBytes, MemoryKind.Host, "cold");
            _queues[Point.BackgroundLane * 2] = device.Device.CreateQueue("background");
            _timelines[Point.TimelineOf(Point.BackgroundLane, TimelineKind.In)] = device.CreateTimeline("background");
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
                    // Memory that the device keeps whatever is said is never given back.
                    PoolFloorBytes = Pool.Returns == MemoryReturn.Never ? null : sizes.PoolFloorBytes,
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

    /// <summary>Makes queues, timelines and memory for a lane, which take as long as the device likes. Any thread, without the cache's lock.</summary>
    /// <param name="name">What the lane is called, in messages.</param>
    /// <param name="options">Its sizes.</param>
    /// <param name="pool">Address of the pool's byte 0 in the process that runs the lane's steps; null for this process.</param>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    /// <exception cref="KernelNotFoundException">The lane is to have page tables, and the device has no kernel that writes them; or windows, and it has none that gathers them.</exception>
    public HostLane MakeLane(string name, KvLaneOptions options, ulong? pool = null) => new(_device, name, options, pool ?? Pool.Address);

    /// <summary>Makes a lane's things, then the lane. All of it goes when the lane ends.</summary>
    /// <exception cref="KvException">The client has been condemned, or there are no more lanes.</exception>
    /// <inheritdoc cref="MakeLane"/>
    public LaneState OpenLane(ClientState client, KvLaneOptions options, DeviceTimeline? begin = null, DeviceTimeline? end = null)
    {
        Engine.ThrowIfNoLane(client);
        return OpenLane(client, MakeLane($"lane {Engine.NextLane}", options), begin, end);
    }

    /// <summary>Opens a lane of what was made for it, and takes that over, also where the client can have no lane.</summary>
    /// <param name="client">Whose lane it is.</param>
    /// <param name="made">What <see cref="MakeLane"/> made.</param>
    /// <param name="begin">Its begin timeline, where the caller has made it and disposes it when the lane has ended; null for its own.</param>
    /// <param name="end">The same of its end timeline.</param>
    /// <exception cref="KvException">The client has been condemned, or there are no more lanes.</exception>
    public LaneState OpenLane(ClientState client, HostLane made, DeviceTimeline? begin, DeviceTimeline? end)
    {
        try
        {
            Engine.ThrowIfNoLane(client);
        }
        catch
        {
            _dispose(made);
            throw;
        }

        made.Bring(begin, end);
        var number = Engine.NextLane;
        Place(made, number);
        foreach (var kind in Enum.GetValues<TimelineKind>())
        {
            // A lane goes on from the values of the one that had its number: in the engine, and here.
            if (Engine.NextLaneReached(kind) is > 0 and var reached)
            {
                made[kind].Signal(reached);
            }
        }

        DeviceBytes += made.DeviceBytes;
        return Engine.OpenLane(client, made.Memory);
    }

    public void Close(int lane)
    {
        var made = _lanes[lane]!;
        _lanes[lane] = null;
        DeviceBytes -= made.DeviceBytes;
        _queues.AsSpan(lane * 2, 2).Clear();
        _timelines.AsSpan(lane * 4, 4).Clear();
        _dispose(made);
    }

    public DeviceTimeline Timeline(int lane, TimelineKind kind) => _timelines[Point.TimelineOf(lane, kind)]!;

    public void Submit(int queue, ReadOnlySpan<EngineWait> waits, CommandList commands, Point signal)
    {
        if (waits.Length * 2 > _waits.Length)
        {
            Array.Resize(ref _waits, waits.Length * 4);
        }

        var count = 0;
        foreach (ref readonly var wait in waits)
        {
            var point = wait.Point;
            _waits[count++] = new WaitPoint(_timelines[point.Timeline]!, point.Value, (int)wait.Reason);
            if (_device.IsShared && point.Kind == TimelineKind.End)
            {
                // A client in another process may signal what it likes: no end counts before its begin, here as in the engine. What waits for the end would overtake what is on the way into the step's blocks.
                _waits[count++] = new WaitPoint(_timelines[Point.TimelineOf(point.Lane, TimelineKind.Begin)]!, point.Value, (int)wait.Reason);
            }
        }

        _queues[queue]!.Submit(_waits.AsSpan(0, count), commands, new TimelinePoint(_timelines[signal.Timeline]!, signal.Value));
    }

    public void Discard(long offset, long bytes) => Pool.Discard(offset, bytes);

    public Point Populate(long offset, long bytes) => Pool.Populate(offset, bytes) is > 0 and var arrival ? new Point(Point.ArrivalTimeline, arrival) : default;

    public bool IsRefused(Point arrival) => Pool.IsRefused(arrival.Value);

    /// <summary>Counters, but for waits of the application, which the host does not see. Allocates nothing.</summary>
    public KvCacheStatistics ReadStatistics()
    {
        var state = Engine.State;
        ref readonly var counters = ref Engine.Counters;
        return new KvCacheStatistics
        {
            Steps = counters.Steps,
            RefusedSteps = counters.RefusedSteps,
            BusySteps = counters.BusySteps,
            CleanedBlocks = counters.CleanedBlocks,
            EvictedBlocks = counters.EvictedBlocks,
            ReloadedBlocks = counters.ReloadedBlocks,
            MovedBlocks = counters.MovedBlocks,
            BytesOut = counters.BytesOut,
            BytesIn = counters.BytesIn,
            BytesMoved = counters.BytesMoved,
            CompactedBlocks = counters.CompactedBlocks,
            CompactedSegments = counters.CompactedSegments,
            ReorderedBlocks = counters.ReorderedBlocks,
            Copies = counters.Copies,
            BlockRuns = state.Runs.Count,
            PoolPresentBytes = state.Pool.PresentBytes,
            PoolPinnedBytes = state.Pool.CarvedBytes,
            PoolFloorBytes = FloorBytes,
            PoolGrowths = state.Pool.Units.Asked - state.Pool.Units.Refused,
            PoolGrowthsRefused = state.Pool.Units.Refused,
            ResidentBlocks = state.Pool.UsedBlocks - state.Windows,
            ResidentBytes = state.Pool.UsedBytes - state.WindowBytes,
            WindowBytes = state.WindowBytes,
            WindowsGrown = counters.WindowsGrown,
            WindowsMoved = counters.WindowsMoved,
            WindowsDropped = counters.WindowsDropped,
            BytesGathered = counters.BytesGathered,
            ColdBlocks = state.Cold.Pool.UsedBlocks,
            ColdBytes = state.Cold.Pool.UsedBytes,
            ColdBytesPeak = state.Cold.Pool.UsedBytesPeak,
            DeviceBytes = DeviceBytes,
        };
    }

    /// <summary>What the pool keeps: whole extents, where memory comes and goes so.</summary>
    private long FloorBytes => Engine.State.Options.PoolFloorBytes is not { } floor ? Pool.Bytes
        : Pool.Returns != MemoryReturn.Later ? floor
        : Math.Min((floor + Pool.ExtentBytes - 1) / Pool.ExtentBytes * Pool.ExtentBytes, Pool.Bytes);

    /// <summary>Tells the engine what the timelines have reached, and lets it act on that.</summary>
    public void Turn()
    {
        Observe();
        Engine.Turn();
    }

    /// <summary>Tells the engine what the timelines have reached, and ends the steps of clients that are gone.</summary>
    public void Observe()
    {
        for (var i = 0; i < _timelines.Length; i++)
        {
            if (_timelines[i] is { } timeline)
            {
                Engine.Observe(i, timeline.Value);
            }
        }

        EndStepsOfTheGone();
    }

    public void Dispose()
    {
        // All queues first: the background's, and each lane's, may read what is another's.
        foreach (var queue in _queues)
        {
            queue?.Dispose();
        }

        foreach (var lane in _lanes)
        {
            lane?.Dispose();
        }

        _timelines[Point.TimelineOf(Point.BackgroundLane, TimelineKind.In)]?.Dispose();
        foreach (var memory in _memory)
        {
            memory.Dispose();
        }

        _memory.Clear();
        _lanes = [];
        _queues = [];
        _timelines = [];
    }

    /// <summary>
    /// Ends the steps of clients that have been proved gone, in their place: each once it has begun, as kernels that do nothing would, so that whoever waits for an end may still take it that its
    /// publish has run. Again on every turn, whatever the timeline says: the client may have died before it woke who waits, or what is left of it may write over the value.
    /// </summary>
    private void EndStepsOfTheGone()
    {
        foreach (var client in Engine.State.Dying)
        {
            if (client.Life != ClientLife.Gone || RuleFaults.Is(RuleFault.EndsOfTheGoneNotSignalled))
            {
                continue;
            }

            foreach (var lane in client.Lanes)
            {
                var begun = RuleFaults.Is(RuleFault.EndsOfTheGoneSignalledEarly) ? lane.Planned : Engine.State.Timelines.Observed(Point.TimelineOf(lane.Number, TimelineKind.Begin));
                var end = Point.TimelineOf(lane.Number, TimelineKind.End);
                _device.Poison(_timelines[end]!, begun);
                Engine.Observe(end, _timelines[end]!.Value);
            }
        }
    }

    private DeviceMemory Allocate(long bytes, MemoryKind kind, string label, SharedAccess access = SharedAccess.Private)
    {
        var memory = _device.Allocate(bytes, kind, label, access);
        _memory.Add(memory);
        DeviceBytes += kind == MemoryKind.Device ? bytes : 0;
        return memory;
    }

    private void Place(HostLane lane, int number)
    {
        if (number >= _lanes.Length)
        {
            Array.Resize(ref _lanes, number + 1);
            Array.Resize(ref _queues, (number + 1) * 2);
            Array.Resize(ref _timelines, (number + 1) * 4);
        }

        _lanes[number] = lane;
        (_queues[number * 2], _queues[(number * 2) + 1]) = (lane.In, lane.Out);
        foreach (var kind in Enum.GetValues<TimelineKind>())
        {
            _timelines[Point.TimelineOf(number, kind)] = lane[kind];
        }
    }
}
