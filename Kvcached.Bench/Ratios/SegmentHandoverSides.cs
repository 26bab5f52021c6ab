using System.Diagnostics;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Time until a layout that has nothing gets 64 MiB of a pool that another fills with scattered blocks, half of them clean and half dirty, with the cold tier
/// full (A), and plain copies of the bytes that have to move for it (B). Milliseconds; of A, the 99th percentile counts.
/// </summary>
internal sealed class SegmentHandoverSides : RatioSides
{
    private const int Blocks = 1024;
    private const long PoolBytes = Blocks * (long)ScatteredBlocks.BlockBytes;

    /// <summary>Half of the kept blocks lie where the asking layout comes to be, and half of those are clean and may be dropped.</summary>
    private const int BlocksToMove = Blocks / 8;
    private const long BytesToMove = BlocksToMove * (long)ScatteredBlocks.BlockBytes;
    private const long ColdBytes = PoolBytes / 4;
    private const int AskedTokens = (int)(PoolBytes / 2 / AskedBytesPerToken);
    private const int AskedBytesPerToken = 4 << 10;
    private const double Percentile = 0.99;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly TappedDevice _device = new(new CpuDevice(new CpuDeviceOptions { Workers = 1 }));
    private readonly KvCache _cache;
    private readonly ScatteredBlocks _blocks;
    private readonly PlainMoves _plain;
    private readonly KvModel _asking;
    private readonly KvLane _lane;
    private readonly DeviceQueue _queue;
    private readonly DeviceQueue _out;
    private readonly DeviceTimeline _cleaned;
    private readonly CommandList _commands = new();
    private readonly List<double> _times = [];
    private readonly List<double> _plainTimes = [];
    private readonly List<double> _movedBytes = [];
    private ulong _cleanings;

    public SegmentHandoverSides()
    {
        _cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = PoolBytes, ColdBytes = ColdBytes, CleanAhead = false });
        _blocks = new ScatteredBlocks(_device, _cache, Blocks);
        _plain = new PlainMoves(_device, Blocks, BlocksToMove);
        _asking = _cache.RegisterModel("asking", new KvLayout { Layers = 1, Heads = 8, HeadDim = 128 });
        _lane = _cache.OpenLane(new KvLaneOptions { MaxBatch = 1, MaxLayouts = 1 });
        _queue = _device.CreateQueue("asking");
        _out = _device.Queue($"lane {((EmbeddedLane)_blocks.Lane).State.Number} out");
        _cleaned = _device.CreateTimeline("cleaned");
    }

    public override bool IsPinned => false;

    /// <summary>A percentile wants as many.</summary>
    public override int LeastRounds => 100;

    public override double RunA()
    {
        Lay();
        var sequence = _asking.CreateSequence();
        var before = _cache.GetStatistics();
        var start = Stopwatch.GetTimestamp();
        var step = _lane.Begin([new KvStepItem(sequence, AskedTokens)]);
        if (step.Status != KvStepStatus.Accepted || !step.Begin.Timeline.WaitOnHost(step.Begin.Value, _limit))
        {
            throw new InvalidOperationException($"The step that asks for {PoolBytes / 2} bytes is {_lane.StatusOf(step.Number)}.");
        }

        var elapsed = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        _movedBytes.Add(_cache.GetStatistics().BytesMoved - before.BytesMoved);
        _times.Add(elapsed);
        _queue.Submit([], _commands, step.End);
        _cache.Wait(step.End, _limit);
        sequence.Free();
        return elapsed;
    }

    public override double RunB()
    {
        var milliseconds = _plain.Run() * 1e3;
        _plainTimes.Add(milliseconds);
        return milliseconds;
    }

    public override void Forget()
    {
        _times.Clear();
        _plainTimes.Clear();
        _movedBytes.Clear();
    }

    public override double ValueOf(RatioGoal goal, double[] a, double[] b) => goal.ValueOf(RatioStatistics.Percentile(_times, Percentile), RatioStatistics.Median(b));

    /// <summary>What keeps plain copies waiting now and then is the machine's doing, and keeps A waiting as well.</summary>
    public override double NoiseOf(double value, double[] aOverA) =>
        Math.Max(base.NoiseOf(value, aOverA), value * ((RatioStatistics.Percentile(_plainTimes, Percentile) / RatioStatistics.Median(_plainTimes)) - 1));

    /// <summary>Where fewer bytes are moved than B copies, it is no yardstick.</summary>
    public override string? Missed(double a, double b) => _movedBytes.Count > 0 && _movedBytes.Min() >= BytesToMove
        ? null
        : $"{(_movedBytes.Count > 0 ? _movedBytes.Min() : 0)} bytes were moved once, where plain copies are of {BytesToMove}";

    public override IEnumerable<ExtraField> Extra(double a, double b) =>
        [new ExtraField("p99_ms", RatioStatistics.Percentile(_times, Percentile)), new ExtraField("plain_p99_ms", RatioStatistics.Percentile(_plainTimes, Percentile)), new ExtraField("moved_mib", RatioStatistics.Median(_movedBytes) / (1 << 20))];

    protected override void Dispose(bool disposing)
    {
        _cleaned.Dispose();
        _queue.Dispose();
        _plain.Dispose();
        _blocks.Dispose();
        _cache.Dispose();
        _device.Dispose();
        base.Dispose(disposing);
    }

    /// <summary>Fills the cold tier with copies of half of the blocks that stay, and then frees the others.</summary>
    private void Lay()
    {
        _blocks.Lay();
        var isClean = false;
        foreach (var sequence in _blocks.Kept)
        {
            isClean = !isClean;
            _ = isClean ? sequence.Clean(_blocks.Lane) : 0;
        }

        _out.Submit([], _commands, new TimelinePoint(_cleaned, ++_cleanings));
        if (!_cleaned.WaitOnHost(_cleanings, _limit) || _cache.GetStatistics().ColdBytes != ColdBytes)
        {
            throw new InvalidOperationException($"{_cache.GetStatistics().ColdBytes} of {ColdBytes} bytes are cold.");
        }

        // Once they are scattered, the next turn may compact them: it is that of the step that asks.
        _cache.Pump();
        _blocks.Scatter();
        _plain.Watch();
    }
}
