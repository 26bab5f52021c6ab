using Kvcached.Daemon.Replay;
using Xunit;

namespace Kvcached.Tests.Replay;

public class GeneratedWorkloadTests
{
    private static readonly TraceRequest[] Sample = [.. GeneratedWorkload.Generate(20_000, seed: 7)];

    [Fact]
    public void Prompts_have_the_published_median_and_range()
    {
        Assert.InRange(Median(Sample.Select(request => request.InputTokens)), 735, 785);
        Assert.All(Sample, request => Assert.InRange(request.InputTokens, 2, 14_050));
    }

    [Fact]
    public void Answers_have_the_published_median_and_range()
    {
        Assert.InRange(Median(Sample.Select(request => request.OutputTokens)), 146, 156);
        Assert.All(Sample, request => Assert.InRange(request.OutputTokens, 7, 1_000));
    }

    [Fact]
    public void Lengths_spread_as_published()
    {
        Assert.InRange(LogDeviation(Sample.Select(request => request.InputTokens)), 0.95, 1.0);
        Assert.InRange(LogDeviation(Sample.Select(request => request.OutputTokens)), 0.82, 0.87);
    }

    [Fact]
    public void Requests_arrive_in_order_and_as_often_as_published()
    {
        Assert.Equal(0, Sample[0].ArrivalMicros);
        Assert.InRange(Sample[^1].ArrivalMicros / (double)(Sample.Length - 1), 176_000, 186_000);
        Assert.All(Sample.Zip(Sample.Skip(1)), pair => Assert.True(pair.First.ArrivalMicros <= pair.Second.ArrivalMicros));
    }

    [Fact]
    public void A_seed_gives_the_same_workload_again_and_another_seed_another_one()
    {
        Assert.Equal(GeneratedWorkload.Generate(50, 3), GeneratedWorkload.Generate(50, 3));
        Assert.NotEqual(GeneratedWorkload.Generate(50, 3), GeneratedWorkload.Generate(50, 4));
    }

    private static double LogDeviation(IEnumerable<int> values)
    {
        var logs = values.Select(value => Math.Log(value)).ToArray();
        var mean = logs.Average();
        return Math.Sqrt(logs.Average(log => (log - mean) * (log - mean)));
    }

    private static int Median(IEnumerable<int> values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }
}
