using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Devices.Linux;

namespace Kvcached.Devices.Host;

/// <summary>
/// Sleeping until a condition in shared memory holds, and waking those who sleep. Lies in memory that does not move (a mapping, a pinned
/// array) beside the words that the condition reads.
/// <code>
///  byte  0          4         8
///        | Sequence | Waiters |
///
///  to wait: Await                             to make the condition true
///    Waiters += 1                               change the words
///    h = Sequence                               Ring   Sequence += 1
///    condition?  →  Waiters −= 1                       Waiters ≠ 0 → futex wake
///    futex wait while Sequence = h
///    again from h = Sequence
/// </code>
/// No wake-up is lost. Both additions are full fences. If the ringer reads Waiters = 0, the waiter's addition comes after that read in the
/// order of fences, so the waiter's look at the condition sees the change. Otherwise the ringer wakes, and either the waiter heard the
/// sequence before the addition, and then the kernel finds another value and does not let it sleep or the wake finds it asleep; or it
/// heard it after, and then it sees the change, which came before. A waiter that dies leaves Waiters too high: rings then cost a call
/// more than they need. Sequence counts every ring, so that 2^32 rings between hearing and sleeping would be needed to mistake one for none.
/// <para>
/// Where other processes have the memory too (<see cref="BellAccess"/>), a ringer may be killed between change and ring, or write what it likes. Waits there look
/// again now and then by themselves, so that a ring that never comes delays and does not block. Who may only read the memory does not count itself: Waiters is 1 there from the start,
/// and every ring wakes.
/// </para>
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal unsafe struct Doorbell
{
    internal const int Bytes = 8;

    /// <summary>How long a ring that never comes may delay: far longer than a ring takes, far shorter than a peer's death may go unnoticed.</summary>
    private static readonly TimeSpan _lookAgain = TimeSpan.FromMilliseconds(100);

    /// <summary>How long a signal that a device gives without ringing may go unnoticed.</summary>
    private static readonly TimeSpan _lookSoon = TimeSpan.FromMicroseconds(50);

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

    /// <summary>
    /// Returns once the condition holds: looks at it for <paramref name="spinTicks"/>, and then whenever the bell has been rung. What the
    /// condition throws is passed on.
    /// </summary>
    /// <param name="condition">Looked at after the sequence was heard, so that what changes afterwards keeps the caller awake.</param>
    /// <param name="spinTicks">How long to look again before falling asleep, in ticks of <see cref="Stopwatch"/>.</param>
    /// <param name="timeout">The longest wait; null for one without limit.</param>
    /// <param name="access">Who has the bell's memory.</param>
    /// <returns>False if the time was up and the condition did not hold.</returns>
    internal bool Await<TCondition>(ref TCondition condition, long spinTicks, TimeSpan? timeout = null, BellAccess access = BellAccess.Own)
        where TCondition : struct, ICondition
    {
        var started = timeout is null ? 0 : Stopwatch.GetTimestamp();
        var spin = SpinBudget.Start(spinTicks);
        do
        {
            if (condition.Holds())
            {
                return true;
            }
        }
        while (spin.Pause());

        if (access is BellAccess.ReadOnly or BellAccess.Silent)
        {
            return Sleep(ref condition, started, timeout, access == BellAccess.Silent ? _lookSoon : _lookAgain);
        }

        Interlocked.Increment(ref _waiters);
        try
        {
            return Sleep(ref condition, started, timeout, access == BellAccess.Own ? null : _lookAgain);
        }
        finally
        {
            Interlocked.Decrement(ref _waiters);
        }
    }

    /// <summary>
    /// Makes whoever waits look again, even where the words are not to be believed. Where they may only be read, a waiter that is about to sleep is missed: it
    /// looks again by itself.
    /// </summary>
    internal void Rouse(BellAccess access)
    {
        if (access != BellAccess.ReadOnly)
        {
            Interlocked.Increment(ref _sequence);
        }

        Wake(int.MaxValue);
    }

    /// <summary>Counts so many waiters from the start.</summary>
    internal void Presume(int waiters) => Volatile.Write(ref _waiters, waiters);

    /// <summary>The count of rings so far.</summary>
    internal uint Hear() => Volatile.Read(ref _sequence);

    private bool Sleep<TCondition>(ref TCondition condition, long started, TimeSpan? timeout, TimeSpan? lookAgain)
        where TCondition : struct, ICondition
    {
        while (true)
        {
            var heard = Hear();
            if (condition.Holds())
            {
                return true;
            }

            var left = timeout - Stopwatch.GetElapsedTime(started);
            if (left <= TimeSpan.Zero)
            {
                return false;
            }

            Futex.Wait(Word, heard, lookAgain is null || left < lookAgain ? left : lookAgain);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Wake(int count) => Futex.Wake(Word, count);

    private uint* Word => (uint*)Unsafe.AsPointer(ref _sequence);
}

/// <summary>Who has the memory that a bell lies in.</summary>
internal enum BellAccess
{
    /// <summary>This process alone.</summary>
    Own,

    /// <summary>Others too, who may write it.</summary>
    Shared,

    /// <summary>Others too, and this process may only read it.</summary>
    ReadOnly,

    /// <summary>A device changes what is waited for, and rings nobody.</summary>
    Silent,
}

/// <summary>What <see cref="Doorbell.Await"/> waits for. Reads words that are changed before the bell is rung.</summary>
internal interface ICondition
{
    /// <summary>Whether there is nothing to wait for.</summary>
    bool Holds();
}
