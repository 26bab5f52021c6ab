using Kvcached.Devices;
using Kvcached.Kernels;

namespace Kvcached.Daemon.Demo;

/// <summary>Sizes of a run's cache.</summary>
internal sealed record PagedKvOptions
{
    public required PoolSize Pool { get; init; }

    public required long ColdBytes { get; init; }

    /// <summary>Steps that may be begun and not yet observed as ended.</summary>
    public int Depth { get; init; } = 4;

    /// <summary>Whether the policy's actions are done.</summary>
    public bool HasPolicy { get; init; } = true;

    /// <summary>Whether kernels find keys and values in contiguous windows, and know of no table.</summary>
    public bool HasWindows { get; init; }

    /// <summary>Whether the cache is a daemon's: its counters are those of all of its clients, and not read at every step, since each time the daemon is asked.</summary>
    public bool IsServed { get; init; }
}

/// <summary>Keys and values in a cache: a sequence per request, one lane.</summary>
internal sealed class PagedKv : IKvSource
{
    /// <summary>Most blocks that the policy moves at a time.</summary>
    private const int MovedBlocks = 4;

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(120);

    private readonly Schedule _schedule;
    private readonly PagedKvOptions _options;
    private readonly KvCache _cache;
    private readonly bool _ownsCache;
    private readonly KvModel _model;
    private readonly KvLane _lane;
    private readonly KvShape _shape;
    private readonly DeviceMemory _requests;
    private readonly KvSequence[] _sequences;
    private readonly int[] _tokens;
    private readonly KvStepItem[] _batch;
    private readonly KvStep[] _last;
    private KvStep _step;
    private ulong _begun;

    /// <summary>A model with a cache of its own.</summary>
    public PagedKv(IDevice device, ModelShape shape, Schedule schedule, PagedKvOptions options)
        : this(Open(device, options), shape, schedule, options) => _ownsCache = true;

    /// <summary>A model on a cache that others may use too; disposing leaves the cache alone.</summary>
    public PagedKv(KvCache cache, ModelShape shape, Schedule schedule, PagedKvOptions options)
    {
        _schedule = schedule;
        _options = options;
        _cache = cache;
        _model = _cache.RegisterModel("demo", shape.Layout);
        _lane = _cache.OpenLane(new KvLaneOptions { Depth = options.Depth, MaxBatch = schedule.MaxItems, Windows = options.HasWindows });
        _shape = options.HasWindows ? _model.WindowShape() : _model.Shape();
        _requests = ScheduleTable.Create(cache.Device, schedule);
        _sequences = new KvSequence[schedule.Requests.Count];
        _tokens = new int[schedule.Requests.Count];
        _batch = new KvStepItem[schedule.MaxItems];
        _last = new KvStep[options.Depth];
        Attention = options.HasWindows ? AttentionLayer.Contiguous(cache.Device, shape) : AttentionLayer.Paged(cache.Device, shape);
    }

    public AttentionLayer Attention { get; }

    public KvCacheStatistics Statistics => _options.IsServed ? default : _cache.GetStatistics();

    /// <summary>What became of the windows.</summary>
    public WindowGrowth Windows { get; } = new();

    /// <summary>Steps that were accepted as they were begun.</summary>
    public int AcceptedSteps { get; private set; }

    /// <summary>A cache of those sizes.</summary>
    public static KvCache Open(IDevice device, PagedKvOptions options) =>
        KvCache.OpenEmbedded(device, new KvCacheOptions { PoolBytes = options.Pool.CeilingBytes, PoolFloorBytes = options.Pool.FloorBytes, ColdBytes = options.ColdBytes });

