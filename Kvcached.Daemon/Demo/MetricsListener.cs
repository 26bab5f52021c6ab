using System.Diagnostics.Metrics;

namespace Kvcached.Daemon.Demo;

/// <summary>Listens to all instruments of the library, as a metrics exporter would, and allocates nothing by it.</summary>
internal sealed class MetricsListener : IDisposable
{
    private const string Meter = "Kvcached";

    private readonly MeterListener _listener = new();
    private long _heard;

    public MetricsListener()
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == Meter)
            {
                listener.EnableMeasurementEvents(instrument, this);
            }
        };
        _listener.SetMeasurementEventCallback<int>(static (_, _, _, state) => Hear(state));
        _listener.SetMeasurementEventCallback<long>(static (_, _, _, state) => Hear(state));
        _listener.SetMeasurementEventCallback<double>(static (_, _, _, state) => Hear(state));
        _listener.Start();
    }

    /// <summary>Measurements heard so far.</summary>
    public long Heard => Volatile.Read(ref _heard);

    public void Dispose() => _listener.Dispose();

    private static void Hear(object? listener)
    {
        if (listener is MetricsListener self)
        {
            Interlocked.Increment(ref self._heard);
        }
    }
}
