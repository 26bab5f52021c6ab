using System.Diagnostics;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;

namespace Kvcached.Daemon.Replay;

/// <summary>
/// A lane, the queue of its kernels, and the steps in flight. A step stamps its new tokens and then verifies every token that its
/// sequences have, the new ones included, as attention would read them. One thread uses it; steady use allocates nothing.
/// <code>
///   Add … Add → Begin:   lane.Begin · submit (wait begin; stamp; verify; signal end)
///   Observe:             for each step whose end is reached, oldest first: latency, granules, refused sequences
/// </code>
/// </summary>
internal sealed class ReplayLane : IDisposable
{
    private const int SlotBytes = ReplayPlan.MaxBatch * StampedSequence.Bytes;

    private static readonly TimeSpan StallLimit = TimeSpan.FromSeconds(120);

    private readonly KvCache _cache;
    private readonly KvLane _lane;
    private readonly DeviceQueue _queue;
    private readonly DeviceMemory _expectations;
    private readonly DeviceMemory _tally;
    private readonly DeviceKernel _stamp;
    private readonly DeviceKernel _verify;
    private readonly Action<int, int> _refused;
    private readonly CommandList _commands = new();
    private readonly WaitPoint[] _waits = new WaitPoint[1];
    private readonly KvStepItem[] _batch = new KvStepItem[ReplayPlan.MaxBatch];
    private readonly InFlight[] _inFlight = new InFlight[ReplayPlan.LaneDepth];
    private readonly KvShape _shape;
    private readonly long _poolBytes;
    private readonly int _granulesPerToken;
    private int _batchCount;
    private int _oldest;
    private int _inFlightCount;

    /// <summary>Opens a lane of a cache.</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="model">The model of all its sequences.</param>
    /// <param name="plan">The sizes.</param>
    /// <param name="refused">Told the slot and the number of each request of a step that was refused, when the step is observed.</param>
    public ReplayLane(KvCache cache, KvModel model, ReplayPlan plan, Action<int, int> refused)
    {
        for (var i = 0; i < _inFlight.Length; i++)
        {
            _inFlight[i] = new InFlight();
        }

        _cache = cache;
        _refused = refused;
        _lane = cache.OpenLane(new KvLaneOptions { Depth = ReplayPlan.LaneDepth, MaxBatch = ReplayPlan.MaxBatch });
        _queue = cache.Device.CreateQueue("replay kernels");
        _expectations = cache.Device.Allocate(ReplayPlan.LaneDepth * (long)SlotBytes, MemoryKind.Host, "replay expectations");
        _tally = cache.Device.Allocate(StampTally.Bytes, MemoryKind.Host, "replay tally");
        _stamp = cache.Device.LoadKernel(KernelNames.Stamp);
        _verify = cache.Device.LoadKernel(KernelNames.Verify);
        _shape = model.Shape(0);
        _poolBytes = plan.Pool.CeilingBytes;
        _granulesPerToken = plan.Layout.GranulesPerToken;
    }

    /// <summary>The lane, for evictions.</summary>
    public KvLane Lane => _lane;

    /// <summary>Begin called to end observed.</summary>
    public StepLatencies Latencies { get; } = new();

    /// <summary>Steps begun.</summary>
    public long Steps { get; private set; }

    /// <summary>Tokens that steps have written, as observed.</summary>
    public long Tokens { get; private set; }

    /// <summary>Granules that the observed steps should have compared, by what the host knows of its sequences.</summary>
    public long ExpectedGranules { get; private set; }

    /// <summary>What the kernels have counted. Final once <see cref="Drain"/> has returned.</summary>
    public StampTally Tally => MemoryMarshal.Read<StampTally>(_tally.HostSpan(0, StampTally.Bytes));

    private int NextPlace => (_oldest + _inFlightCount) % ReplayPlan.LaneDepth;