    public BegunStep Begin(int step)
    {
        var planned = _schedule.Steps[step];
        for (var i = 0; i < planned.Items; i++)
        {
            var (request, newTokens) = _schedule.Items[planned.FirstItem + i];
            if (_tokens[request] == 0)
            {
                _sequences[request] = _model.CreateSequence();
                if (_options.HasWindows)
                {
                    _sequences[request].OpenWindow();
                }
            }

            _tokens[request] += newTokens;
            _batch[i] = new KvStepItem(_sequences[request], newTokens);
        }

        var begun = _step = BeginOnLane(_batch.AsSpan(0, planned.Items), step);
        _last[_begun++ % (ulong)_last.Length] = begun;
        var kv = new KvBatch
        {
            Views = begun.ViewsAddress(),
            Entries = _cache.EntriesAddress,
            Pool = _cache.PoolAddress,
            Buffers = _options.HasWindows ? begun.WindowsAddress() : 0,
            Shape = _shape,
            Batch = (uint)planned.Items,
            Format = ElementFormat.Float16,
        };
        var input = new StepInput(kv, ScheduleTable.AddressOf(_requests, planned), planned.Rows, planned.IsPrefill);
        return new BegunStep(input, new WaitPoint(begun.Begin.Timeline, begun.Begin.Value), begun.End);
    }

    public void Complete(CommandList commands)
    {
        if (_options.HasWindows)
        {
            _step.StoreWindows(commands);
        }
    }

    public void Submitted(int step)
    {
        var planned = _schedule.Steps[step];
        for (var i = 0; i < planned.Items; i++)
        {
            var request = _schedule.Items[planned.FirstItem + i].Request;
            if (_tokens[request] == _schedule.Requests[request].Context)
            {
                _sequences[request].Free();
            }
        }

        if (_options.HasPolicy)
        {
            Act(planned.Action, planned.ActionRequest);
        }
    }

    /// <summary>Does to a request's sequence what the policy asks for; returns the blocks concerned.</summary>
    public int Act(PolicyAction action, int request) => action switch
    {
        PolicyAction.Move => _sequences[request].Move(_lane, MovedBlocks),
        PolicyAction.Clean => _sequences[request].Clean(_lane),
        PolicyAction.Evict => _sequences[request].Evict(_lane),
        PolicyAction.Prefetch => _sequences[request].Prefetch(_lane),
        _ => 0,
    };

    /// <summary>Evicts every other of the sequences that live.</summary>
    public void EvictEveryOther()
    {
        var isOther = false;
        for (var request = 0; request < _tokens.Length; request++)
        {
            if (_tokens[request] > 0 && _tokens[request] < _schedule.Requests[request].Context)
            {
                isOther = !isOther;
                _ = isOther ? _sequences[request].Evict(_lane) : 0;
            }
        }
    }

    public void WaitForEnd()
    {
        for (var behind = Math.Min(_begun, (ulong)_last.Length); behind > 0; behind--)
        {
            WaitFor(_last[(_begun - behind) % (ulong)_last.Length]);
        }

        var refused = _cache.GetStatistics().RefusedSteps;
        if (refused > 0)
        {
            throw new DemoFailedException($"{refused} steps were refused; the schedule needs all of them.");
        }
    }

    public void Dispose()
    {
        if (_ownsCache)
        {
            _cache.Dispose();
        }

        _requests.Dispose();
    }

    /// <summary>Begins a step; where the lane is full, waits for the oldest step on it and begins again.</summary>
    private KvStep BeginOnLane(ReadOnlySpan<KvStepItem> batch, int step)
    {
        while (true)
        {
            var before = Statistics;
            var begun = _lane.Begin(batch);
            Windows.Look(before, Statistics);
            switch (begun.Status)
            {
                case KvStepStatus.Accepted:
                    AcceptedSteps++;
                    return begun;
                case KvStepStatus.Busy or KvStepStatus.Pending:
                    return begun;
                case KvStepStatus.TooManySteps:
                    WaitFor(_last[_begun % (ulong)_last.Length]);
                    break;
                default:
                    throw new DemoFailedException($"Step {step} was refused: {begun.Status}.");
            }
        }
    }

    /// <summary>Waits until a step has ended, as one that was served.</summary>
    private void WaitFor(KvStep step)
    {
        var point = step.End;
        if (!_cache.Wait(point, Timeout))
        {
            throw new DemoFailedException($"{point.Timeline.Label} did not reach {point.Value} within {Timeout.TotalSeconds} s; it is at {point.Timeline.Value}.");
        }

        var status = _lane.StatusOf(step.Number);
        if (status is KvStepStatus.NeverFits or KvStepStatus.NoRoom or KvStepStatus.OverQuota)
        {
            throw new DemoFailedException($"Step {step.Number} was refused: {status}; the schedule needs all of them.");
        }
    }
}
