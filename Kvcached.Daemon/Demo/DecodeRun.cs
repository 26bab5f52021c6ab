using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>
/// Runs a schedule on a device: for each step, begin, enqueue the forward pass, go on. The host reads no result before the end, and the
/// loop allocates nothing once its lists have grown.
/// </summary>
internal sealed class DecodeRun : IDisposable
{
    private readonly Schedule _schedule;
    private readonly Transformer _transformer;
    private readonly IKvSource _kv;
    private readonly Transcript _transcript;
    private readonly DeviceQueue _queue;
    private readonly CommandList _commands = new();
    private readonly WaitPoint[] _waits = new WaitPoint[1];

    public DecodeRun(IDevice device, Schedule schedule, Transformer transformer, IKvSource kv, Transcript transcript)
    {
        _schedule = schedule;
        _transformer = transformer;
        _kv = kv;
        _transcript = transcript;
        _queue = device.CreateQueue("kernels");
    }

    /// <summary>Runs steps <paramref name="first"/> to <paramref name="end"/> − 1, as far as enqueuing them goes.</summary>
    public void Enqueue(int first, int end, RunMonitor? monitor = null)
    {
        for (var step = first; step < end; step++)
        {
            var begun = _kv.Begin(step);
            _commands.Clear();
            _transformer.Append(_commands, begun.Input, _kv.Attention, _transcript);
            _kv.Complete(_commands);
            _waits[0] = begun.Begin;
            _queue.Submit(_waits, _commands, begun.End);
            _kv.Submitted(step);
            monitor?.AfterStep(_schedule.Steps[step].Rows, _kv.Statistics);
        }
    }

    /// <summary>Runs the whole schedule and waits for its end.</summary>
    public void Execute(RunMonitor? monitor = null)
    {
        Enqueue(0, _schedule.Steps.Count, monitor);
        _kv.WaitForEnd();
        monitor?.AfterRun(_kv.Statistics);
    }

    public void Dispose() => _queue.Dispose();
}
