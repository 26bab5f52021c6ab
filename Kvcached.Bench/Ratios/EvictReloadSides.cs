using System.Diagnostics;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Bytes per second through clean, drop and reload of sequences that fill the pool (A), and through plain copies of the same bytes by the same
/// threads (B). GB/s, both directions.
/// </summary>
internal class EvictReloadSides : RatioSides
{
    public const int BlockBytes = 256 << 10;
    public const int TokensPerBlock = 16;
    private const int Sequences = 32;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly int _blocksEach;
    private readonly KvCache _cache;
    private readonly KvLane _lane;
    private readonly KvSequence[] _sequences;
    private readonly DeviceQueue _queue;
    private readonly CommandList _commands = new();
    private readonly PlainCopies _plain;

    public EvictReloadSides()
        : this(new CpuDevice(new CpuDeviceOptions { Workers = 1 }), blocksEach: 8)
    {
    }

    /// <summary>Lays the cache out on a device, which it then owns.</summary>
    protected EvictReloadSides(IDevice device, int blocksEach)
    {
        (Device, _blocksEach) = (new TappedDevice(device), blocksEach);
        _cache = KvCache.OpenEmbedded(Device, new KvCacheOptions { PoolBytes = Bytes, ColdBytes = Bytes, CleanAhead = false });
        var model = _cache.RegisterModel("churn", Layout);
        _lane = _cache.OpenLane();
        _queue = Device.CreateQueue("client");
        _sequences = [.. Enumerable.Range(0, Sequences).Select(_ => model.CreateSequence())];
        _plain = new PlainCopies(Device, _lane, Sequences * blocksEach, BlockBytes);
    }

    /// <summary>Blocks of 256 KiB.</summary>
    public static KvLayout Layout { get; } = new() { Layers = 4, Heads = 8, HeadDim = 128, TokensPerBlock = TokensPerBlock };

    public override bool IsPinned => false;

    protected TappedDevice Device { get; }

    /// <summary>What goes out, and comes in again.</summary>
    protected long Bytes => (long)Sequences * _blocksEach * BlockBytes;

    public override double RunA()
    {
        // New content, of which there is no cold copy.
        Step(_blocksEach * TokensPerBlock, truncate: true);
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

    public override double RunB() => _plain.Run();

    protected override void Dispose(bool disposing)
    {
        _plain.Dispose();
        _queue.Dispose();
        _cache.Dispose();
        Device.Dispose();
        base.Dispose(disposing);
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
