using Kvcached.Bench.Simulation;
using Xunit;

namespace Kvcached.Tests.Simulation;

public sealed class SimulationTests
{
    private static readonly SimulationOptions _plain = new() { Seed = 1 };

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

    /// <summary>Changes with whatever changes what programs do or what the engine submits; never with the machine.</summary>
    [Fact]
    public void Seed_1_gives_the_same_trace_on_every_machine() =>
        Assert.Equal(4562846011364253414UL, SimulationRun.Run(new SimulationOptions { Seed = 1, Operations = 2000, Clients = 3 }).TraceHash);

    [Fact]
    public void A_program_in_which_nothing_is_planned_is_inconclusive()
    {
        var program = SimulatedProgram.Draw(seed: 1, operations: 1, clients: 1) with { Operations = [new SimulatedOperation { Command = SimulatedCommand.Free }], Limit = null };
        Assert.Equal(SimulationOutcome.Inconclusive, SimulationRun.Run(program, _plain).Outcome);
    }

    [Fact]
    public void A_program_that_ends_before_enough_is_planned_is_inconclusive()
    {
        var program = SimulatedProgram.Draw(seed: 1, operations: 100, clients: 3);
        Assert.Equal(SimulationOutcome.Pass, SimulationRun.Run(program, _plain).Outcome);
        Assert.Equal(SimulationOutcome.Inconclusive, SimulationRun.Run(program with { Operations = program.Operations.Take(99) }, _plain).Outcome);
    }

    [Fact]
    public void A_program_that_has_nothing_of_an_order_to_drop_is_inconclusive()
    {
        var program = SimulatedProgram.Draw(seed: 1, operations: 8, clients: 3);
        var wait = _plain with { Dropped = [DroppedOrder.Parse("wait ReloadAfterReload")] };
        Assert.Equal(SimulationOutcome.Inconclusive, SimulationRun.Run(program, wait).Outcome);
        var queue = _plain with { Dropped = [DroppedOrder.Parse("queue no such queue")] };
        Assert.Equal(SimulationOutcome.Inconclusive, SimulationRun.Run(program, queue).Outcome);
    }

    [Fact]
    public void What_is_dropped_and_noticed_is_a_violation_and_what_is_dropped_and_not_noticed_passes()
    {
        var noticed = _plain with { Dropped = [DroppedOrder.Parse("wait CopyOutAfterWriter")] };
        Assert.Equal(SimulationOutcome.Violation, SimulationRun.Run(noticed).Outcome);
        var missedByNone = _plain with { Dropped = [DroppedOrder.Parse("queue lane in: lane Begin before lane In")] };
        Assert.Equal(SimulationOutcome.Pass, SimulationRun.Run(missedByNone).Outcome);
    }

    [Fact]
    public void Programs_meet_what_can_be_met_and_nothing_else()
    {
        var coverage = new SimulationCoverage();
        foreach (var part in Enumerable.Range(1, 250).AsParallel().Select(seed => SimulationRun.Run(new SimulationOptions { Seed = (ulong)seed }).Coverage))
        {
            coverage.Add(part);
        }

        Assert.True(coverage.RefusedSteps * 5 < coverage.Planned, $"{coverage.RefusedSteps} steps refused, {coverage.Planned} operations planned.");
        Assert.Empty(CoverageTable.Faults(coverage, coverage.Planned));

        // As many operations as are judged would take half a minute; these meet all that they are judged by.
        Assert.Empty(CoverageTable.Faults(coverage, CoverageTable.JudgedFrom));
    }

    [Fact]
    public void What_can_be_met_and_was_not_is_a_fault_once_there_are_operations_enough()
    {
        Assert.Empty(CoverageTable.Faults(new SimulationCoverage(), CoverageTable.JudgedFrom - 1));
        Assert.Contains("Evict on a block that is Leaving, under a step in flight, was not met", CoverageTable.Faults(new SimulationCoverage(), CoverageTable.JudgedFrom));
        Assert.Contains("a unit of the pool that got memory again was not met", CoverageTable.Faults(new SimulationCoverage(), CoverageTable.JudgedFrom));
        Assert.DoesNotContain(CoverageTable.Faults(new SimulationCoverage(), CoverageTable.JudgedFrom), fault => fault.StartsWith("MakeRoom on a block that is Cold", StringComparison.Ordinal));
        Assert.DoesNotContain("Step on a block that is WrittenClean, under a step in flight, was not met", CoverageTable.Faults(new SimulationCoverage(), CoverageTable.PassingJudgedFrom - 1));
        Assert.Contains("Step on a block that is WrittenClean, under a step in flight, was not met", CoverageTable.Faults(new SimulationCoverage(), CoverageTable.PassingJudgedFrom));
    }

    [Fact]
    public void What_is_met_and_cannot_be_is_a_fault()
    {
        var coverage = new SimulationCoverage();
        coverage.Meet(SimulatedCommand.MakeRoom, BlockCondition.Cold, isLive: false);

        Assert.Equal("MakeRoom on a block that is Cold, without a step in flight, was met, although it cannot be: it drops what is on the device", Assert.Single(CoverageTable.Faults(coverage, 1)));
    }
}
