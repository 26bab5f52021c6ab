using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>Invariant I7: a cold copy belongs to a version, and only writing makes a new one.</summary>
public class VersionTests
{
    [Fact]
    public void An_append_voids_the_cold_copy_of_the_block_that_it_writes_into_and_of_no_other()
    {
        var rig = new EngineRig();
        var lane = rig.OpenLane();
        var a = rig.Create();
        rig.Accept(lane, (a, 6));
        Assert.Equal(2, rig.Engine.Transfers.Clean(lane, a));
        rig.Accept(lane, (a, 1));
        Assert.Equal([true, false], Enumerable.Range(0, 2).Select(i => rig.BlockOf(a, i).IsClean));
        Assert.Equal(1, rig.Engine.Transfers.Clean(lane, a));
        Assert.Equal(3, rig.Counters.CleanedBlocks);
    }

    [Fact]
    public void A_truncate_alone_keeps_the_cold_copy()
    {
        var rig = new EngineRig();
        var lane = rig.OpenLane();
        var a = rig.Create();
        rig.Accept(lane, (a, 8));
        rig.Engine.Transfers.Clean(lane, a);
        rig.Engine.Sequences.Truncate(rig.Client, a, 6);
        Assert.True(rig.BlockOf(a, 1).IsClean);
        Assert.Equal(2, rig.Engine.Transfers.Evict(lane, a));
        Assert.Equal(2, rig.Counters.CleanedBlocks);

        // What is appended over the old tail is a new version.
        rig.Accept(lane, (a, 1));
        Assert.False(rig.BlockOf(a, 1).IsClean);
        Assert.True(rig.BlockOf(a, 0).IsClean);
    }

    [Fact]
    public void A_step_without_new_tokens_keeps_every_cold_copy()
    {
        var rig = new EngineRig();
        var lane = rig.OpenLane();
        var a = rig.Create();
        rig.Accept(lane, (a, 6));
        rig.Engine.Transfers.Clean(lane, a);
        rig.Accept(lane, (a, 0));
        Assert.Equal(2, rig.Engine.Transfers.Evict(lane, a));
        Assert.Equal(2, rig.Counters.CleanedBlocks);
    }

    [Fact]
    public void A_block_that_was_reloaded_is_still_clean_and_a_moved_one_too()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var lane = rig.OpenLane();
        var a = rig.Create();
        rig.Accept(lane, (a, 4));
        rig.Engine.Transfers.Evict(lane, a);
        rig.Accept(lane, (a, 0));
        Assert.True(rig.BlockOf(a, 0).IsClean);
        rig.Engine.Transfers.Move(lane, a, 0, 1, background: false);
        Assert.True(rig.BlockOf(a, 0).IsClean);
        Assert.Equal(1, rig.Engine.Transfers.Evict(lane, a));
        Assert.Equal(1, rig.Counters.CleanedBlocks);
    }

    [Fact]
    public void Freeing_a_sequence_gives_back_its_blocks_its_cold_slots_and_its_row()
    {
        var rig = new EngineRig();
        var lane = rig.OpenLane();
        var a = rig.Create();
        rig.Accept(lane, (a, 12));
        rig.Engine.Transfers.Clean(lane, a);
        rig.Engine.Sequences.Free(rig.Client, a);
        Assert.Equal((0L, 0L, 0L), (rig.Engine.State.Pool.UsedBytes, rig.Engine.State.Cold.Pool.UsedBytes, rig.Engine.State.Rows.Pool.UsedBytes));
        Assert.True(rig.Engine.State.Pool.HasPending && rig.Engine.State.Cold.Pool.HasPending && rig.Engine.State.Rows.Pool.HasPending);
        rig.ObserveAll();
        Assert.False(rig.Engine.State.Pool.HasPending || rig.Engine.State.Cold.Pool.HasPending || rig.Engine.State.Rows.Pool.HasPending);
        Assert.Equal(0, rig.Client.LiveBytes);
    }

    [Fact]
    public void A_full_cold_tier_gives_up_the_copy_of_a_block_that_is_on_the_device()
    {
        var rig = new EngineRig(poolBlocks: 8, coldBlocks: 4);
        var lane = rig.OpenLane();
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(lane, (a, 16));
        rig.Engine.Transfers.Clean(lane, a);
        rig.ObserveAll();
        rig.Accept(lane, (b, 4));
        Assert.Equal(1, rig.Engine.Transfers.Evict(lane, b));
        Assert.Equal(3, Enumerable.Range(0, 4).Count(i => rig.BlockOf(a, i).IsClean));
    }

    [Fact]
    public void With_the_cold_tier_full_of_what_is_only_there_nothing_more_is_evicted()
    {
        var rig = new EngineRig(poolBlocks: 8, coldBlocks: 4);
        var lane = rig.OpenLane();
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(lane, (a, 16));
        Assert.Equal(4, rig.Engine.Transfers.Evict(lane, a));
        rig.ObserveAll();
        rig.Accept(lane, (b, 4));
        Assert.Equal(0, rig.Engine.Transfers.Evict(lane, b));
        Assert.True(rig.IsResident(b, 0));
    }
}
