namespace Kvcached.Bench.Elastic;

/// <summary>Virtual time, in nanoseconds: what has been scheduled happens in order of time, and in the order in which it was scheduled where times are equal.</summary>
internal sealed class VirtualClock
{
    public const double NanosPerSecond = 1e9;

    private readonly PriorityQueue<Action, (long Time, long Number)> _events = new();
    private long _scheduled;

    public long Now { get; private set; }

    public void At(long time, Action action)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(time, Now);
        _events.Enqueue(action, (time, ++_scheduled));
    }

    /// <summary>Lets the next thing happen.</summary>
    /// <returns>False if there is none.</returns>
    public bool TryAdvance()
    {
        if (!_events.TryDequeue(out var action, out var at))
        {
            return false;
        }

        Now = at.Time;
        action();
        return true;
    }
}

/// <summary>The host link that all devices and both directions share: transfers pass in the order in which they ask, each at full bandwidth.</summary>
internal sealed class VirtualLink(VirtualClock clock, long bytesPerSecond)
{
    private long _freeAt;

    /// <summary>Bytes of all transfers so far.</summary>
    public long Bytes { get; private set; }

    /// <summary>Begins a transfer behind those that have asked before.</summary>
    /// <returns>When it ends.</returns>
    public long Transfer(long bytes)
    {
        Bytes += bytes;
        _freeAt = Math.Max(_freeAt, clock.Now) + (long)Math.Ceiling(bytes * VirtualClock.NanosPerSecond / bytesPerSecond);
        return _freeAt;
    }
}
