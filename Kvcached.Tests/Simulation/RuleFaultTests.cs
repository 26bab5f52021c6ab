extern alias faulty;

using faulty::Kvcached.Bench.Simulation;
using Xunit;
using Xunit.Abstractions;

namespace Kvcached.Tests.Simulation;

/// <summary>
/// Breaks one rule of the engine at a time, in an assembly compiled from the library's sources with the breaks compiled in, and expects the
/// simulation to notice within 200 seeds.
/// </summary>
public sealed class RuleFaultTests(ITestOutputHelper output)
{
    private const int Seeds = 200;
    private const int Operations = 2000;

    [Fact]
    public void A_view_slot_reused_before_its_step_ended_is_noticed() => ExpectNoticed("ViewSlotReusedEarly");

    [Fact]
    public void Staging_reused_before_its_copy_was_observed_is_noticed() => ExpectNoticed("StagingReusedEarly");

    [Fact]
    public void A_publish_placed_before_the_copy_in_of_its_step_is_noticed() => ExpectNoticed("PublishBeforeCopyIn");

    [Fact]
    public void A_last_step_not_handed_over_when_a_block_leaves_its_sequence_is_noticed() => ExpectNoticed("LastStepNotHandedOver");

    [Fact]
    public void A_segment_carved_again_without_the_union_of_its_frontiers_is_noticed() => ExpectNoticed("SegmentWithoutUnion");

    [Fact]
    public void A_covered_entry_overwritten_is_noticed() => ExpectNoticed("CoveredEntryWritten");

    [Fact]
    public void A_cold_copy_that_survives_an_append_is_noticed() => ExpectNoticed("ColdCopySurvivesAppend");

    [Fact]
    public void No_rule_broken_is_clean_in_the_same_assembly()
    {
        for (var seed = 1UL; seed <= 20; seed++)
        {
            Assert.Null(SimulationRun.Run(new SimulationOptions { Seed = seed, Operations = Operations }).Violation);
        }
    }

    private void ExpectNoticed(string fault)
    {
        for (var seed = 1UL; seed <= Seeds; seed++)
        {
            var result = SimulationRun.Run(new SimulationOptions { Seed = seed, Operations = Operations, Fault = fault });
            if (result.Violation is { } violation)
            {
                output.WriteLine($"{fault}: noticed by seed {seed} after {result.Operations} operations: {violation}");
                return;
            }
        }

        Assert.Fail($"{fault}: not noticed in {Seeds} seeds.");
    }
}
