namespace Kvcached.Bench.Ratios;

/// <summary>Decoding while other blocks of the same cache are scattered and compacted without pause.</summary>
internal sealed class DecodeDuringCompactionSides : DecodeBesideSides
{
    private const int Blocks = 1024;

    /// <summary>The thread that asks for compaction shares a processor with the copies: it leaves it to them.</summary>
    private static readonly TimeSpan _pumpEvery = TimeSpan.FromMilliseconds(1);

    private readonly ScatteredBlocks _blocks;
    private readonly PlainMoves _plain;
    private readonly PausableLoop _loop;

    public DecodeDuringCompactionSides()
        : base("compaction", poolBytes: 256 << 20, coldBytes: 0)
    {
        _blocks = new ScatteredBlocks(Device, Cache, Blocks);
        _plain = new PlainMoves(Device, Blocks, Blocks / 4);
        _loop = new PausableLoop(Cycle);
        Start();
    }

    protected override void Resume() => _loop.Resume();

    protected override void Pause() => _loop.Pause();

    protected override long CopiedBytes(in KvCacheStatistics statistics) => statistics.BytesMoved;

    protected override double PlainRate() => _blocks.BytesToMove / _plain.Run() / 1e9;

    protected override void Dispose(bool disposing)
    {
        _loop.Dispose();
        _plain.Dispose();
        _blocks.Dispose();
        base.Dispose(disposing);
    }

    private void Cycle()
    {
        _blocks.Lay();
        _blocks.Scatter();
        _blocks.Compact(() => Thread.Sleep(_pumpEvery));
        _plain.Finish();
    }
}
