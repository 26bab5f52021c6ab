using Kvcached.Devices;
using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>
/// A submission that is being built: opened with the point that it will signal, filled, submitted, opened again. Waits for what has been
/// observed, or for what the same queue signals, are left out.
/// </summary>
internal sealed class Submission(int lane, bool isOut, TimelineTable timelines)
{
    private EngineWait[] _waits = new EngineWait[16];
    private int _waitCount;

    public CommandList Commands { get; } = new();

    /// <summary>The point that it will signal; none while it is not open.</summary>
    public Point Signal { get; private set; }

    public bool IsOpen => !Signal.IsNone;

    public int Lane => lane;

    public void Open(Point signal) => Signal = signal;

    public void Wait(Point point, WaitReason reason)
    {
        if (timelines.IsObserved(point) || IsOwnQueue(point))
        {
            return;
        }

        for (var i = 0; i < _waitCount; i++)
        {
            ref var wait = ref _waits[i];
            if (wait.Reason == reason && wait.Point.Timeline == point.Timeline)
            {
                wait = wait.Point.Value >= point.Value ? wait : new EngineWait(point, reason);
                return;
            }
        }

        if (_waitCount == _waits.Length)
        {
            Array.Resize(ref _waits, _waitCount * 2);
        }

        _waits[_waitCount++] = new EngineWait(point, reason);
    }

    public void Submit(ISubmitter submitter)
    {
        submitter.Submit((lane * 2) + (isOut ? 1 : 0), _waits.AsSpan(0, _waitCount), Commands, Signal);
        Commands.Clear();
        _waitCount = 0;
        Signal = default;
    }

    /// <summary>A queue runs its submissions in order, so what it signals itself needs no wait.</summary>
    private bool IsOwnQueue(Point point) => point.Lane == lane && (isOut ? point.Kind == TimelineKind.Out : point.Kind is TimelineKind.In or TimelineKind.Begin);
}
