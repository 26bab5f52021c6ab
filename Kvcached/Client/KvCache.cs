using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;
using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached;

/// <summary>
/// A KV cache over a device. Members may be called from any thread. No member waits for the device, but for <see cref="Wait"/> and
/// <see cref="WaitAsync"/>, which are for applications that need a result on the host, and are counted.
/// </summary>
public sealed partial class KvCache : IDisposable
{
    /// <summary>How long a waiting application sleeps before it lets the engine act again.</summary>
    private static readonly TimeSpan _waitSlice = TimeSpan.FromMilliseconds(1);

    private const int CleanAheadBlocks = 32;
    private const int MaxLanes = 256;

    private readonly Lock _lock = new();
    private readonly KvMetrics _metrics;
    private readonly EngineHost _host;
    private readonly ClientState _client;
    private StepRequest[] _batch = new StepRequest[256];
    private long _hostWaits;
    private bool _closed;

    private KvCache(IDevice device, KvCacheOptions options)
    {
        Device = device;
        _host = new EngineHost(device, new EngineSizes
        {
            PoolBytes = options.PoolBytes,
            PoolFloorBytes = options.PoolFloorBytes,
            ColdBytes = options.ColdBytes,
            TableBytes = options.TableBytes,
            MaxSequences = options.MaxSequences,
            CleanAheadBlocks = options.CleanAhead ? CleanAheadBlocks : 0,
        });
        _metrics = new KvMetrics(ReadMeanRunLength);
        _client = _host.Engine.OpenClient(options.MaxPinnedBytes ?? long.MaxValue);
    }

    /// <summary>Bytes of physical memory that the system has given for the pool so far. A system call: not for hot paths.</summary>
    public long PoolPhysicalBytes => Open().Pool.PhysicalBytes;

    /// <summary>The device that the cache's memory lies on.</summary>
    public IDevice Device { get; }

    /// <summary>Device address of the entry heap, for kernels.</summary>
    public ulong EntriesAddress => Open().Entries.Address;

    /// <summary>Device address of the pool's byte 0, for kernels: an entry times 256 is an offset from here.</summary>
    public ulong PoolAddress => Open().Pool.Address;

