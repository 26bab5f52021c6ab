using Kvcached.Devices;

namespace Kvcached.Bench.Ratios;

/// <summary>Decoding while other sequences of the same cache are cleaned, dropped and reloaded without pause on another lane.</summary>
internal class DecodeUnderChurnSides : DecodeBesideSides
{
    private readonly Churn _churn;
    private readonly PlainCopies _plain;

    public DecodeUnderChurnSides()
        : this(device: null, DecodeLoad.OfCpu, poolBytes: 192 << 20)
    {
    }

    protected DecodeUnderChurnSides(IDevice? device, DecodeLoad load, long poolBytes)
        : base("churn", poolBytes, Churn.Bytes, device, load)
    {
        _churn = new Churn(Device, Cache, Model);
        _plain = new PlainCopies(Device, _churn.Lane, Churn.Blocks, EvictReloadSides.BlockBytes);
        Start();
    }

    protected override void Resume() => _churn.Resume();

    protected override void Pause() => _churn.Pause();

    protected override long CopiedBytes(in KvCacheStatistics statistics) => statistics.BytesIn + statistics.BytesOut;

    protected override double PlainRate() => _plain.Run();

    protected override void Dispose(bool disposing)
    {
        _churn.Dispose();
        _plain.Dispose();
        base.Dispose(disposing);
    }
}
