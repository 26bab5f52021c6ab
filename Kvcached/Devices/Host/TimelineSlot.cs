using System.Runtime.InteropServices;

namespace Kvcached.Devices.Host;

/// <summary>
/// A timeline's words in shared memory, one cache line.
/// <code>
///  byte  0        8                    16       24       64
///        | Value  | Sequence | Waiters | Issued | (zero) |
/// </code>
/// Value is raised by compare-and-swap to the maximum, so signals of any number of queues and processes commute. Waiting follows
/// <see cref="Doorbell"/>, with "Value is at least v" as the condition. The futex is on the sequence word and not on Value: it would
/// compare 32 bits only, and two values may share their low 32. Issued is the process's own that signals: what its device will signal by itself, whatever the host does.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct TimelineSlot
{
    internal const int Bytes = 64;

    /// <summary>How often others may come between a signal: far more often than they do, unless a process writes the value without end.</summary>
    private const int SignalTries = 1 << 20;

    /// <summary>As <see cref="SignalTries"/>, for who cannot spare the time, and will be back.</summary>
    private const int PoisonTries = 1000;

    private ulong _value;
    internal Doorbell Bell;
    private ulong _issued;

    /// <summary>The value reached (acquire). At most the largest there is, whatever another process has written.</summary>
    internal ulong Value => Math.Min(Volatile.Read(ref _value), DeviceTimeline.MaxValue);

    /// <summary>Raises the value (release) and wakes those who wait.</summary>
    internal void Signal(ulong value)
    {
        if (Raise(value, SignalTries))
        {
            Bell.Ring();
        }
    }

    /// <summary>Raises the value, unless another process keeps changing it, and wakes those who wait, counted or not.</summary>
    internal void Poison(ulong value, BellAccess access)
    {
        Raise(value, PoisonTries);
        Bell.Rouse(access);
    }

    /// <summary>The value that the device has been given to signal, where it signals by itself. Of timelines that this process alone signals.</summary>
    internal ulong Issued => Volatile.Read(ref _issued);

    /// <summary>The device will signal the value. Called in the order of values. Wakes those who wait for that.</summary>
    internal void Issue(ulong value)
    {
        Volatile.Write(ref _issued, value);
        Bell.Ring();
    }

    /// <summary>Back to 0, for another timeline of this process.</summary>
    internal void Reset()
    {
        Volatile.Write(ref _issued, 0);
        Volatile.Write(ref _value, 0);
    }

    /// <summary>For another timeline in shared memory.</summary>
    /// <param name="value">Where it starts.</param>
    /// <param name="waiters">1 where others wait without counting themselves.</param>
    internal void Begin(ulong value, int waiters)
    {
        Bell.Presume(waiters);
        Volatile.Write(ref _issued, 0);
        Volatile.Write(ref _value, value);
    }

    /// <summary>
    /// False if there was nothing to raise, or others have changed the value each time. What another process wrote that is no value becomes the largest, as which
    /// <see cref="Value"/> reads it: a device that waits compares the word as it is, as signed, and might never be let go.
    /// </summary>
    private bool Raise(ulong value, int tries)
    {
        var seen = Volatile.Read(ref _value);
        while ((seen < value || seen > DeviceTimeline.MaxValue) && tries-- > 0)
        {
            var before = Interlocked.CompareExchange(ref _value, seen < value ? value : DeviceTimeline.MaxValue, seen);
            if (before == seen)
            {
                return true;
            }

            seen = before;
        }

        return false;
    }
}
