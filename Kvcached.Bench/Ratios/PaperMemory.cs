using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Memory;

namespace Kvcached.Bench.Ratios;

/// <summary>Memory that has a size and no device: what the host writes has bytes, the rest is on paper.</summary>
internal sealed class PaperMemory(string label, long bytes, MemoryKind kind = MemoryKind.Device, bool isBacked = false) : DeviceMemory(label, kind, bytes)
{
    private readonly byte[] _bytes = isBacked ? new byte[bytes] : [];

    public override ulong Address => 1 << 20;

    public override Span<byte> HostSpan(long offset, int bytes) => _bytes.AsSpan((int)offset, bytes);

    protected override void DiscardCore(long offset, long bytes)
    {
    }

    protected override void Dispose(bool disposing)
    {
    }
}

/// <summary>Takes submissions and runs nothing: what is left is the engine. Keeps the last value that each timeline was told to signal.</summary>
internal sealed class PaperDevice : ISubmitter
{
    private readonly ulong[] _signals = new ulong[64];

    public void Submit(int queue, ReadOnlySpan<EngineWait> waits, CommandList commands, Point signal) => _signals[signal.Timeline] = signal.Value;

    public void Discard(long offset, long bytes)
    {
    }

    public Point Populate(long offset, long bytes) => default;

    public bool IsRefused(Point arrival) => false;

    public void Close(int lane)
    {
    }

    /// <summary>Lets the engine observe all that it has submitted.</summary>
    public void ObserveAll(CacheEngine engine, int lanes)
    {
        for (var timeline = 0; timeline < (lanes + 1) * 4; timeline++)
        {
            if (_signals[timeline] > 0)
            {
                engine.Observe(timeline, _signals[timeline]);
            }
        }
    }
}
