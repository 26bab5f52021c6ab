namespace Kvcached.Daemon.Replay;

/// <summary>A distribution of lengths in tokens: log-normal, by mean and deviation of the logarithm, and kept within a range.</summary>
internal readonly record struct LogNormal(double Mean, double Deviation, int Min, int Max)
{
    public int Sample(Random random)
    {
        // Box and Muller's transform; 1 − u keeps the logarithm finite.
        var normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
        return (int)Math.Clamp(Math.Exp(Mean + (Deviation * normal)), Min, Max);
    }
}

/// <summary>
/// The shape of a published trace: lengths are log-normal, with mean and deviation of the logarithm as measured there, and kept within the trace's range.
/// <code>
///                                ln mean   ln deviation   median   range            between arrivals
///   Azure conversation   input   6.633     0.985          760      2 … 14,050       180.8 ms on average (19,366 requests in 58 minutes)
///                        output  5.019     0.859          151      7 … 1,000
///   Azure code           input   6.999     1.360          1,095    3 … 7,437        389.6 ms (8,819 in 57)
///                        output  2.788     0.847          16       6 … 1,899
///   Mooncake             input   8.737     1.199          6,229    891 … 126,195    294.0 ms (12,031 in 59)
///   conversation         output  5.336     1.358          207      1 … 2,000
/// </code>
/// </summary>
internal sealed record WorkloadShape(double MicrosBetweenArrivals, LogNormal Input, LogNormal Output)
{
    public static WorkloadShape AzureConversation { get; } = new(180_800, new LogNormal(6.633, 0.985, 2, 14_050), new LogNormal(5.019, 0.859, 7, 1_000));

    public static WorkloadShape AzureCode { get; } = new(389_600, new LogNormal(6.999, 1.360, 3, 7_437), new LogNormal(2.788, 0.847, 6, 1_899));

    public static WorkloadShape MooncakeConversation { get; } = new(294_000, new LogNormal(8.737, 1.199, 891, 126_195), new LogNormal(5.336, 1.358, 1, 2_000));
}

/// <summary>Workloads of the shape of published traces; arrivals are a Poisson process.</summary>
internal static class GeneratedWorkload
{
    /// <summary>Generates requests of the shape of the Azure conversation trace; the same seed gives the same ones.</summary>
    public static IEnumerable<TraceRequest> Generate(int count, int seed) => Generate(WorkloadShape.AzureConversation, count, seed);

    /// <summary>Generates requests; the same seed gives the same ones.</summary>
    public static IEnumerable<TraceRequest> Generate(WorkloadShape shape, int count, int seed)
    {
        var random = new Random(seed);
        var arrival = 0.0;
        for (var i = 0; i < count; i++)
        {
            yield return new TraceRequest((long)arrival, shape.Input.Sample(random), shape.Output.Sample(random));
            arrival -= Math.Log(1 - random.NextDouble()) * shape.MicrosBetweenArrivals;
        }
    }
}
