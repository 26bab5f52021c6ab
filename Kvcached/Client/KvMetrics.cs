using System.Diagnostics.Metrics;

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
    private readonly Counter<long> _bytesOut;
    private readonly Counter<long> _bytesIn;
    private readonly Counter<long> _bytesMoved;
    private readonly Counter<long> _hostWaits;
    private Engine.EngineCounters _reported;

    public KvMetrics()
    {
        _steps = _meter.CreateCounter<long>("kvcached.steps", "{step}", "Steps committed");
        _refused = _meter.CreateCounter<long>("kvcached.steps.refused", "{step}", "Steps refused");
        _busy = _meter.CreateCounter<long>("kvcached.steps.busy", "{step}", "Steps that had to wait in their lane");
        _cleaned = _meter.CreateCounter<long>("kvcached.blocks.cleaned", "{block}", "Copies of blocks to cold memory");
        _evicted = _meter.CreateCounter<long>("kvcached.blocks.evicted", "{block}", "Device copies given up");
        _reloaded = _meter.CreateCounter<long>("kvcached.blocks.reloaded", "{block}", "Copies of blocks from cold memory");
        _moved = _meter.CreateCounter<long>("kvcached.blocks.moved", "{block}", "Copies of blocks inside the pool");
        _bytesOut = _meter.CreateCounter<long>("kvcached.transfer.out", "By", "Bytes copied to cold memory");
        _bytesIn = _meter.CreateCounter<long>("kvcached.transfer.in", "By", "Bytes copied from cold memory");
        _bytesMoved = _meter.CreateCounter<long>("kvcached.transfer.moved", "By", "Bytes moved inside the pool");
        _hostWaits = _meter.CreateCounter<long>("kvcached.host_waits", "{wait}", "Waits for a point by the application");
    }

    /// <summary>Reports what has been counted since the last call.</summary>
    public void Report(in Engine.EngineCounters counters)
    {
        Add(_steps, counters.Steps - _reported.Steps);
        Add(_refused, counters.RefusedSteps - _reported.RefusedSteps);
        Add(_busy, counters.BusySteps - _reported.BusySteps);
        Add(_cleaned, counters.CleanedBlocks - _reported.CleanedBlocks);
        Add(_evicted, counters.EvictedBlocks - _reported.EvictedBlocks);
        Add(_reloaded, counters.ReloadedBlocks - _reported.ReloadedBlocks);
        Add(_moved, counters.MovedBlocks - _reported.MovedBlocks);
        Add(_bytesOut, counters.BytesOut - _reported.BytesOut);
        Add(_bytesIn, counters.BytesIn - _reported.BytesIn);
        Add(_bytesMoved, counters.BytesMoved - _reported.BytesMoved);
        _reported = counters;
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
