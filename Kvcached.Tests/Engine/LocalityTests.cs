using Kvcached.Bench.Simulation;
using Kvcached.Engine;
using Kvcached.Sequences;
using Kvcached.Tests.Memory;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>Runs: blocks that are neighbours in their sequence and in the pool. A segment has 4 blocks.</summary>
public class LocalityTests
{
    private const int Background = 0;

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

    [Fact]
    public void A_scattered_sequence_comes_to_lie_in_a_run_and_stays_there()
    {
        var rig = new EngineRig(poolBlocks: 12);
        var (lane, (a, b)) = Interleave(rig);
        rig.ObserveAll();
        rig.Take();

        Assert.Equal(4, rig.Engine.Transfers.RestoreOrder(lane, a));

        var move = Assert.Single(rig.Take());
        Assert.Equal((Background, 4), (move.Queue, move.CopiedBlocks));
        Assert.Empty(move.Waits);
        Assert.All(move.Commands, command => Assert.True(command.IsCopy(rig.Pool, rig.Pool)));
        Assert.Equal((1, 4), (rig.StateOf(a).Rows[0].Runs, rig.StateOf(b).Rows[0].Runs));
        Assert.Equal((4, 0), (rig.Counters.ReorderedBlocks, rig.Counters.MovedBlocks));
        rig.ObserveAll();
        Assert.Equal(0, rig.Engine.Transfers.RestoreOrder(lane, a));
        Assert.Equal(4, rig.Accept(lane, (a, 0)).Last().Entries.Length);
    }

    [Fact]
    public void A_live_step_goes_on_reading_the_old_bytes_and_the_next_one_gets_a_fresh_row()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var (lane, (a, _)) = Interleave(rig);
        rig.ObserveAll();
        var old = Enumerable.Range(0, 4).Select(i => rig.OffsetOf(a, i)).ToArray();
        rig.Accept(lane, (a, 0));
        var row = rig.StateOf(a).Rows[0].Start;

        Assert.Equal(4, rig.Engine.Transfers.RestoreOrder(lane, a));
        rig.ObserveTransfers();

