using System.Diagnostics;

namespace Kvcached.Daemon.Replay;

/// <summary>
/// Replays a workload on a cache, embedded or a daemon's: one lane, requests in turns, prompts in chunks, then one token a step. The loop runs on the
/// caller's thread and allocates nothing once it is under way.
/// </summary>
internal sealed class ReplayRun : IDisposable
{
    private readonly RunLengths _runLengths = new();
    private readonly ReplayPlan _plan;
    private readonly ColdMemoryTap? _tap;
    private readonly KvCache _cache;
    private readonly PoolShrinker _shrinker;
    private readonly ReplayLane _lane;
    private readonly LiveRequests _live;
    private readonly ColdBitFlip? _flip;
    private readonly double _speed;
    private readonly bool[] _refused;
    private readonly long _startedAt = Stopwatch.GetTimestamp();
    private long _deviceBytesPeak;

    /// <summary>Opens the cache and the lane.</summary>
    /// <exception cref="KvException">The cache cannot be opened with the plan's sizes.</exception>
    /// <exception cref="Devices.OutOfDeviceMemoryException">The device has not got the memory that the plan asks for.</exception>
    public ReplayRun(ColdMemoryTap device, ReplayPlan plan, ReplayOptions options)
        : this(Open(device, plan), plan, options)
    {
        _tap = device;
        _flip = options.FlipBit ? new ColdBitFlip(device, _cache, _lane.Lane, plan.Layout) : null;
    }

    /// <summary>Opens a lane of a cache that others may use, too. The report leaves out what the pool has at the end.</summary>
    /// <param name="cache">The cache: disposed with the run.</param>
    /// <param name="plan">The plan.</param>
    /// <param name="options">Speed and seed.</param>
    public ReplayRun(KvCache cache, ReplayPlan plan, ReplayOptions options)
    {
        _plan = plan;
        _speed = options.Speed;
        _refused = new bool[plan.Requests.Length];
        _cache = cache;
        _shrinker = new PoolShrinker(_cache);
        var model = _cache.RegisterModel("replay", plan.Layout.ToKvLayout());
        _lane = new ReplayLane(_cache, model, plan, Refuse);
        _live = new LiveRequests(plan, model, options.Seed);
    }

    /// <summary>What the cache has counted so far.</summary>
    public KvCacheStatistics Statistics => _cache.GetStatistics();

    /// <summary>Begin called to end observed.</summary>
    public StepLatencies Latencies => _lane.Latencies;

    /// <summary>Runs the workload to its end.</summary>
    /// <param name="progress">Told now and then how many tokens have been written.</param>
    /// <exception cref="ReplayStalledException">A step does not end.</exception>
    public ReplayReport Run(Action<long>? progress)
    {
        while (!_live.IsDone)
        {
            StartTurn();
            while (!_live.TurnIsOver)
            {
                Step();
            }

            progress?.Invoke(_lane.Tokens);
        }

        _lane.Drain();
        return Report();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _lane.Dispose();
        _cache.Dispose();
    }

    private static KvCache Open(ColdMemoryTap device, ReplayPlan plan) => KvCache.OpenEmbedded(device, new KvCacheOptions
    {
        PoolBytes = plan.Pool.CeilingBytes,
        PoolFloorBytes = plan.Pool.FloorBytes,
        ColdBytes = plan.ColdBytes,
        TableBytes = plan.TableBytes,
        MaxSequences = plan.MaxSequences,
    });

    private void StartTurn()
    {
        TryFlip();
        _live.StartTurn(TraceMicros());
        var statistics = _cache.GetStatistics();
        _deviceBytesPeak = Math.Max(_deviceBytesPeak, statistics.DeviceBytes);
        _runLengths.Look(statistics);
        _shrinker.Look(statistics);
        if (_live.GroupSize == 0 && !_live.IsDone)
        {
            // Nothing has arrived yet: the application waits for its users.
            _lane.Observe();
            _cache.Pump();
            Thread.Sleep(1);
        }
    }

    private void Step()
    {
        // Observing a step may retire what was refused, so it comes before the group is looked at.
        _lane.WaitForRoom();
        _live.RefillGroup(TraceMicros());
        if (_live.GroupSize == 0)
        {
            return;
        }

        for (var member = 0; member < _live.GroupSize; member++)
        {
            var slot = _live.SlotOf(member);
            var request = _live.Slot(slot);
            request.TruncateIfDue();
            _lane.Add(slot, request, request.NextTokens(_plan.ChunkTokens));
        }

        _lane.Begin();
        _live.StepBegun();
    }

    /// <summary>Flips the bit at the end of a turn, once one of the requests that were served is fit for it.</summary>
    private void TryFlip()
    {
        if (_flip is not { Flipped: null })
        {
            return;
        }

        for (var member = 0; member < _live.GroupSize; member++)
        {
            var request = _live.Slot(_live.SlotOf(member));
            if (_flip.CanServe(request))
            {
                _lane.Drain();
                if (request.IsLive)
                {
                    _flip.TryFlip(request);
                }

                return;
            }
        }
    }

    private void Refuse(int slot, int number)
    {
        _refused[number] = true;
        if (_live.Slot(slot) is { IsLive: true } request && request.Number == number)
        {
            _live.Retire(slot);
        }
    }

    private double TraceMicros() => double.IsPositiveInfinity(_speed) ? _speed : Stopwatch.GetElapsedTime(_startedAt).TotalMicroseconds * _speed;

    private ReplayReport Report()
    {
        var poolBytesEnd = _tap is null ? 0 : _shrinker.Finish();
        var statistics = _cache.GetStatistics();
        var tally = _lane.Tally;
        return new ReplayReport
        {
            Device = _tap?.Name ?? string.Empty,
            Requests = _plan.Requests.Length,
            Refused = _refused.Count(refused => refused),
            Tokens = _lane.Tokens,
            Steps = _lane.Steps,
            EvictedBlocks = statistics.EvictedBlocks,
            ReloadedBlocks = statistics.ReloadedBlocks,
            BytesOut = statistics.BytesOut,
            BytesIn = statistics.BytesIn,
            Copies = statistics.Copies,
            MeanRunLength = _runLengths.Mean,
            VerifiedGranules = tally.VerifiedGranules,
            MismatchedGranules = tally.MismatchedGranules,
            P50StepUs = _lane.Latencies.Percentile(50),
            P99StepUs = _lane.Latencies.Percentile(99),
            DeviceBytesPeak = Math.Max(_deviceBytesPeak, Math.Max(statistics.DeviceBytes, _tap?.DeviceBytes ?? 0)),
            PoolBytesPeak = _shrinker.PeakBytes,
            PoolBytesEnd = poolBytesEnd,
            ColdBytesPeak = statistics.ColdBytesPeak,
            Unverified = _lane.ExpectedGranules - tally.VerifiedGranules,
            FirstMismatch = tally.MismatchedGranules == 0 ? null : Describe(tally),
            PoolFloorBytes = statistics.PoolFloorBytes,
            Flipped = _flip?.Flipped,
        };
    }

    private static string Describe(Kernels.StampTally tally) =>
        $"sequence {tally.FirstSequence}, position {tally.FirstPosition}, granule {tally.FirstGranule}, "
        + (tally.FirstPoolOffset == ulong.MaxValue ? "no block" : $"at byte {tally.FirstPoolOffset} of the pool");
}
