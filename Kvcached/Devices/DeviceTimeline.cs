namespace Kvcached.Devices;

/// <summary>
/// A monotonic 64-bit counter that queues signal and wait on. Starts at 0, so the first point that means anything is 1; never reset; at
/// most <see cref="MaxValue"/>. Signalling a value that has been passed changes nothing. Thread-safe.
/// </summary>
public abstract class DeviceTimeline : IDisposable
{
    /// <summary>The largest value: 2^48 − 1.</summary>
    public const ulong MaxValue = (1UL << 48) - 1;

    /// <summary>Names the timeline.</summary>
    protected DeviceTimeline(string label) => Label = label;

    /// <summary>What the timeline counts, in messages.</summary>
    public string Label { get; }

    /// <summary>The value reached. What happened before its signal is visible to the caller (acquire). Never blocks.</summary>
    public abstract ulong Value { get; }

    /// <summary>Signals from the host (release): sets the value to the maximum of itself and <paramref name="value"/>. Never blocks.</summary>
    public abstract void Signal(ulong value);

    /// <summary>
    /// Blocks the calling thread until the timeline has reached <paramref name="value"/>. For applications and tests alone: the library
    /// may not call it (I1, enforced by the banned-symbols list).
    /// </summary>
    /// <returns>False if <paramref name="timeout"/> passed first.</returns>
    public abstract bool WaitOnHost(ulong value, TimeSpan timeout);

    /// <summary>Gives the timeline back to the device.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives the timeline back to the device.</summary>
    protected abstract void Dispose(bool disposing);
}

/// <summary>A point: a timeline and a value on it. Reached once the timeline's value is at least <paramref name="Value"/>.</summary>
public readonly record struct TimelinePoint(DeviceTimeline Timeline, ulong Value)
{
    /// <summary>Whether the point has been reached. Never blocks.</summary>
    public bool IsReached => Timeline.Value >= Value;
}

/// <summary>A point that a submission waits for, and why.</summary>
/// <param name="Timeline">The timeline.</param>
/// <param name="Value">The value to reach.</param>
/// <param name="Reason">The class of order that demands the wait: a number that only traces and fault injection look at.</param>
public readonly record struct WaitPoint(DeviceTimeline Timeline, ulong Value, int Reason = 0);
