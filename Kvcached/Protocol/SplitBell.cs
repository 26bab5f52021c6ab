using System.Diagnostics;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;

namespace Kvcached.Protocol;

/// <summary>
/// Sleeping until another process has news, where each side may write its own memory only: a <see cref="Doorbell"/> whose two words lie apart. One thread rings, one sleeps.
/// <code>
///   the sleeper                                   who has news
///     Sleeps = 1, full fence                        publish the news, full fence
///     h = Sequence                                  Sleeps ≠ 0 → Sequence += 1, futex wake
///     is there news?  →  Sleeps = 0
///     futex wait while Sequence = h
///     again from h = Sequence
/// </code>
/// No call is lost, for the reason given at <see cref="Doorbell"/>. A ringer that is killed between publishing and waking calls nobody: the sleeper's time is limited.
/// A sleeper that lies costs the ringer a system call.
/// </summary>
/// <param name="sequence">In memory of who rings.</param>
/// <param name="sleeps">In memory of who sleeps.</param>
internal readonly unsafe struct SplitBell(uint* sequence, uint* sleeps)
{
    /// <summary>Says that there is news.</summary>
    internal void Ring()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref *sleeps) != 0)
        {
            Interlocked.Increment(ref *sequence);
            Futex.Wake(sequence, int.MaxValue);
        }
    }

    /// <summary>Returns once there is news, or the time is up. Looks for <paramref name="spinTicks"/> before it sleeps.</summary>
    /// <returns>False if the time was up and there was none.</returns>
    internal bool Await<TCondition>(ref TCondition condition, long spinTicks, TimeSpan timeout)
        where TCondition : struct, ICondition
    {
        var started = Stopwatch.GetTimestamp();
        var spin = SpinBudget.Start(spinTicks);
        do
        {
            if (condition.Holds())
            {
                return true;
            }
        }
        while (spin.Pause());

        Interlocked.Exchange(ref *sleeps, 1);
        try
        {
            while (true)
            {
                var heard = Volatile.Read(ref *sequence);
                if (condition.Holds())
                {
                    return true;
                }

                var left = timeout - Stopwatch.GetElapsedTime(started);
                if (left <= TimeSpan.Zero)
                {
                    return false;
                }

                Futex.Wait(sequence, heard, left);
            }
        }
        finally
        {
            Volatile.Write(ref *sleeps, 0);
        }
    }
}
