namespace Kvcached.Daemon.Replay;

/// <summary>
/// A workload of the shape of the published Azure conversation trace of 2023 (19,366 requests in 58 minutes). Lengths are log-normal, with
/// mean and deviation of the logarithm as measured there, and kept within the trace's range; arrivals are a Poisson process.
/// <code>
///                  ln mean   ln deviation   median   range
///   input tokens   6.633     0.985          760      2 … 14,050
///   output tokens  5.019     0.859          151      7 … 1,000
///   between arrivals: 180.8 ms on average
/// </code>
/// </summary>
internal static class GeneratedWorkload
{
    private const double MicrosBetweenArrivals = 180_800;

    private static readonly LogNormal Input = new(6.633, 0.985, 2, 14_050);
    private static readonly LogNormal Output = new(5.019, 0.859, 7, 1_000);

    /// <summary>Generates requests; the same seed gives the same ones.</summary>
    public static IEnumerable<TraceRequest> Generate(int count, int seed)
    {
        var random = new Random(seed);
        var arrival = 0.0;
        for (var i = 0; i < count; i++)
        {
            yield return new TraceRequest((long)arrival, Input.Sample(random), Output.Sample(random));
            arrival -= Math.Log(1 - random.NextDouble()) * MicrosBetweenArrivals;
        }
    }

    private readonly record struct LogNormal(double Mean, double Deviation, int Min, int Max)
    {
        public int Sample(Random random)
        {
            // Box and Muller's transform; 1 − u keeps the logarithm finite.
            var normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
            return (int)Math.Clamp(Math.Exp(Mean + (Deviation * normal)), Min, Max);
        }
    }
}
