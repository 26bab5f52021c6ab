using System.Diagnostics;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Bytes per second through clean, drop and reload of sequences that fill the pool (A), and through as many block copies, as large, by as many
/// queues (B): two, one out of the pool and one into it. GB/s, both directions.
/// </summary>
internal sealed class EvictReloadSides : RatioSides
{
    public const int BlockBytes = 256 << 10;
    public const int TokensPerBlock = 16;
    private const int Sequences = 32;
    private const int BlocksEach = 8;
    private const long Bytes = (long)Sequences * BlocksEach * BlockBytes;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 1 });
    private readonly KvCache _cache;
    private readonly KvLane _lane;
    private readonly KvSequence[] _sequences;
    private readonly DeviceQueue _queue;
    private readonly DeviceQueue[] _copyQueues;
    private readonly DeviceTimeline[] _copyTimelines;
    private readonly DeviceMemory _pool;
    private readonly DeviceMemory _cold;
    private readonly CommandList _commands = new();
    private ulong _copies;

    public EvictReloadSides()
    {
        _cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = Bytes, ColdBytes = Bytes * 2, CleanAhead = false });
        var model = _cache.RegisterModel("churn", Layout);
        _lane = _cache.OpenLane();
        _queue = _device.CreateQueue("client");
        _sequences = [.. Enumerable.Range(0, Sequences).Select(_ => model.CreateSequence())];
        _pool = _device.Allocate(Bytes, MemoryKind.Device, "plain pool");
        _cold = _device.Allocate(Bytes, MemoryKind.Host, "plain cold");
        _copyQueues = [_device.CreateQueue("plain out"), _device.CreateQueue("plain in")];
        _copyTimelines = [_device.CreateTimeline("plain out"), _device.CreateTimeline("plain in")];
    }

    /// <summary>Blocks of 256 KiB.</summary>
    public static KvLayout Layout { get; } = new() { Layers = 4, Heads = 8, HeadDim = 128, TokensPerBlock = TokensPerBlock };

    public override bool IsPinned => false;

    public override double RunA()
    {
        // New content, of which there is no cold copy.
        Step(BlocksEach * TokensPerBlock, truncate: true);
        var before = _cache.GetStatistics();
        var start = Stopwatch.GetTimestamp();
        foreach (var sequence in _sequences)
        {
            sequence.Evict(_lane);
        }

        foreach (var sequence in _sequences)
        {
            sequence.Prefetch(_lane);
        }

        Step(newTokens: 0, truncate: false);
        var elapsed = Stopwatch.GetElapsedTime(start);
        var after = _cache.GetStatistics();
        if (after.BytesOut - before.BytesOut != Bytes || after.BytesIn - before.BytesIn != Bytes)
        {
            throw new InvalidOperationException($"{after.BytesOut - before.BytesOut} bytes went out and {after.BytesIn - before.BytesIn} came in, not {Bytes} each.");
        }

        return 2 * Bytes / elapsed.TotalSeconds / 1e9;
    }

    public override double RunB()
    {
        var start = Stopwatch.GetTimestamp();
        for (var sequence = 0UL; sequence < Sequences; sequence++)
        {
            CopySequence(_copyQueues[0], [], (int)sequence, _cold, _pool, new TimelinePoint(_copyTimelines[0], _copies + sequence + 1));
        }

        // What the caches hold is then as it is on the other side: a sequence comes back after it went.
        for (var sequence = 0UL; sequence < Sequences; sequence++)
        {
            var number = _copies + sequence + 1;
            CopySequence(_copyQueues[1], [new WaitPoint(_copyTimelines[0], number)], (int)sequence, _pool, _cold, new TimelinePoint(_copyTimelines[1], number));
        }

        _copies += Sequences;
        return _copyTimelines[1].WaitOnHost(_copies, _limit)
            ? 2 * Bytes / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9
            : throw new InvalidOperationException($"Plain copies are not done after {_limit}.");
    }

    protected override void Dispose(bool disposing)
    {
        foreach (var queue in _copyQueues)
        {
            queue.Dispose();
        }

        foreach (var timeline in _copyTimelines)
        {
            timeline.Dispose();
        }

        _queue.Dispose();
        _cache.Dispose();
        _pool.Dispose();
        _cold.Dispose();
        _device.Dispose();
        base.Dispose(disposing);
    }

    private void CopySequence(DeviceQueue queue, ReadOnlySpan<WaitPoint> waits, int sequence, DeviceMemory target, DeviceMemory source, TimelinePoint signal)
    {
        for (var block = 0; block < BlocksEach; block++)
        {
            var offset = ((sequence * BlocksEach) + block) * (long)BlockBytes;
            _commands.Copy(target, offset, source, offset, BlockBytes);
        }

        queue.Submit(waits, _commands, signal);
        _commands.Clear();
    }

    /// <summary>A step over all sequences, observed as ended.</summary>
    private void Step(int newTokens, bool truncate)
    {
        var batch = new KvStepItem[Sequences];
        for (var i = 0; i < Sequences; i++)
        {
            if (truncate)
            {
                _sequences[i].Truncate(0);
            }

            batch[i] = new KvStepItem(_sequences[i], newTokens);
        }

        var step = _lane.Begin(batch);
        _queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], _commands, step.End);
        if (!_cache.Wait(step.End, _limit))
        {
            throw new InvalidOperationException($"A step is {_lane.StatusOf(step.Number)} after {_limit}.");
        }
    }
}
