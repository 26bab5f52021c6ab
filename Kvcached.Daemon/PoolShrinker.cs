using System.Diagnostics;

namespace Kvcached.Daemon;

/// <summary>
/// When a pool gives memory back, which only its user knows: as soon as less than half of what it has is in use, and at the end. It grows by itself, with
/// need.
/// </summary>
internal sealed class PoolShrinker(KvCache cache)
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(10);

    /// <summary>Most bytes that had memory behind them.</summary>
    public long PeakBytes { get; private set; }

    /// <summary>Looks at what is in use. Allocates nothing and waits for nothing.</summary>
    public void Look(in KvCacheStatistics statistics)
    {
        PeakBytes = Math.Max(PeakBytes, statistics.PoolPresentBytes);
        if (statistics.PoolPresentBytes > statistics.PoolFloorBytes && statistics.ResidentBytes < statistics.PoolPresentBytes / 2)
        {
            cache.Trim();
        }
    }

    /// <summary>Shrinks a pool of which nothing is in use to its floor, and waits for that.</summary>
    /// <returns>Bytes of physical memory that the system still holds for it.</returns>
    public long Finish()
    {
        var start = Stopwatch.GetTimestamp();
        cache.Trim();
        while (cache.GetStatistics() is var statistics && Math.Max(statistics.PoolPresentBytes, cache.PoolPhysicalBytes) > statistics.PoolFloorBytes && Stopwatch.GetElapsedTime(start) < _limit)
        {
            Thread.Sleep(1);
            cache.Pump();
        }

        return cache.PoolPhysicalBytes;
    }
}
