using Kvcached.Devices;
using Kvcached.Kernels;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>Invariant I4: an entry that a live step's view covers is not written.</summary>
public class RowTests
{
    [Fact]
    public void A_tail_that_changed_after_a_truncate_goes_into_a_fresh_row_while_a_view_covers_the_old_one()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var lane = rig.OpenLane();
        var a = rig.Create();
        rig.Accept(lane, (a, 12));
        rig.Engine.Sequences.Truncate(rig.Client, a, 8);

        var entries = rig.Accept(lane, (a, 4))[^1].Entries;

        var (old, fresh) = (EngineRig.Views(lane, 1)[0].RowStart, EngineRig.Views(lane, 2)[0].RowStart);
        Assert.NotEqual(old, fresh);
        Assert.Equal([fresh, fresh + 1, fresh + 2], entries.Select(entry => entry.Index));
        Assert.Equal(Enumerable.Range(0, 3).Select(i => (uint)(rig.OffsetOf(a, i) / KvShape.GranuleBytes)), entries.Select(entry => entry.Value));
    }

    [Fact]
    public void Covered_entries_may_be_written_once_the_steps_that_cover_them_are_observed_as_ended()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var lane = rig.OpenLane();
        var a = rig.Create();
        rig.Accept(lane, (a, 12));
        rig.Engine.Sequences.Truncate(rig.Client, a, 8);
        rig.ObserveEnd(lane, 1);

        var entries = rig.Accept(lane, (a, 4))[^1].Entries;

        Assert.Equal(EngineRig.Views(lane, 1)[0].RowStart, EngineRig.Views(lane, 2)[0].RowStart);
        Assert.Equal([EngineRig.Views(lane, 2)[0].RowStart + 2], entries.Select(entry => entry.Index));
    }

    [Fact]
    public void A_block_that_comes_back_gets_its_entry_in_a_fresh_row_while_the_old_one_is_covered()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var lane = rig.OpenLane();
        var a = rig.Create();
        rig.Accept(lane, (a, 12));
        rig.Engine.Transfers.Evict(lane, a);
        var entries = rig.Accept(lane, (a, 0))[^1].Entries;
        Assert.NotEqual(EngineRig.Views(lane, 1)[0].RowStart, EngineRig.Views(lane, 2)[0].RowStart);
        Assert.Equal(3, entries.Length);
    }

    [Fact]
    public void No_entry_that_a_live_step_covers_is_ever_written_by_a_later_publish()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var lane = rig.OpenLane(depth: 16);
        var a = rig.Create();
        var covered = new HashSet<uint>();
        (int Keep, int Append, bool Move)[] program = [(0, 5, false), (5, 4, true), (7, 1, false), (8, 1, false), (4, 9, true), (13, 0, false), (2, 3, true), (5, 4, false)];
        foreach (var (keep, append, move) in program)
        {
            rig.Engine.Sequences.Truncate(rig.Client, a, keep);
            if (move)
            {
                rig.Engine.Transfers.Move(lane, a, 0, 1, background: false);
            }

            var entries = rig.Accept(lane, (a, append))[^1].Entries;
            Assert.DoesNotContain(entries, entry => covered.Contains(entry.Index));
            var view = EngineRig.Views(lane, lane.Begun)[0];
            for (var i = 0u; i < view.BlockCount; i++)
            {
                covered.Add(view.RowStart + i);
            }
        }
    }

    [Fact]
    public void A_row_that_is_too_short_is_replaced_by_one_that_is_twice_as_long()
    {
        var rig = new EngineRig(poolBlocks: 64);
        var lane = rig.OpenLane();
        var a = rig.Create();
        rig.Accept(lane, (a, 32 * 4));
        Assert.Equal(32, rig.StateOf(a).Rows[0].Capacity);
        var publish = rig.Accept(lane, (a, 1))[^1];
        Assert.Equal(64, rig.StateOf(a).Rows[0].Capacity);
        Assert.Equal(33, publish.Entries.Length);
    }

    [Fact]
    public void A_row_that_is_used_again_waits_for_the_steps_that_read_it()
    {
        var rig = new EngineRig(poolBlocks: 8, rows: 1);
        var first = rig.OpenLane();
        var (a, c) = (rig.Create(), rig.Create());
        rig.Accept(first, (a, 4));
        rig.Engine.Sequences.Free(rig.Client, a);

        // The only row waits for a step of the lane, which may have it enqueue-ahead.
        var publish = Assert.Single(rig.Accept(first, (c, 4)));

        Assert.Contains(new Kvcached.Engine.EngineWait(first.EndOf(1), Kvcached.Engine.WaitReason.RowReuseAfterSteps), publish.Waits);
    }

    [Fact]
    public void A_row_that_waits_for_one_lanes_step_is_not_given_to_another_lane_ahead()
    {
        var rig = new EngineRig(poolBlocks: 8, rows: 1);
        var (first, second) = (rig.OpenLane(), rig.OpenLane());
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(first, (a, 4));
        rig.Engine.Sequences.Free(rig.Client, a);

        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 4)));
    }

    [Fact]
    public void A_heap_that_runs_short_takes_the_row_of_a_sequence_that_no_live_step_uses()
    {
        var rig = new EngineRig(poolBlocks: 8, rows: 1);
        var lane = rig.OpenLane();
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(lane, (a, 8));
        rig.ObserveAll();
        rig.Accept(lane, (b, 4));
        Assert.True(rig.StateOf(a).Rows[0].Heap.IsNone);
        rig.ObserveAll();

        // Its next step writes the row anew: the blocks have stayed where they were.
        Assert.Equal(2, rig.Accept(lane, (a, 0))[^1].Entries.Length);
        Assert.Equal(0, rig.Counters.ReloadedBlocks);
    }

    [Fact]
    public void A_window_layout_needs_only_what_the_queries_of_the_step_can_see()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var model = rig.Register(rig.Client, EngineRig.Layout(window: 6));
        var lane = rig.OpenLane(depth: 8);
        var a = rig.Create(model: model);
        rig.Accept(lane, (a, 16));
        Assert.Equal(4, rig.Engine.Transfers.Evict(lane, a));
        rig.Take();

        // Query 16 sees tokens 11 to 16: blocks 2 and 3, and the new one.
        var submissions = rig.Accept(lane, (a, 1));

        Assert.Equal(2 * EngineRig.BlockBytes, submissions.SelectMany(submission => submission.Commands).Where(command => command.IsCopy(rig.Pool, rig.Cold!)).Sum(command => command.Command.Bytes));
        Assert.Equal([false, false, true, true, true], Enumerable.Range(0, 5).Select(i => rig.IsResident(a, i)));
        var view = EngineRig.Views(lane, 2)[0];
        Assert.Equal((2u, 5u, 17u), (view.FirstVisibleBlock, view.BlockCount, view.TokenCount));
        Assert.Equal([view.RowStart + 2, view.RowStart + 3, view.RowStart + 4], submissions[^1].Entries.Select(entry => entry.Index));
    }

    [Fact]
    public void What_was_out_of_sight_is_reloaded_and_published_when_a_truncate_moves_the_window_back()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var model = rig.Register(rig.Client, EngineRig.Layout(window: 4));
        var lane = rig.OpenLane(depth: 8);
        var a = rig.Create(model: model);
        rig.Accept(lane, (a, 16));
        rig.Engine.Transfers.Evict(lane, a);
        rig.Accept(lane, (a, 1));
        rig.Engine.Sequences.Truncate(rig.Client, a, 7);
        rig.ObserveAll();

        var publish = rig.Accept(lane, (a, 1))[^1];

        var view = EngineRig.Views(lane, 3)[0];
        Assert.Equal((1u, 2u), (view.FirstVisibleBlock, view.BlockCount));
        Assert.Contains(publish.Entries, entry => entry == new TableEntry(view.RowStart + 1, (uint)(rig.OffsetOf(a, 1) / KvShape.GranuleBytes)));
    }
}
