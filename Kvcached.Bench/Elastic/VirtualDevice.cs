using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Memory;

namespace Kvcached.Bench.Elastic;

/// <summary>
/// A device in virtual time over memory on paper. A queue runs one submission at a time, in order, each once its points have been reached; its end signals. Copies between
/// pool and cold memory take the link, kernels the time that they are said to take, and all else none.
/// <code>
///   queue:  wait for points → link or kernel time → signal → next
/// </code>
/// </summary>
internal sealed class VirtualDevice(VirtualClock clock, VirtualLink link, DeviceMemory pool, DeviceMemory cold) : ISubmitter
{
    private readonly List<VirtualQueue> _queues = [];
    private ulong[] _values = new ulong[64];

    /// <summary>Told each timeline and value that has been signalled, when it has. It may submit.</summary>
    public Action<int, ulong>? Signalled { get; set; }

    public void Submit(int queue, ReadOnlySpan<EngineWait> waits, CommandList commands, Point signal)
    {
        var points = new Point[waits.Length];
        for (var i = 0; i < waits.Length; i++)
        {
            points[i] = waits[i].Point;
        }

        Enqueue(queue, new Work(points, LinkBytes(commands), Nanos: 0, signal));
    }

    /// <summary>Submits a kernel to a lane's queue of kernels.</summary>
    public void Launch(int lane, Point wait, long nanos, Point signal) => Enqueue(-lane, new Work([wait], LinkBytes: 0, nanos, signal));

    public void Discard(long offset, long bytes)
    {
    }

    public Point Populate(long offset, long bytes) => default;

    public bool IsRefused(Point arrival) => false;

    public void Close(int lane)
    {
    }

    private void Enqueue(int number, Work work)
    {
        var queue = _queues.Find(queue => queue.Number == number);
        if (queue is null)
        {
            queue = new VirtualQueue(number);
            _queues.Add(queue);
        }

        queue.Works.Enqueue(work);
        TryStart(queue);
    }

    private void TryStart(VirtualQueue queue)
    {
        if (queue.IsRunning || !queue.Works.TryPeek(out var work) || !Array.TrueForAll(work.Waits, IsReached))
        {
            return;
        }

        queue.IsRunning = true;
        clock.At(work.LinkBytes > 0 ? link.Transfer(work.LinkBytes) : clock.Now + work.Nanos, () => Finish(queue));
    }

    private void Finish(VirtualQueue queue)
    {
        var signal = queue.Works.Dequeue().Signal;
        queue.IsRunning = false;
        if (signal.Timeline >= _values.Length)
        {
            Array.Resize(ref _values, signal.Timeline * 2);
        }

        _values[signal.Timeline] = Math.Max(_values[signal.Timeline], signal.Value);
        foreach (var other in _queues)
        {
            TryStart(other);
        }

        Signalled?.Invoke(signal.Timeline, signal.Value);
    }

    private bool IsReached(Point point) => point.IsNone || (point.Timeline < _values.Length && _values[point.Timeline] >= point.Value);

    private long LinkBytes(CommandList commands)
    {
        var bytes = 0L;
        foreach (ref readonly var command in commands.Commands)
        {
            if (command.Kind == CommandKind.Copy && ((command.Source == cold && command.Target == pool) || (command.Source == pool && command.Target == cold)))
            {
                bytes += command.Bytes;
            }
        }

        return bytes;
    }

    private sealed record Work(Point[] Waits, long LinkBytes, long Nanos, Point Signal);

    private sealed class VirtualQueue(int number)
    {
        public readonly int Number = number;
        public readonly Queue<Work> Works = [];
        public bool IsRunning;
    }
}
