using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Memory;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>The loop at the heart of the project, as submissions: copy out, copy in, publish, begin; and what each waits for.</summary>
public class LoopTests
{
    /// <summary>Queue numbers are lane × 2, plus 1 for <c>out</c>.</summary>
    private const int In = 2;
    private const int Out = 3;

    [Fact]
    public void A_block_passes_from_one_sequence_to_another_in_three_submissions_and_no_host_wait()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var lane = rig.OpenLane(depth: 8);
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(lane, (a, 16));
        var bytesOfA = Enumerable.Range(0, 4).Select(i => rig.OffsetOf(a, i)).ToArray();

        // Step 2 takes one of a's blocks, although a's step has not been observed: all is the lane's own.
        var submissions = rig.Accept(lane, (b, 4));

        Assert.Equal([Out, In], submissions.Select(submission => submission.Queue));
        var (copyOut, publish) = (submissions[0], submissions[1]);
        Assert.Equal([new EngineWait(lane.EndOf(1), WaitReason.CopyOutAfterWriter)], copyOut.Waits);
        var copy = Assert.Single(copyOut.Commands);
        Assert.True(copy.IsCopy(rig.Cold!, rig.Pool));
        var evicted = Enumerable.Range(0, 4).Single(i => !rig.IsResident(a, i));
        Assert.Equal((bytesOfA[evicted], rig.ColdOffsetOf(a, evicted), 1024L), (copy.Command.SourceOffset, copy.Command.TargetOffset, copy.Command.Bytes));
        Assert.Equal(bytesOfA[evicted], rig.OffsetOf(b, 0));

