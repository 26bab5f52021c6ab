using Kvcached.Engine;
using Kvcached.Sequences;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>Runs: blocks that are neighbours in their sequence and in the pool. A segment has 4 blocks.</summary>
public class LocalityTests
{
    [Fact]
    public void The_blocks_of_a_prefill_lie_in_one_run()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var lane = rig.OpenLane();
        var a = rig.Create();
        rig.Accept(lane, (a, 40));
        Assert.Equal((10, 1), (rig.Engine.State.Pool.UsedBlocks, rig.Engine.State.Runs.Count));
    }

    [Fact]
    public void Sequences_that_grow_in_turn_lie_in_runs_of_one_block()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var (_, (a, b)) = Interleave(rig);
        Assert.Equal((4, 4), (rig.StateOf(a).Rows[0].Runs, rig.StateOf(b).Rows[0].Runs));
    }

    [Fact]
    public void A_block_that_leaves_parts_a_run_and_one_that_comes_joins_two()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var lane = rig.OpenLane();
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(lane, (a, 16));
        rig.Accept(lane, (b, 12));
        rig.ObserveAll();

        // One block is free, and goes to the second of a, whose place then is.
        Assert.Equal(1, rig.Engine.Transfers.Move(lane, a, 1, 1, background: true));
        Assert.Equal((3, 4), (rig.StateOf(a).Rows[0].Runs, rig.Engine.State.Runs.Count));
        rig.ObserveAll();

        Assert.Equal(1, rig.Engine.Transfers.Move(lane, a, 1, 1, background: true));
        Assert.Equal((1, 2), (rig.StateOf(a).Rows[0].Runs, rig.Engine.State.Runs.Count));

        rig.Engine.Sequences.Truncate(rig.Client, a, 4);
        rig.Engine.Transfers.Evict(lane, b);
        Assert.Equal(1, rig.Engine.State.Runs.Count);
        rig.Engine.Sequences.Free(rig.Client, a);
        Assert.Equal(0, rig.Engine.State.Runs.Count);
    }

    [Fact]
    public void A_sequence_that_was_scattered_comes_back_in_a_run_and_in_one_copy()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var (lane, (a, b)) = Interleave(rig);
        rig.ObserveAll();
        Assert.Equal((4, 4), (rig.Engine.Transfers.Evict(lane, a), rig.Engine.Transfers.Evict(lane, b)));
        rig.ObserveAll();
        var before = rig.Counters.Copies;
        rig.Take();

        Assert.Equal(4, rig.Engine.Transfers.Prefetch(lane, b));

        var copyIn = Assert.Single(rig.Take());
        Assert.Equal((1, 4), (copyIn.Commands.Length, copyIn.CopiedBlocks));
        Assert.Equal((1, 1), (rig.Counters.Copies - before, rig.StateOf(b).Rows[0].Runs));
    }

    [Fact]
    public void Blocks_given_up_in_any_order_are_taken_in_the_order_of_addresses()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var (lane, (a, b)) = Interleave(rig);

        // Nothing of it has been observed: what b needs waits for the lane's own points, the last block of a first.
        rig.Engine.Sequences.Truncate(rig.Client, a, 0);
        rig.Engine.Sequences.Truncate(rig.Client, b, 0);
        rig.Accept(lane, (b, 32));

        Assert.Equal(1, rig.StateOf(b).Rows[0].Runs);
    }

    /// <summary>Two sequences whose four blocks each alternate.</summary>
    private static (LaneState Lane, (SequenceHandle A, SequenceHandle B) Sequences) Interleave(EngineRig rig)
    {
        var lane = rig.OpenLane(depth: 8);
        var (a, b) = (rig.Create(), rig.Create());
        for (var block = 0; block < 4; block++)
        {
            rig.Accept(lane, (a, 4), (b, 4));
        }

        return (lane, (a, b));
    }
}
