using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Kvcached.Devices.Linux;

/// <summary>
/// Waiting on a 32-bit word and waking those who wait on it, across processes too (not <c>FUTEX_PRIVATE</c>: a private wake does not
/// reach a word that another process has mapped).
/// </summary>
internal static unsafe class Futex
{
    /// <summary>
    /// Sleeps while the word is <paramref name="expected"/>, at most <paramref name="timeout"/> (null: without limit). Returns for any
    /// reason, a signal or nothing at all included: the caller looks at its condition again.
    /// </summary>
    internal static void Wait(uint* word, uint expected, TimeSpan? timeout)
    {
        LibC.Timespec time;
        LibC.Timespec* limit = null;
        if (timeout is { } span)
        {
            var ticks = Math.Max(0, span.Ticks);
            time = new LibC.Timespec
            {
                Seconds = ticks / TimeSpan.TicksPerSecond,
                Nanoseconds = ticks % TimeSpan.TicksPerSecond * TimeSpan.NanosecondsPerTick,
            };
            limit = &time;
        }

        if (LibC.Futex(LibC.FutexNumber, word, LibC.FutexWaitOperation, expected, limit, 0, 0) == -1)
        {
            var error = Marshal.GetLastPInvokeError();
            if (error is not (LibC.Eagain or LibC.Eintr or LibC.Etimedout))
            {
                throw new Win32Exception(error, $"futex wait failed with errno {error}.");
            }
        }
    }

    /// <summary>Wakes up to <paramref name="count"/> threads that sleep on the word.</summary>
    internal static void Wake(uint* word, int count) =>
        LibC.Futex(LibC.FutexNumber, word, LibC.FutexWakeOperation, (nuint)count, null, 0, 0);
}
