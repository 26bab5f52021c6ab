namespace Kvcached.Bench.Ratios;

/// <summary>Medians, and how sure one is of them.</summary>
internal static class RatioStatistics
{
    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? double.NaN : (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    /// <summary>The least value that a part of the values does not exceed.</summary>
    public static double Percentile(IEnumerable<double> values, double part)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? double.NaN : sorted[Math.Clamp((int)Math.Ceiling(part * sorted.Length) - 1, 0, sorted.Length - 1)];
    }

    /// <summary>
    /// How far from 1 the median of ratios of A to A may lie: the farther end of its 95 % interval, from order statistics, so that nothing
    /// is assumed of how the ratios are spread.
    /// </summary>
    public static double NoiseOf(IEnumerable<double> ratios)
    {
        double[] sorted = [.. ratios.Order()];
        if (sorted.Length == 0)
        {
            return double.NaN;
        }

        var half = 0.98 * Math.Sqrt(sorted.Length);
        var low = Math.Max(0, (int)Math.Floor((sorted.Length / 2.0) - half));
        var high = sorted.Length - 1 - low;
        return Math.Max(Math.Abs(sorted[low] - 1), Math.Abs(sorted[high] - 1));
    }
}