    /// <summary>Adds a request to the step that is being put together, after <see cref="WaitForRoom"/>.</summary>
    public void Add(int slot, LiveRequest request, int newTokens)
    {
        var step = _inFlight[NextPlace];
        step.Slots[_batchCount] = slot;
        step.Requests[_batchCount] = request.Number;
        _batch[_batchCount] = new KvStepItem(request.Sequence, newTokens);
        Expectations(NextPlace)[_batchCount] = new StampedSequence
        {
            SequenceId = request.SequenceId,
            TokenCount = (uint)(request.Tokens + newTokens),
            NewTokens = (uint)newTokens,
            ChangedFrom = request.ChangedFrom,
            Version = request.Version,
        };
        _batchCount++;
    }

    /// <summary>Begins the step with what was added, and enqueues its kernels.</summary>
    public void Begin()
    {
        var inFlight = _inFlight[NextPlace];
        inFlight.BeganAt = Stopwatch.GetTimestamp();
        KvStep step;
        while ((step = _lane.Begin(_batch.AsSpan(0, _batchCount))).Status == KvStepStatus.TooManySteps)
        {
            // The host has observed the ends already; the engine does when it is pumped.
            _cache.Pump();
        }

        inFlight.End = step.End;
        inFlight.Count = _batchCount;
        var arguments = new StampArguments
        {
            Pool = _cache.PoolAddress,
            PoolBytes = (ulong)_poolBytes,
            Entries = _cache.EntriesAddress,
            Views = step.ViewsAddress(),
            Sequences = _expectations.Address + (ulong)(NextPlace * (long)SlotBytes),
            Tally = _tally.Address,
            Shape = _shape,
            Count = _batchCount,
        };
        _commands.Clear();
        _commands.Launch(_stamp, arguments);
        _commands.Launch(_verify, arguments);
        _waits[0] = new WaitPoint(step.Begin.Timeline, step.Begin.Value);
        _queue.Submit(_waits, _commands, step.End);
        _inFlightCount++;
        _batchCount = 0;
        Steps++;
    }

    /// <summary>Takes note of the steps that have ended.</summary>
    public void Observe()
    {
        while (_inFlightCount > 0 && _inFlight[_oldest].End.IsReached)
        {
            Retire(_inFlight[_oldest], Expectations(_oldest));
            _oldest = (_oldest + 1) % ReplayPlan.LaneDepth;
            _inFlightCount--;
        }
    }

    /// <summary>Waits until every step begun has ended.</summary>
    public void Drain()
    {
        while (_inFlightCount > 0)
        {
            WaitForOldest();
        }
    }

    /// <summary>Waits, if it must, until another step may be begun.</summary>
    public void WaitForRoom()
    {
        Observe();
        while (_inFlightCount == ReplayPlan.LaneDepth)
        {
            WaitForOldest();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _queue.Dispose();
        _expectations.Dispose();
        _tally.Dispose();
    }

    private void WaitForOldest()
    {
        if (!_cache.Wait(_inFlight[_oldest].End, StallLimit))
        {
            throw new ReplayStalledException($"Step {Steps - _inFlightCount + 1} has not ended within {StallLimit.TotalSeconds} s.");
        }

        Observe();
    }

    private void Retire(InFlight step, ReadOnlySpan<StampedSequence> sequences)
    {
        Latencies.Add((long)Stopwatch.GetElapsedTime(step.BeganAt).TotalMicroseconds);
        for (var i = 0; i < step.Count; i++)
        {
            if (sequences[i].Refused != 0)
            {
                _refused(step.Slots[i], step.Requests[i]);
                continue;
            }

            Tokens += sequences[i].NewTokens;
            ExpectedGranules += (long)sequences[i].TokenCount * _granulesPerToken;
        }
    }

    /// <summary>The expectations of the step in a place of the ring. The host writes them only once the step that was there before has been observed as ended (I2).</summary>
    private Span<StampedSequence> Expectations(int place) =>
        MemoryMarshal.Cast<byte, StampedSequence>(_expectations.HostSpan(place * (long)SlotBytes, SlotBytes));

    private sealed class InFlight
    {
        public readonly int[] Slots = new int[ReplayPlan.MaxBatch];
        public readonly int[] Requests = new int[ReplayPlan.MaxBatch];
        public TimelinePoint End;
        public long BeganAt;
        public int Count;
    }
}

/// <summary>A step has not ended for so long that it never will.</summary>
internal sealed class ReplayStalledException(string message) : Exception(message);
