using Kvcached.Bench.Simulation;
using Kvcached.Engine;
using Xunit;
using Xunit.Abstractions;

namespace Kvcached.Tests.Simulation;

/// <summary>
/// Takes one class of wait away at a time, and expects the simulation to notice within 200 seeds. A wait that stays in the same submission may
/// imply the dropped one in some submissions; it must not in all.
/// </summary>
public sealed class DroppedOrderTests(ITestOutputHelper output)
{
    private const int Seeds = 200;
    private const int Operations = 2000;

    [Fact]
    public void A_copy_out_without_its_wait_for_the_writers_end_is_noticed() => ExpectNoticed(WaitReason.CopyOutAfterWriter);

    [Fact]
    public void A_copy_in_without_its_wait_for_the_readers_ends_is_noticed() => ExpectNoticed(WaitReason.CopyInAfterReaders);

    [Fact]
    public void A_copy_in_without_its_wait_for_the_copy_out_of_the_same_bytes_is_noticed() => ExpectNoticed(WaitReason.CopyInAfterCopyOut);

    [Fact]
    public void An_append_without_its_wait_for_a_copy_out_in_flight_is_noticed() => ExpectNoticed(WaitReason.AppendAfterCopyOut);

    [Fact]
    public void A_step_without_its_wait_for_a_background_move_is_noticed() => ExpectNoticed(WaitReason.StepAfterBackground);

    [Fact]
    public void A_copy_out_into_a_cold_slot_without_its_wait_for_the_copy_in_that_reads_it_is_noticed() => ExpectNoticed(WaitReason.ColdReuseAfterCopyIn);

    [Fact]
    public void A_publish_into_a_row_without_its_wait_for_the_steps_that_read_it_is_noticed() => ExpectNoticed(WaitReason.RowReuseAfterSteps);

    [Fact]
    public void A_reload_without_its_wait_for_the_copy_out_is_noticed_across_two_lanes() => ExpectNoticed(WaitReason.ReloadAcrossLanes);

    [Fact]
    public void A_reload_without_its_wait_for_the_copy_out_is_noticed_on_one_lane() => ExpectNoticed(WaitReason.ReloadAfterCopyOut);

    [Fact]
    public void A_reload_without_its_wait_for_the_background_copy_out_is_noticed() => ExpectNoticed(WaitReason.ReloadAfterBackground);

    [Theory]
    [InlineData(nameof(WaitReason.CopyOutAfterTransfer))]
    [InlineData(nameof(WaitReason.CopyInAfterTransfer))]
    [InlineData(nameof(WaitReason.ColdReuseAfterBackground))]
    [InlineData(nameof(WaitReason.MoveAfterTransfer))]
    [InlineData(nameof(WaitReason.MoveIntoAfterCopyOut))]
    [InlineData(nameof(WaitReason.MoveIntoAfterTransfer))]
    [InlineData(nameof(WaitReason.NewBlockAfterTransfer))]
    [InlineData(nameof(WaitReason.StepAfterTransfer))]
    public void A_command_without_its_wait_for_a_transfer_is_noticed(string reason) => ExpectNoticed(Enum.Parse<WaitReason>(reason));

    [Fact]
    public void A_reload_without_its_wait_for_another_lanes_reload_is_noticed() => ExpectNoticed(WaitReason.ReloadAfterReload);

    [Fact]
    public void A_new_block_without_its_wait_for_the_copy_out_of_its_bytes_is_noticed() => ExpectNoticed(WaitReason.NewBlockAfterCopyOut);

    [Fact]
    public void A_move_without_its_wait_for_the_writers_end_is_noticed() => ExpectNoticed(WaitReason.MoveAfterWriter);

    [Fact]
    public void A_move_without_its_wait_for_the_readers_of_the_bytes_it_overwrites_is_noticed() => ExpectNoticed(WaitReason.MoveIntoAfterReaders);

    [Fact]
    public void A_step_without_its_wait_for_the_sequences_step_on_another_lane_is_noticed() => ExpectNoticed(WaitReason.StepAfterOtherLane);

    private void ExpectNoticed(WaitReason reason)
    {
        long dropped = 0, implied = 0;
        for (var seed = 1UL; seed <= Seeds; seed++)
        {
            var result = SimulationRun.Run(new SimulationOptions { Seed = seed, Operations = Operations, DroppedReason = reason });
            dropped += result.DroppedWaits;
            implied += result.ImpliedWaits;
            if (result.Violation is { } violation)
            {
                output.WriteLine($"{reason}: noticed by seed {seed} after {result.Operations} operations, {dropped} dropped, {implied} implied: {violation}");
                return;
            }
        }

        Assert.Fail($"{reason}: not noticed in {Seeds} seeds; {dropped} waits dropped, {implied} of them implied by others.");
    }
}