    /// <summary>Opens a cache inside this process: the engine runs inline on the caller's thread, under one lock.</summary>
    /// <exception cref="KvException">A size is impossible; the message names it and the limit.</exception>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    public static KvCache OpenEmbedded(IDevice device, KvCacheOptions options)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        return new KvCache(device, options);
    }

    /// <summary>Registers a model. A sequence of it has one row per layout.</summary>
    /// <exception cref="KvException">There is no layout, one is out of range, or a block does not fit the pool.</exception>
    public KvModel RegisterModel(string name, params ReadOnlySpan<KvLayout> layouts)
    {
        ArgumentNullException.ThrowIfNull(name);
        KvCacheOptions.Check(nameof(layouts), layouts.Length, 1, ModelState.MaxLayouts, 1);
        var shapes = new KvShape[layouts.Length];
        var windows = new int[layouts.Length];
        for (var i = 0; i < layouts.Length; i++)
        {
            ArgumentNullException.ThrowIfNull(layouts[i], nameof(layouts));
            shapes[i] = layouts[i].ToShape();
            windows[i] = layouts[i].WindowTokens;
        }

        lock (_lock)
        {
            ThrowIfClosed();
            return new KvModel(this, _host.Engine.RegisterModel(_client, shapes, windows), name, layouts.ToArray(), shapes);
        }
    }

    /// <summary>Opens a lane, an ordered flow of steps.</summary>
    /// <exception cref="KvException">A size is impossible; the message names it and the limit.</exception>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    /// <exception cref="KernelNotFoundException">The lane is to have page tables, and the device has no kernel that writes them.</exception>
    public KvLane OpenLane(KvLaneOptions? options = null)
    {
        options ??= new KvLaneOptions();
        options.Validate();
        lock (_lock)
        {
            ThrowIfClosed();
            if (_client.Lanes.Count == MaxLanes)
            {
                throw new KvException(KvError.CapacityExceeded, $"The cache has {MaxLanes} lanes, which is its limit.");
            }

            var state = _host.OpenLane(_client, options);
            return new KvLane(this, state, _host.Timeline(state.Number, TimelineKind.Begin), _host.Timeline(state.Number, TimelineKind.End));
        }
    }

    /// <summary>Observes points, serves steps that are busy, starts background work. Never blocks. Begin does the same.</summary>
    public void Pump()
    {
        EngineCounters counted;
        lock (_lock)
        {
            Turn();
            counted = _metrics.Take(_host.Engine.Counters);
        }

        _metrics.Report(counted);
    }

    /// <summary>
    /// Asks for the pool to be compacted: blocks of sparse segments are moved into fuller ones, beside whatever kernels run. Later turns do it, a part in
    /// each while nothing else uses the background queue. Never blocks.
    /// </summary>
    public void Compact()
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Compact();
            Turn();
        }
    }

    /// <summary>
    /// Compacts, and gives the memory of what comes free back to the system, down to <see cref="KvCacheOptions.PoolFloorBytes"/>. Later turns do it.
    /// Never waits for the device.
    /// </summary>
    public void Trim()
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Trim();
            Turn();
        }
    }

    /// <summary>Blocks the calling thread until the point is reached, and counts that. Pumps while it waits.</summary>
    /// <param name="point">What to wait for.</param>
    /// <param name="timeout">How long at most; <see cref="Timeout.InfiniteTimeSpan"/> for as long as it takes.</param>
    /// <returns>False if the timeout passed first.</returns>
    public bool Wait(TimelinePoint point, TimeSpan timeout)
    {
        ArgumentNullException.ThrowIfNull(point.Timeline, nameof(point));
        Pump();
        CountHostWait();
        var start = System.Diagnostics.Stopwatch.GetTimestamp();
        while (!point.IsReached)
        {
            Pump();
            if (timeout != Timeout.InfiniteTimeSpan && System.Diagnostics.Stopwatch.GetElapsedTime(start) > timeout)
            {
                return point.IsReached;
            }

#pragma warning disable RS0030 // The application asked for this wait; nothing in the library does.
            point.Timeline.WaitOnHost(point.Value, _waitSlice);
#pragma warning restore RS0030
        }

        Pump();
        return true;
    }

    /// <summary>Completes when the point is reached, and counts that. Pumps while it waits.</summary>
    public async Task WaitAsync(TimelinePoint point, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(point.Timeline, nameof(point));
        Pump();
        CountHostWait();
        while (!point.IsReached)
        {
            Pump();
            await Task.Delay(_waitSlice, cancellation).ConfigureAwait(false);
        }

        Pump();
    }

    /// <summary>Counters. Allocates nothing.</summary>
    public KvCacheStatistics GetStatistics()
    {
        lock (_lock)
        {
            ThrowIfClosed();
            var state = _host.Engine.State;
            ref readonly var counters = ref _host.Engine.Counters;
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
                HostWaits = Interlocked.Read(ref _hostWaits),
                CompactedBlocks = counters.CompactedBlocks,
                CompactedSegments = counters.CompactedSegments,
                ReorderedBlocks = counters.ReorderedBlocks,
                Copies = counters.Copies,
                BlockRuns = state.Runs.Count,
                PoolPresentBytes = state.Pool.PresentBytes,
                PoolPinnedBytes = state.Pool.CarvedBytes,
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
                DeviceBytes = _host.DeviceBytes,
            };
        }
    }

    /// <summary>
    /// Closes the cache and gives its queues, timelines and memory back. Enqueued work that has not started is given up. The application's own
    /// kernels that use the cache's memory must have ended.
    /// </summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            _closed = true;
            _host.Dispose();
            _metrics.Dispose();
        }
    }

    private void Turn()
    {
        ThrowIfClosed();
        _host.Turn();
    }

    /// <summary>For a listener that asks, whenever it does.</summary>
    private double ReadMeanRunLength()
    {
        lock (_lock)
        {
            return _closed ? 0 : GetStatistics().MeanRunLength;
        }
    }

    private void CountHostWait()
    {
        Interlocked.Increment(ref _hostWaits);
        _metrics.CountHostWait();
    }

    private EngineHost Open()
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host;
        }
    }

    private void ThrowIfClosed()
    {
        if (_closed)
        {
            throw new KvException(KvError.Closed, "The cache has been disposed.");
        }
    }
}
