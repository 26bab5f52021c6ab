using System.Diagnostics;

namespace Kvcached.Devices.Host;

/// <summary>A bounded stretch of looking again before sleeping.</summary>
internal struct SpinBudget
{
    private const int PausesPerLook = 2;

    private readonly long _deadline;

    private SpinBudget(long deadline) => _deadline = deadline;

    /// <summary>Ticks of <see cref="Stopwatch"/> in a number of microseconds.</summary>
    internal static long TicksOf(double microseconds) => (long)(microseconds * Stopwatch.Frequency / 1e6);

    /// <summary>Starts a budget; 0 ticks allow no look at all.</summary>
    internal static SpinBudget Start(long ticks) => new(ticks == 0 ? 0 : Stopwatch.GetTimestamp() + ticks);

    /// <summary>Pauses for some tens of nanoseconds. False once the budget is spent.</summary>
    internal readonly bool Pause()
    {
        if (_deadline == 0)
        {
            return false;
        }

        Thread.SpinWait(PausesPerLook);
        return Stopwatch.GetTimestamp() < _deadline;
    }
}