        // What the step reads is free for no one else, and its entries stay as they are.
        var other = rig.Engine.OpenClient();
        var c = rig.Create(other, rig.Register(other, EngineRig.Layout()));
        rig.Accept(rig.OpenLane(other), (c, 16));
        Assert.DoesNotContain(Enumerable.Range(0, 4).Select(i => rig.OffsetOf(c, i)), old.Contains);
        Assert.Equal(4, rig.Accept(lane, (a, 0)).Last().Entries.Length);
        Assert.NotEqual(row, rig.StateOf(a).Rows[0].Start);
    }

    [Fact]
    public void A_block_whose_writer_is_live_stays()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var (lane, (a, _)) = Interleave(rig);
        rig.ObserveAll();
        rig.Engine.Sequences.Truncate(rig.Client, a, 12);
        rig.Accept(lane, (a, 1));
        rig.Take();

        Assert.Equal(3, rig.Engine.Transfers.RestoreOrder(lane, a));

        Assert.Empty(Assert.Single(rig.Take()).Waits);
        Assert.Equal(2, rig.StateOf(a).Rows[0].Runs);
    }

    [Fact]
    public void Cold_slots_are_taken_in_their_order_and_blocks_go_out_in_one_copy()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var lane = rig.OpenLane(depth: 8);
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(lane, (a, 16));
        rig.Engine.Transfers.Clean(lane, a);
        rig.ObserveAll();
        rig.Engine.Sequences.Free(rig.Client, a);
        rig.Accept(lane, (b, 16));

        rig.Engine.Transfers.Clean(lane, b);

        var clean = Assert.Single(rig.Take());
        Assert.Equal((1, 4), (clean.Commands.Length, clean.CopiedBlocks));
    }

    [Fact]
    public void A_run_goes_only_where_it_comes_to_be_twice_as_long()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var lane = rig.OpenLane(depth: 8);
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(lane, (a, 12));
        rig.Accept(lane, (b, 4));
        rig.Accept(lane, (a, 4));
        rig.ObserveAll();
        Assert.Equal(2, rig.StateOf(a).Rows[0].Runs);

        // Three blocks and one: there is room for four elsewhere, but not behind the three.
        Assert.Equal(0, rig.Engine.Transfers.RestoreOrder(lane, a));

        rig.Engine.Sequences.Free(rig.Client, b);
        Assert.Equal(1, rig.Engine.Transfers.RestoreOrder(lane, a));
        Assert.Equal(1, rig.StateOf(a).Rows[0].Runs);
    }

    [Fact]
    public void What_fits_the_places_that_there_are_moves_and_the_rest_stays()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var (lane, (a, b)) = Interleave(rig);
        rig.ObserveAll();
        Assert.Equal(0, rig.Engine.Transfers.RestoreOrder(lane, a));

        rig.Engine.Sequences.Truncate(rig.Client, b, 8);
        rig.ObserveAll();
        var moved = rig.Engine.Transfers.RestoreOrder(lane, a);
        rig.ObserveAll();

        Assert.InRange(moved, 1, 3);
        Assert.InRange(rig.StateOf(a).Rows[0].Runs, 2, 3);
    }

    [Fact]
    public void A_client_that_may_pin_no_more_moves_nothing()
    {
        var rig = new EngineRig(poolBlocks: 24);
        var client = rig.Engine.OpenClient(maxPinnedBytes: 4 * EngineRig.BlockBytes);
        var model = rig.Register(client, EngineRig.Layout());
        var lane = rig.OpenLane(client, depth: 8);
        var (a, b) = (rig.Create(client, model), rig.Create(client, model));
        for (var block = 0; block < 4; block++)
        {
            rig.Accept(lane, (a, 4));
            rig.ObserveAll();
            rig.Accept(lane, (b, 4));
            rig.ObserveAll();
        }

        rig.Accept(lane, (a, 0));
        Assert.Equal(0, rig.Engine.Transfers.RestoreOrder(lane, a));
        rig.ObserveAll();
        Assert.Equal(4, rig.Engine.Transfers.RestoreOrder(lane, a));
    }

    /// <summary>Whatever sequences have done: no block's run gets shorter, and after a few passes there is nothing to move.</summary>
    [Fact]
    public void Runs_never_get_shorter_and_passes_come_to_an_end() => RandomProgram.CheckAll(200, 120, random =>
    {
        var rig = new EngineRig(poolBlocks: 32 + random.Next(64));
        var check = new RunLengthCheck(rig.Engine.State);
        var model = rig.Register(rig.Client, EngineRig.Layout(blockBytes: 256, tokensPerBlock: 1));
        var lane = rig.OpenLane(depth: 8);
        var sequences = Enumerable.Range(0, 4).Select(_ => rig.Create(model: model)).ToArray();
        while (!random.IsDone)
        {
            var sequence = sequences[random.Next(sequences.Length)];
            if (random.Next(4) == 0)
            {
                rig.Engine.Sequences.Truncate(rig.Client, sequence, random.Next(rig.StateOf(sequence).Tokens + 1));
            }
            else
            {
                rig.Begin(lane, (sequence, random.Next(6)));
            }

            rig.ObserveAll();
        }

        foreach (var sequence in sequences)
        {
            var passes = 0;
            int moved;
            do
            {
                check.Before(sequence);
                moved = rig.Engine.Transfers.RestoreOrder(lane, sequence);
                check.After(sequence);
                rig.ObserveAll();
            }
            while (moved > 0 && ++passes < 20);
            Assert.Equal(0, rig.Engine.Transfers.RestoreOrder(lane, sequence));
            Assert.InRange(passes, 0, 6);
        }
    });

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
