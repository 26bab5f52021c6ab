using Kvcached.Bench.Simulation;
using Xunit;

namespace Kvcached.Tests.Simulation;

public sealed class SimulationTests
{
    /// <summary>Seeds that show a bug that the engine once had, when it is put back, and what it was.</summary>
    [Theory]
    [InlineData(36, "entries out of sight were not written when a sliding window moved back")]
    [InlineData(4, "tokens stayed committed that a noted truncate had taken away")]
    [InlineData(7, "a cold slot was taken back while its copy-out still read the block's bytes")]
    public void A_seed_that_showed_a_bug_stays_clean(ulong seed, string bug)
    {
        var result = SimulationRun.Run(new SimulationOptions { Seed = seed, Operations = 2000 });
        Assert.True(result.Violation is null, $"{bug}: {result.Violation}");
    }

    [Fact]
    public void Two_hundred_programs_of_three_clients_are_clean()
    {
        Parallel.For(1, 201, seed =>
        {
            var result = SimulationRun.Run(new SimulationOptions { Seed = (ulong)seed, Operations = 1000 });
            Assert.Null(result.Violation);
        });
    }

    [Fact]
    public void The_same_seed_gives_the_same_trace()
    {
        var options = new SimulationOptions { Seed = 1, Operations = 2000 };
        Assert.Equal(SimulationRun.Run(options).TraceHash, SimulationRun.Run(options).TraceHash);
        Assert.NotEqual(SimulationRun.Run(options).TraceHash, SimulationRun.Run(options with { Seed = 2 }).TraceHash);
    }

    [Fact]
    public void Programs_reach_every_state_of_a_block_with_every_command()
    {
        var coverage = new SimulationCoverage();
        for (var seed = 1UL; seed <= 40; seed++)
        {
            coverage.Add(SimulationRun.Run(new SimulationOptions { Seed = seed, Operations = 1000 }).Coverage);
        }

        Assert.True(coverage.RefusedSteps * 5 < coverage.Planned, $"{coverage.RefusedSteps} steps refused, {coverage.Planned} operations planned.");
        foreach (var command in Enum.GetValues<SimulatedCommand>().Except([SimulatedCommand.Create, SimulatedCommand.Commit]))
        {
            foreach (var state in Enum.GetValues<SimulatedBlockState>())
            {
                Assert.True(coverage.Met(command, state, isLive: false) > 0, $"{command} never met {state} with no step in flight.");
                Assert.True(coverage.Met(command, state, isLive: true) > 0, $"{command} never met {state} under a step in flight.");
            }
        }
    }
}
