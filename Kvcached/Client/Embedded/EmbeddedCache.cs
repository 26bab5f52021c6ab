using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Memory;

namespace Kvcached;

/// <summary>A cache inside this process: its engine runs inline on the caller's thread, under one lock.</summary>
internal sealed partial class EmbeddedCache : KvCache
{
    private const int CleanAheadBlocks = 32;
    private const int MaxLanes = 256;

    private readonly Lock _lock = new();
    private readonly KvMetrics _metrics;
    private readonly EngineHost _host;
    private readonly ClientState _client;
    private StepRequest[] _batch = new StepRequest[256];
    private bool _closed;

    /// <summary>Opens a cache of sizes that have been checked.</summary>
    public EmbeddedCache(IDevice device, KvCacheOptions options)
        : base(device)
    {
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

    public override long PoolPhysicalBytes => Open().Pool.PhysicalBytes;

    public override ulong EntriesAddress => Open().Entries.Address;

    public override ulong PoolAddress => Open().Pool.Address;

    /// <summary>Whether nothing is under way or asked for that turns would go on with: compaction, trims and copies in the background have ended.</summary>
    internal bool IsIdle
    {
        get
        {
            lock (_lock)
            {
                ThrowIfClosed();
                return !_host.Engine.AwaitsPoints;
            }
        }
    }

    public override void Pump()
    {
        EngineCounters counted;
        lock (_lock)
        {
            Turn();
            counted = _metrics.Take(_host.Engine.Counters);
        }

        _metrics.Report(counted);
    }

    public override void Compact()
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Compact();
            Turn();
        }
    }

    public override void Trim()
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Trim();
            Turn();
        }
    }

    public override KvCacheStatistics GetStatistics()
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host.ReadStatistics() with { HostWaits = HostWaits };
        }
    }

    internal override int RegisterModel(string name, KvLayout[] layouts, KvShape[] shapes)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host.Engine.RegisterModel(_client, shapes, KvLayout.WindowsOf(layouts));
        }
    }

    private protected override KvLane OpenLaneCore(KvLaneOptions options)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            if (_client.Lanes.Count == MaxLanes)
            {
                throw new KvException(KvError.CapacityExceeded, $"The cache has {MaxLanes} lanes, which is its limit.");
            }

            var state = _host.OpenLane(_client, options);
            return new EmbeddedLane(this, state, _host.Timeline(state.Number, TimelineKind.Begin), _host.Timeline(state.Number, TimelineKind.End));
        }
    }

    private protected override void DisposeCore()
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

    private protected override void ReportHostWait() => _metrics.CountHostWait();

    private void Turn()
    {
        ThrowIfClosed();
        _host.Engine.Tick(Environment.TickCount64);
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
            throw Closed();
        }
    }
}
