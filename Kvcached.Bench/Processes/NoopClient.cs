using Kvcached.Devices;

namespace Kvcached.Bench.Processes;

/// <summary>A client whose kernels do nothing: what remains is the way of a step from its command to its end. One thread.</summary>
internal sealed class NoopClient : IDisposable
{
    private const int Depth = 64;
    private const int TokensPerBlock = 16;

    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(30);

    private readonly KvCache _cache;
    private readonly KvModel _model;
    private readonly KvLane _lane;
    private readonly DeviceQueue _queue;
    private readonly CommandList _commands = new();
    private readonly WaitPoint[] _waits = new WaitPoint[1];
    private readonly TimelinePoint[] _ends = new TimelinePoint[Depth];
    private readonly KvStepItem[] _batch;
    private int _begun;

    /// <summary>Opens a lane, and as many sequences of one token as the batch has.</summary>
    public NoopClient(KvCache cache, int sequences)
    {
        _cache = cache;
        _model = cache.RegisterModel("noop", new KvLayout { Layers = 1, Heads = 2, HeadDim = 64, TokensPerBlock = TokensPerBlock });
        _lane = cache.OpenLane(new KvLaneOptions { Depth = Depth, MaxBatch = sequences });
        _queue = cache.Device.CreateQueue("noop kernels");
        _batch = new KvStepItem[sequences];
        for (var i = 0; i < sequences; i++)
        {
            _batch[i] = new KvStepItem(_model.CreateSequence(), NewTokens: 1);
        }

        Begin();
        Drain();
        ReadOnly();
    }

    /// <summary>Begins a step, enqueues kernels of nothing, and goes on; waits where the lane is full.</summary>
    public KvStep Begin()
    {
        KvStep step;
        while ((step = _lane.Begin(_batch)).Status == KvStepStatus.TooManySteps)
        {
            // Half of what is under way: whoever waited for the oldest step alone would be woken for each.
            Await(_ends[(_begun + (Depth / 2) - 1) % Depth]);
        }

        _waits[0] = new WaitPoint(step.Begin.Timeline, step.Begin.Value);
        _queue.Submit(_waits, _commands, step.End);
        _ends[_begun++ % Depth] = step.End;
        return step;
    }

    /// <summary>Begins a step and has its begin point observed by the host; its end is signalled by the host, too.</summary>
    public void RoundTrip()
    {
        KvStep step;
        while ((step = _lane.Begin(_batch)).Status == KvStepStatus.TooManySteps)
        {
            _cache.Pump();
        }

        if (!step.Begin.Timeline.WaitOnHost(step.Begin.Value, _limit))
        {
            throw new TimeoutException($"Step {step.Number} has not begun: {_lane.StatusOf(step.Number)}.");
        }

        step.End.Timeline.Signal(step.End.Value);
    }

    /// <summary>New sequences take so many blocks, and are freed: one step each. Returns the blocks.</summary>
    public long AllocateAndFree(int blocks)
    {
        for (var i = 0; i < _batch.Length; i++)
        {
            _batch[i] = new KvStepItem(_model.CreateSequence(), blocks * TokensPerBlock);
        }

        Begin();
        foreach (ref readonly var item in _batch.AsSpan())
        {
            item.Sequence.Free();
        }

        return (long)_batch.Length * blocks;
    }

    public void Drain() => Await(_ends[(_begun - 1) % Depth]);

    public void Dispose()
    {
        _queue.Dispose();
        _cache.Dispose();
    }

    private void ReadOnly()
    {
        foreach (ref var item in _batch.AsSpan())
        {
            item = item with { NewTokens = 0 };
        }
    }

    private void Await(TimelinePoint end)
    {
        if (!_cache.Wait(end, _limit))
        {
            throw new TimeoutException($"A step has not ended within {_limit.TotalSeconds} s.");
        }
    }
}
