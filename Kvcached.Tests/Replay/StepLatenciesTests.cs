using Kvcached.Daemon.Replay;
using Xunit;

namespace Kvcached.Tests.Replay;

public class StepLatenciesTests
{
    [Fact]
    public void Without_steps_a_percentile_is_zero() => Assert.Equal(0, new StepLatencies().Percentile(50));

    [Theory]
    [InlineData(0)]
    [InlineData(15)]
    [InlineData(16)]
    [InlineData(1_000)]
    [InlineData(123_456_789)]
    [InlineData(long.MaxValue)]
    public void A_single_latency_is_every_percentile_to_a_sixteenth(long micros)
    {
        var latencies = new StepLatencies();
        latencies.Add(micros);
        Assert.InRange(latencies.Percentile(50), micros - (micros / 16), micros + Math.Min(micros / 16, long.MaxValue - micros));
        Assert.Equal(latencies.Percentile(50), latencies.Percentile(99));
    }

    [Fact]
    public void Percentiles_of_a_uniform_run_lie_where_they_must()
    {
        var latencies = new StepLatencies();
        for (var micros = 1; micros <= 10_000; micros++)
        {
            latencies.Add(micros);
        }

        Assert.InRange(latencies.Percentile(50), 4_700, 5_300);
        Assert.InRange(latencies.Percentile(99), 9_300, 10_500);
    }

    [Fact]
    public void Adding_allocates_nothing()
    {
        var latencies = new StepLatencies();
        latencies.Add(1);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++)
        {
            latencies.Add(i);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }
}
