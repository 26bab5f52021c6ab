using System.Diagnostics;
using Kvcached.Devices.Cpu;

namespace Kvcached.Bench.Ratios;

/// <summary>Bytes per second that compaction moves (A), and plain copies of as many blocks by the same thread (B). GB/s.</summary>
internal sealed class CompactionSides : RatioSides
{
    private const int Blocks = 1024;
    private readonly TappedDevice _device = new(new CpuDevice(new CpuDeviceOptions { Workers = 1 }));
    private readonly KvCache _cache;
    private readonly ScatteredBlocks _blocks;
    private readonly PlainMoves _plain;

    public CompactionSides()
    {
        _cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = Blocks * (long)ScatteredBlocks.BlockBytes, ColdBytes = 0 });
        _blocks = new ScatteredBlocks(_device, _cache, Blocks);
        _plain = new PlainMoves(_device, Blocks, Blocks / 4);
    }

    public override bool IsPinned => false;

    public override double RunA()
    {
        _blocks.Lay();
        _blocks.Scatter();
        _plain.Watch();
        var start = Stopwatch.GetTimestamp();
        _blocks.Compact(_plain.Finish);
        _plain.Finish();
        return _blocks.BytesToMove / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }

    public override double RunB() => _blocks.BytesToMove / _plain.Run() / 1e9;

    protected override void Dispose(bool disposing)
    {
        _plain.Dispose();
        _blocks.Dispose();
        _cache.Dispose();
        _device.Dispose();
        base.Dispose(disposing);
    }
}
