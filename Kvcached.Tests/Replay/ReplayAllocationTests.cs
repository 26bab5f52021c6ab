using Kvcached.Daemon;
using Kvcached.Daemon.Replay;
using Kvcached.Devices.Cpu;
using Xunit;

namespace Kvcached.Tests.Replay;

public class ReplayAllocationTests
{
    [Fact]
    public void A_thousand_steps_that_evict_and_reload_allocate_nothing()
    {
        const int turns = 1_000 / ReplayPlan.TurnSteps;
        var options = new ReplayOptions { Pool = PoolSize.Fixed(4 << 20) };
        var requests = Enumerable.Repeat(new TraceRequest(0, 200, 60), 400).ToArray();
        var plan = ReplayPlan.Create(options, requests);
        using var device = new ColdMemoryTap(new CpuDevice());
        using var run = new ReplayRun(device, plan, options);
        var allocated = new List<long>(10_000);

        var report = run.Run(_ => allocated.Add(GC.GetAllocatedBytesForCurrentThread()));

        Assert.True(report.Holds);
        Assert.True(report.ReloadedBlocks > 1_000);
        // The engine grows what it keeps on demand, so the first steps allocate: the longest stretch that does not must be a thousand.
        Assert.True(LongestPlateau(allocated) > turns, $"No more than {LongestPlateau(allocated)} of {allocated.Count} turns in a row allocate nothing.");
    }

    private static int LongestPlateau(List<long> samples)
    {
        var (longest, current) = (1, 1);
        for (var i = 1; i < samples.Count; i++)
        {
            current = samples[i] == samples[i - 1] ? current + 1 : 1;
            longest = Math.Max(longest, current);
        }

        return longest;
    }
}