        // The new block's kernels write over what the copy-out reads, and over what step 1 reads, which runs before them on the lane's queue.
        Assert.Equal([new EngineWait(copyOut.Signal, WaitReason.NewBlockAfterCopyOut)], publish.Waits);
        Assert.Equal(lane.BeginOf(2), publish.Signal);
    }

    [Fact]
    public void A_block_whose_copy_was_observed_before_the_end_of_its_step_is_dropped_as_it_is()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var lane = rig.OpenLane(depth: 8);
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(lane, (a, 16));
        Assert.Equal(4, rig.Engine.Transfers.Clean(lane, a));
        rig.ObserveTransfers();
        Assert.True(rig.StateOf(a).IsLive);

        var publish = Assert.Single(rig.Accept(lane, (b, 4)));

        // Its kernels come after those of step 1 on the lane's queue, and the copies out are over.
        Assert.Empty(publish.Waits);
        Assert.Equal((4, 1), (rig.Counters.CleanedBlocks, rig.Counters.EvictedBlocks));
    }

    [Fact]
    public void A_reload_copies_in_after_the_copy_out_and_the_readers_and_publishes_after_it()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var lane = rig.OpenLane(depth: 8);
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(lane, (a, 8));
        rig.Accept(lane, (b, 8));
        var evicted = rig.Engine.Transfers.Evict(lane, a);
        Assert.Equal(2, evicted);
        var evictOut = Assert.Single(rig.Take());
        rig.Accept(lane, (b, 8));

        var submissions = rig.Accept(lane, (a, 0));

        Assert.Equal([Out, In, In], submissions.Select(submission => submission.Queue));
        var (copyOut, copyIn, publish) = (submissions[0], submissions[1], submissions[2]);
        Assert.Equal(2, copyOut.CopiedBlocks);
        Assert.All(copyOut.Commands, command => Assert.True(command.IsCopy(rig.Cold!, rig.Pool)));
        // Step 3 reads the blocks that go out, and step 2 wrote them: reading them once more needs the writer alone.
        Assert.Equal([new EngineWait(lane.EndOf(2), WaitReason.CopyOutAfterWriter)], copyOut.Waits);

        Assert.Equal(2, copyIn.CopiedBlocks);
        Assert.All(copyIn.Commands, command => Assert.True(command.IsCopy(rig.Pool, rig.Cold!)));
        Assert.Equal(evictOut.Signal, copyIn.WaitFor(WaitReason.ReloadAfterCopyOut));
        Assert.Equal(copyOut.Signal, copyIn.WaitFor(WaitReason.CopyInAfterCopyOut));
        Assert.Equal(lane.EndOf(3), copyIn.WaitFor(WaitReason.CopyInAfterReaders));

        // The publish stands behind the copy-in on the same queue, and so needs no wait for it.
        Assert.Equal(lane.BeginOf(4), publish.Signal);
        Assert.Empty(publish.Waits);
        var start = EngineRig.Views(lane, 4)[0].RowStart;
        Assert.Equal(
            [new TableEntry(start, (uint)(rig.OffsetOf(a, 0) / KvShape.GranuleBytes)), new TableEntry(start + 1, (uint)(rig.OffsetOf(a, 1) / KvShape.GranuleBytes))],
            publish.Entries);
        Assert.Equal([CommandKind.UpdateTable, CommandKind.Copy], publish.Commands.Select(command => command.Kind));
        Assert.True(publish.Commands[1].IsCopy(lane.ViewRing, lane.Staging));
    }

    [Fact]
    public void A_block_that_is_clean_is_dropped_without_a_copy()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var lane = rig.OpenLane(depth: 8);
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(lane, (a, 16));
        Assert.Equal(4, rig.Engine.Transfers.Clean(lane, a));
        var clean = Assert.Single(rig.Take());
        Assert.Equal((Out, 4), (clean.Queue, clean.CopiedBlocks));
        Assert.Equal(0, rig.Engine.Transfers.Clean(lane, a));

        var publish = Assert.Single(rig.Accept(lane, (b, 4)));

        Assert.Equal((In, clean.Signal), (publish.Queue, publish.WaitFor(WaitReason.NewBlockAfterCopyOut)));
        Assert.Equal((4L, 1L), (rig.Counters.CleanedBlocks, rig.Counters.EvictedBlocks));
    }

    [Fact]
    public void A_resident_decode_step_is_one_submission_without_waits_that_copies_views_and_nothing_else()
    {
        var rig = new EngineRig();
        var lane = rig.OpenLane(depth: 8);
        var a = rig.Create();
        rig.Accept(lane, (a, 5));

        var submission = Assert.Single(rig.Accept(lane, (a, 1)));

        Assert.Equal((In, lane.BeginOf(2)), (submission.Queue, submission.Signal));
        Assert.Empty(submission.Waits);
        Assert.True(Assert.Single(submission.Commands).IsCopy(lane.ViewRing, lane.Staging));
        Assert.Equal(new SequenceView { BlockCount = 2, TokenCount = 6, NewTokens = 1, SequenceId = rig.StateOf(a).Id }, EngineRig.Views(lane, 2)[0] with { RowStart = 0 });
    }

    [Fact]
    public void A_decode_step_that_starts_a_block_writes_that_blocks_entry_alone()
    {
        var rig = new EngineRig();
        var lane = rig.OpenLane(depth: 8);
        var a = rig.Create();
        rig.Accept(lane, (a, 8));
        var row = EngineRig.Views(lane, 1)[0].RowStart;

        var submission = Assert.Single(rig.Accept(lane, (a, 1)));

        // The row grows in place, past what the view of step 1 covers.
        Assert.Equal([new TableEntry(row + 2, (uint)(rig.OffsetOf(a, 2) / KvShape.GranuleBytes))], submission.Entries);
        Assert.Equal(row, EngineRig.Views(lane, 2)[0].RowStart);
        Assert.Empty(submission.Waits);
    }

    [Fact]
    public void A_step_that_appends_to_a_block_waits_for_the_copy_out_that_reads_it()
    {
        var rig = new EngineRig();
        var lane = rig.OpenLane(depth: 8);
        var a = rig.Create();
        rig.Accept(lane, (a, 6));
        Assert.Equal(2, rig.Engine.Transfers.Clean(lane, a));
        var clean = Assert.Single(rig.Take());

        var publish = Assert.Single(rig.Accept(lane, (a, 1)));

        Assert.Equal([new EngineWait(clean.Signal, WaitReason.AppendAfterCopyOut)], publish.Waits);
    }

    [Fact]
    public void A_move_reads_after_the_writer_and_its_entry_goes_into_a_fresh_row_of_the_next_step()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var lane = rig.OpenLane(depth: 8);
        var a = rig.Create();
        rig.Accept(lane, (a, 8));
        var (row, old) = (EngineRig.Views(lane, 1)[0].RowStart, rig.OffsetOf(a, 0));

        Assert.Equal(1, rig.Engine.Transfers.Move(lane, a, 0, 1, background: false));

        var move = Assert.Single(rig.Take());
        Assert.Equal([new EngineWait(lane.EndOf(1), WaitReason.MoveAfterWriter)], move.Waits);
        Assert.Equal((old, rig.OffsetOf(a, 0)), (move.Commands[0].Command.SourceOffset, move.Commands[0].Command.TargetOffset));
        Assert.NotEqual(old, rig.OffsetOf(a, 0));
        var publish = Assert.Single(rig.Accept(lane, (a, 0)));
        var fresh = EngineRig.Views(lane, 2)[0].RowStart;
        Assert.NotEqual(row, fresh);
        Assert.Equal([fresh, fresh + 1], publish.Entries.Select(entry => entry.Index));
    }

    [Fact]
    public void A_move_into_bytes_that_another_move_left_waits_for_the_steps_that_read_them()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var lane = rig.OpenLane(depth: 8);
        var a = rig.Create();
        rig.Accept(lane, (a, 12));
        var left = rig.OffsetOf(a, 0);
        rig.Engine.Transfers.Move(lane, a, 0, 1, background: false);
        rig.Take();

        rig.Engine.Transfers.Move(lane, a, 1, 1, background: false);

        // The first move is on the same queue, and needs no wait.
        Assert.Equal(left, rig.OffsetOf(a, 1));
        Assert.Equal(
            [new EngineWait(lane.EndOf(1), WaitReason.MoveAfterWriter), new EngineWait(lane.EndOf(1), WaitReason.MoveIntoAfterReaders)],
            Assert.Single(rig.Take()).Waits);
    }

    [Fact]
    public void A_background_move_takes_only_blocks_whose_writers_are_observed_and_the_next_step_waits_for_it()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var lane = rig.OpenLane(depth: 8);
        var a = rig.Create();
        rig.Accept(lane, (a, 8));
        Assert.Equal(0, rig.Engine.Transfers.Move(lane, a, 0, 8, background: true));
        rig.ObserveEnd(lane, 1);
        Assert.Equal(2, rig.Engine.Transfers.Move(lane, a, 0, 8, background: true));
        var move = Assert.Single(rig.Take());
        Assert.Equal((0, Point.BackgroundLane), (move.Queue, move.Signal.Lane));
        Assert.Empty(move.Waits);

        var publish = rig.Accept(lane, (a, 1))[^1];

        Assert.Equal([new EngineWait(move.Signal, WaitReason.StepAfterBackground)], publish.Waits);
    }

    [Fact]
    public void A_step_on_another_lane_waits_for_the_sequences_last_step_and_its_transfers()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var (first, second) = (rig.OpenLane(), rig.OpenLane());
        var a = rig.Create();
        rig.Accept(first, (a, 5));
        rig.Engine.Transfers.Move(first, a, 0, 1, background: false);
        var move = Assert.Single(rig.Take());

        var publish = Assert.Single(rig.Accept(second, (a, 1)));

        Assert.Equal(move.Signal, publish.WaitFor(WaitReason.StepAfterTransfer));
        Assert.Equal(first.EndOf(1), publish.WaitFor(WaitReason.StepAfterOtherLane));
    }

    [Fact]
    public void Transfers_of_a_sequence_whose_step_is_another_lanes_are_not_enqueued_until_that_is_observed()
    {
        var rig = new EngineRig();
        var (first, second) = (rig.OpenLane(), rig.OpenLane());
        var a = rig.Create();
        rig.Accept(first, (a, 8));
        Assert.Equal(0, rig.Engine.Transfers.Evict(second, a));
        Assert.Equal(0, rig.Engine.Transfers.Clean(second, a));
        Assert.Equal(0, rig.Engine.Transfers.Move(second, a, 0, 8, background: false));
        Assert.Empty(rig.Take());
        rig.ObserveEnd(first, 1);
        Assert.Equal(2, rig.Engine.Transfers.Evict(second, a));
    }

    [Fact]
    public void Prefetch_copies_in_ahead_and_the_step_after_it_only_publishes()
    {
        var rig = new EngineRig();
        var lane = rig.OpenLane(depth: 8);
        var a = rig.Create();
        rig.Accept(lane, (a, 8));
        rig.Engine.Transfers.Evict(lane, a);
        rig.Take();

        Assert.Equal(2, rig.Engine.Transfers.Prefetch(lane, a));

        var copyIn = Assert.Single(rig.Take());
        Assert.Equal((In, 2, TimelineKind.In), (copyIn.Queue, copyIn.CopiedBlocks, copyIn.Signal.Kind));
        Assert.Equal(0, rig.Engine.Transfers.Prefetch(lane, a));
        var publish = Assert.Single(rig.Accept(lane, (a, 0)));
        Assert.Empty(publish.Waits);
        Assert.Equal(2, publish.Entries.Length);
    }

    [Fact]
    public void Blocks_are_cleaned_ahead_of_need_on_the_background_queue_once_their_writers_are_observed()
    {
        var rig = new EngineRig(poolBlocks: 4, cleanAhead: 8);
        var lane = rig.OpenLane(depth: 8);
        var a = rig.Create();
        rig.Accept(lane, (a, 15));
        rig.Engine.Turn();
        Assert.Empty(rig.Take());

        rig.ObserveEnd(lane, 1);

        var clean = Assert.Single(rig.Take());
        Assert.Equal((0, 3), (clean.Queue, clean.CopiedBlocks));
        Assert.Empty(clean.Waits);
        rig.Engine.Turn();
        Assert.Empty(rig.Take());
    }
}
