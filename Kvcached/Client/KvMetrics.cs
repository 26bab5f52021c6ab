using System.Diagnostics.Metrics;
using Kvcached.Engine;

namespace Kvcached;

/// <summary>
/// Publishes what the engine counts through <c>System.Diagnostics.Metrics</c>, meter <c>Kvcached</c>. Reporting allocates nothing.
/// </summary>
internal sealed class KvMetrics : IDisposable
{
    public const string MeterName = "Kvcached";

    private readonly Meter _meter = new(MeterName);
    private readonly Counter<long> _steps;
    private readonly Counter<long> _refused;
    private readonly Counter<long> _busy;
    private readonly Counter<long> _cleaned;
    private readonly Counter<long> _evicted;
    private readonly Counter<long> _reloaded;
    private readonly Counter<long> _moved;
    private readonly Counter<long> _compacted;
    private readonly Counter<long> _reordered;
    private readonly Counter<long> _copies;
    private readonly Counter<long> _bytesOut;
    private readonly Counter<long> _bytesIn;
    private readonly Counter<long> _bytesMoved;
    private readonly Counter<long> _hostWaits;
    private EngineCounters _taken;

    /// <summary>Makes the meter.</summary>
    /// <param name="meanRunLength">Read when a listener collects.</param>
    public KvMetrics(Func<double> meanRunLength)
    {
        _steps = _meter.CreateCounter<long>("kvcached.steps", "{step}", "Steps committed");
        _refused = _meter.CreateCounter<long>("kvcached.steps.refused", "{step}", "Steps refused");
        _busy = _meter.CreateCounter<long>("kvcached.steps.busy", "{step}", "Steps that had to wait in their lane");
        _cleaned = _meter.CreateCounter<long>("kvcached.blocks.cleaned", "{block}", "Copies of blocks to cold memory");
        _evicted = _meter.CreateCounter<long>("kvcached.blocks.evicted", "{block}", "Device copies given up");
        _reloaded = _meter.CreateCounter<long>("kvcached.blocks.reloaded", "{block}", "Copies of blocks from cold memory");
        _moved = _meter.CreateCounter<long>("kvcached.blocks.moved", "{block}", "Copies of blocks inside the pool");
        _compacted = _meter.CreateCounter<long>("kvcached.blocks.compacted", "{block}", "Copies of blocks that emptied a segment");
        _reordered = _meter.CreateCounter<long>("kvcached.blocks.reordered", "{block}", "Copies of blocks that restored the order of a sequence");
        _copies = _meter.CreateCounter<long>("kvcached.copies", "{copy}", "Copy commands that copied blocks: neighbours at both ends go in one");
        _meter.CreateObservableGauge("kvcached.blocks.run_length", meanRunLength, "{block}", "Blocks of a run on average: neighbours in their sequence and in the pool");
        _bytesOut = _meter.CreateCounter<long>("kvcached.transfer.out", "By", "Bytes copied to cold memory");
        _bytesIn = _meter.CreateCounter<long>("kvcached.transfer.in", "By", "Bytes copied from cold memory");
        _bytesMoved = _meter.CreateCounter<long>("kvcached.transfer.moved", "By", "Bytes moved inside the pool");
        _hostWaits = _meter.CreateCounter<long>("kvcached.host_waits", "{wait}", "Waits for a point by the application");
    }

    /// <summary>Takes what has been counted since the last call. Under the cache's lock.</summary>
    public EngineCounters Take(in EngineCounters counters)
    {
        var delta = counters - _taken;
        _taken = counters;
        return delta;
    }

    /// <summary>Tells listeners, who may do what they like: outside the cache's lock.</summary>
    public void Report(in EngineCounters delta)
    {
        Add(_steps, delta.Steps);
        Add(_refused, delta.RefusedSteps);
        Add(_busy, delta.BusySteps);
        Add(_cleaned, delta.CleanedBlocks);
        Add(_evicted, delta.EvictedBlocks);
        Add(_reloaded, delta.ReloadedBlocks);
        Add(_moved, delta.MovedBlocks);
        Add(_compacted, delta.CompactedBlocks);
        Add(_reordered, delta.ReorderedBlocks);
        Add(_copies, delta.Copies);
        Add(_bytesOut, delta.BytesOut);
        Add(_bytesIn, delta.BytesIn);
        Add(_bytesMoved, delta.BytesMoved);
    }

    public void CountHostWait() => _hostWaits.Add(1);

    public void Dispose() => _meter.Dispose();

    private static void Add(Counter<long> counter, long delta)
    {
        if (delta != 0)
        {
            counter.Add(delta);
        }
    }
}
