using System.Diagnostics;

namespace Kvcached.Server;

/// <summary>How long the last thousand steps of a tenant took from when the daemon read them to when it observed their begin points. One thread; allocates nothing.</summary>
internal sealed class StepLatencies
{
    private const int Kept = 1024;

    private readonly float[] _microseconds = new float[Kept];
    private readonly float[] _sorted = new float[Kept];
    private long _count;

    public void Add(long ticks) => _microseconds[_count++ % Kept] = (float)(ticks * 1e6 / Stopwatch.Frequency);

    /// <summary>The latency that a fraction of the steps did not exceed, in microseconds; 0 before the first.</summary>
    public double Quantile(double fraction)
    {
        var kept = (int)Math.Min(_count, Kept);
        if (kept == 0)
        {
            return 0;
        }

        var sorted = _sorted.AsSpan(0, kept);
        _microseconds.AsSpan(0, kept).CopyTo(sorted);
        sorted.Sort();
        return sorted[Math.Min(kept - 1, (int)(fraction * kept))];
    }
}
