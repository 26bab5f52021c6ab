using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Devices.Linux;

namespace Kvcached.Devices.Cpu;

/// <summary>
/// Sleeping until a condition in shared memory holds, and waking those who sleep. Lies in memory that does not move (a mapping, a pinned
/// array) beside the words that the condition reads.
/// <code>
///  byte  0          4         8
///        | Sequence | Waiters |
///
///  to wait                                    to make the condition true
///    Enter          Waiters += 1                change the words
///    h = Hear       read Sequence               Ring   Sequence += 1
///    condition?  →  Leave                              Waiters ≠ 0 → futex wake
///    Sleep(h)       futex wait while
///                   Sequence = h
///    again from Hear; Leave: Waiters −= 1
/// </code>
/// No wake-up is lost. Both additions are full fences. If the ringer reads Waiters = 0, the waiter's Enter comes after that read in the
/// order of fences, so the waiter's look at the condition sees the change. Otherwise the ringer wakes, and either the waiter heard the
/// sequence before the addition, and then the kernel finds another value and does not let it sleep or the wake finds it asleep; or it
/// heard it after, and then it sees the change, which came before. A waiter that dies leaves Waiters too high: rings then cost a call
/// more than they need. Sequence counts every ring, so that 2^32 rings between Hear and Sleep would be needed to mistake one for none.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal unsafe struct Doorbell
{
    internal const int Bytes = 8;

    private uint _sequence;
    private int _waiters;

    /// <summary>Says that the condition may have changed, and wakes up to <paramref name="count"/> who sleep.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Ring(int count = int.MaxValue)
    {
        Interlocked.Increment(ref _sequence);
        if (Volatile.Read(ref _waiters) != 0)
        {
            Wake(count);
        }
    }

    /// <summary>Begins to wait. Paired with <see cref="Leave"/>.</summary>
    internal void Enter() => Interlocked.Increment(ref _waiters);

    /// <summary>Ends waiting.</summary>
    internal void Leave() => Interlocked.Decrement(ref _waiters);

    /// <summary>The count of rings so far: heard before the condition is looked at.</summary>
    internal uint Hear() => Volatile.Read(ref _sequence);

    /// <summary>Sleeps unless there was a ring since <paramref name="heard"/>, at most <paramref name="timeout"/> (null: without limit).</summary>
    internal void Sleep(uint heard, TimeSpan? timeout = null) => Futex.Wait(Word, heard, timeout);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Wake(int count) => Futex.Wake(Word, count);

    private uint* Word => (uint*)Unsafe.AsPointer(ref _sequence);
}
