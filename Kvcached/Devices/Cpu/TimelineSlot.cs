using System.Runtime.InteropServices;

namespace Kvcached.Devices.Cpu;

/// <summary>
/// A timeline's words in shared memory, one cache line.
/// <code>
///  byte  0        8                    16       64
///        | Value  | Sequence | Waiters | (zero) |
/// </code>
/// Value is raised by compare-and-swap to the maximum, so signals of any number of queues and processes commute. Waiting follows
/// <see cref="Doorbell"/>, with "Value is at least v" as the condition. The futex is on the sequence word and not on Value: it would
/// compare 32 bits only, and two values may share their low 32.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct TimelineSlot
{
    internal const int Bytes = 64;

    private ulong _value;
    internal Doorbell Bell;

    /// <summary>The value reached (acquire).</summary>
    internal ulong Value => Volatile.Read(ref _value);

    /// <summary>Raises the value (release) and wakes those who wait.</summary>
    internal void Signal(ulong value)
    {
        var seen = Volatile.Read(ref _value);
        while (seen < value)
        {
            var before = Interlocked.CompareExchange(ref _value, value, seen);
            if (before == seen)
            {
                Bell.Ring();
                return;
            }

            seen = before;
        }
    }

    /// <summary>Back to 0, for another timeline.</summary>
    internal void Reset() => Volatile.Write(ref _value, 0);
}
