using System.Numerics;

namespace Kvcached.Daemon.Replay;

/// <summary>
/// A histogram of step latencies with fixed buckets, 16 to each power of two, so that recording allocates nothing and a percentile is off by
/// 1/16 at most.
/// </summary>
internal sealed class StepLatencies
{
    private const int SubBuckets = 16;
    private const int SubBucketShift = 4;

    private readonly long[] _buckets = new long[(64 - SubBucketShift + 1) * SubBuckets];
    private long _count;

    /// <summary>How many latencies each bucket has.</summary>
    public IReadOnlyList<long> Buckets => _buckets;

    /// <summary>Adds what another histogram has in its buckets.</summary>
    public void Add(IReadOnlyList<long> buckets)
    {
        for (var i = 0; i < buckets.Count; i++)
        {
            _buckets[i] += buckets[i];
            _count += buckets[i];
        }
    }

    /// <summary>Adds one latency.</summary>
    public void Add(long micros)
    {
        _buckets[Bucket(Math.Max(micros, 0))]++;
        _count++;
    }

    /// <summary>The latency that <paramref name="percent"/> of the steps do not exceed, to a bucket's width; 0 without steps.</summary>
    public long Percentile(double percent)
    {
        var wanted = (long)Math.Ceiling(_count * percent / 100);
        var seen = 0L;
        for (var i = 0; i < _buckets.Length; i++)
        {
            seen += _buckets[i];
            if (seen >= wanted && seen > 0)
            {
                return Middle(i);
            }
        }

        return 0;
    }

    private static int Bucket(long micros)
    {
        var shift = Math.Max(BitOperations.Log2((ulong)micros | 1) - SubBucketShift, 0);
        return (shift * SubBuckets) + (int)(micros >> shift);
    }

    private static long Middle(int bucket)
    {
        var shift = Math.Max((bucket / SubBuckets) - 1, 0);
        var low = (long)(bucket - (shift * SubBuckets)) << shift;
        return low + ((1L << shift) / 2);
    }
}
