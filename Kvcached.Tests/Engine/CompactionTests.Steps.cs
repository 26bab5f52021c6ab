using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Sequences;
using Xunit;

namespace Kvcached.Tests.Engine;

// Segments that a step waits for, and what goes before a pass.
public partial class CompactionTests
{
    [Fact]
    public void A_layout_gets_what_another_wastes_before_anything_is_evicted()
    {
        var rig = new EngineRig(poolBlocks: 8, compaction: Plenty);
        var (lane, kept) = Scatter(rig);
        var large = rig.Register(rig.Client, EngineRig.Layout(blockBytes: EngineRig.UnitBytes));
        var wide = rig.Create(model: large);

        var submissions = rig.Accept(lane, (wide, 4));

        Assert.Equal(0, rig.Counters.EvictedBlocks);
        Assert.Equal(2, rig.Counters.CompactedBlocks);
        Assert.Equal(Background, submissions[0].Queue);

        // The new block lies where the moved ones lay: its step waits for the background queue, which waits for nobody.
        Assert.Equal(submissions[0].Signal, submissions[^1].WaitFor(WaitReason.NewBlockAfterTransfer));
        Assert.Single(SegmentsOf(rig, kept));
    }

    [Theory]
    [InlineData(false, false, false)]
    [InlineData(false, true, false)]
    [InlineData(false, true, true)]
    [InlineData(true, false, false)]
    [InlineData(true, true, false)]
    [InlineData(true, true, true)]
    public void A_block_that_is_on_its_way_to_a_segment_leaves_it_again_under_a_step_too(bool isLive, bool isCleaning, bool isClean)
    {
        var rig = new EngineRig(poolBlocks: 8, compaction: Plenty);
        var lane = rig.OpenLane(depth: 8);
        var all = Enumerable.Range(0, 8).Select(_ => rig.Create()).ToArray();
        rig.Accept(lane, [.. all.Select(sequence => (sequence, EngineRig.TokensPerBlock))]);
        rig.ObserveAll();
        var moving = all.First(sequence => rig.OffsetOf(sequence, 0) == 0);
        // Of the sequence used last: moved, not dropped.
        rig.Accept(lane, (moving, 0));
        rig.ObserveAll();
        var (beside, behind) = (all.Where(sequence => sequence != moving && rig.OffsetOf(sequence, 0) < EngineRig.UnitBytes).ToArray(), all.Where(sequence => rig.OffsetOf(sequence, 0) >= EngineRig.UnitBytes).ToArray());
        _ = isCleaning ? rig.Engine.Transfers.Clean(lane, moving) : 0;
        if (isClean)
        {
            rig.ObserveTransfers();
        }

        if (isLive)
        {
            rig.Accept(lane, (moving, 0));
        }

        // It moves to the one place that there is behind; then there is one beside where it was, and little but itself behind.
        rig.Engine.Sequences.Free(rig.Client, behind[0]);
        Assert.Equal(1, rig.Engine.Transfers.Move(lane, moving, 0, 1, background: true));
        Assert.True(rig.OffsetOf(moving, 0) >= EngineRig.UnitBytes);
        foreach (var sequence in behind[1..].Append(beside[0]))
        {
            rig.Engine.Sequences.Free(rig.Client, sequence);
        }

        rig.Take();
        var large = rig.Register(rig.Client, EngineRig.Layout(blockBytes: EngineRig.UnitBytes));
        var submissions = rig.Accept(lane, (rig.Create(model: large), EngineRig.TokensPerBlock));

        Assert.Equal((1, 0), (rig.Counters.CompactedBlocks, rig.Counters.EvictedBlocks));
        Assert.True(rig.OffsetOf(moving, 0) < EngineRig.UnitBytes);
        Assert.Equal((isLive, isCleaning), (rig.StateOf(moving).IsLive, rig.BlockOf(moving, 0).IsClean));
        Assert.Empty(submissions[0].Waits);
        Assert.Equal(submissions[0].Signal, submissions[^1].WaitFor(WaitReason.NewBlockAfterTransfer));
    }

    [Fact]
    public void What_is_clean_and_was_used_long_ago_is_dropped_for_a_step_that_waits_and_the_rest_moves()
    {
        var rig = new EngineRig(poolBlocks: 16, compaction: Plenty);
        var (lane, kept) = Scatter(rig, segments: 4);
        Clean(rig, lane, kept[2], kept[6]);

        AskForSegment(rig, lane);

        Assert.Equal((1, 1), (rig.Counters.EvictedBlocks, rig.Counters.CompactedBlocks));
        Assert.False(rig.IsResident(kept[2], 0));
        Assert.Equal(3, SegmentsOf(rig, kept).Count());
    }

    [Fact]
    public void What_is_clean_and_was_used_of_late_moves()
    {
        var rig = new EngineRig(poolBlocks: 16, compaction: Plenty);
        var (lane, kept) = Scatter(rig, segments: 4);
        Clean(rig, lane, kept[6..]);

        AskForSegment(rig, lane);

        Assert.Equal((0, 2), (rig.Counters.EvictedBlocks, rig.Counters.CompactedBlocks));
    }

    [Fact]
    public void Blocks_move_to_where_the_step_does_not_look_next()
    {
        var rig = new EngineRig(poolBlocks: 24, compaction: Plenty);
        var (lane, kept) = Scatter(rig, segments: 6);
        rig.Accept(lane, [.. kept[..6].Select(sequence => (sequence, 0))]);
        Clean(rig, lane, kept[6], kept[8], kept[10]);

        AskForSegment(rig, lane, segments: 3);

        Assert.Equal((3, 3), (rig.Counters.EvictedBlocks, rig.Counters.CompactedBlocks));
    }

    [Fact]
    public void A_pass_lets_reloads_go_first_but_not_for_ever()
    {
        var rig = new EngineRig(poolBlocks: 8, compaction: Plenty);
        var (lane, kept) = Scatter(rig);
        rig.Engine.Transfers.Evict(lane, kept[3]);
        rig.ObserveAll();
        var other = rig.Create();
        rig.Accept(lane, (other, EngineRig.TokensPerBlock));
        rig.ObserveAll();
        rig.Engine.Transfers.Prefetch(lane, kept[3]);
        rig.Engine.Sequences.Free(rig.Client, other);
        rig.Engine.Compact();
        for (var turn = 0; turn < 8; turn++)
        {
            rig.Engine.Turn();
            Assert.Equal(0, rig.Counters.CompactedBlocks);
        }

        rig.Engine.Turn();

        Assert.True(rig.Counters.CompactedBlocks > 0);
    }

    [Fact]
    public void Blocks_that_a_plan_counts_on_stay_where_they_are_however_cheap_to_move()
    {
        var rig = new EngineRig(poolBlocks: 12, compaction: Plenty);
        var lane = rig.OpenLane();
        var both = rig.Register(rig.Client, EngineRig.Layout(blockBytes: EngineRig.UnitBytes), EngineRig.Layout());
        var own = rig.Create(model: both);
        rig.Accept(lane, (own, EngineRig.TokensPerBlock));
        var others = Enumerable.Range(0, 7).Select(_ => rig.Create()).ToArray();
        rig.Accept(lane, [.. others.Select(sequence => (sequence, EngineRig.TokensPerBlock))]);
        rig.ObserveAll();
        var segment = rig.OffsetOf(own, 0, row: 1) / EngineRig.UnitBytes;
        var beside = others.Where(sequence => rig.OffsetOf(sequence, 0) / EngineRig.UnitBytes == segment).ToArray();
        foreach (var sequence in beside.Concat(others.Except(beside).Take(2)))
        {
            rig.Engine.Sequences.Free(rig.Client, sequence);
        }

        var old = rig.OffsetOf(own, 0, row: 1);
        rig.Accept(lane, (own, EngineRig.TokensPerBlock));

        Assert.Equal((2, 0), (rig.Counters.CompactedBlocks, rig.Counters.EvictedBlocks));
        Assert.Equal(old, rig.OffsetOf(own, 0, row: 1));
    }

    [Fact]
    public void A_plan_sees_every_window_once_though_it_asks_for_two_layouts_by_turns()
    {
        var rig = new EngineRig(poolBlocks: 16, compaction: Plenty);
        Scatter(rig, segments: 4);
        rig.Register(rig.Client, EngineRig.Layout(blockBytes: EngineRig.UnitBytes), EngineRig.Layout(blockBytes: EngineRig.UnitBytes * 2));
        var state = rig.Engine.State;
        var emptier = new SegmentEmptier(state, new TransferLoop(state, new ColdSlots(state)));
        CheapestWindows[] both = [new(state, emptier, layout: 1), new(state, emptier, layout: 2)];
        for (var plan = 0; plan < 2; plan++)
        {
            state.Plan++;
            List<int>[] seen = [[], []];
            for (var i = 0; i < 12; i++)
            {
                both[i % 2].BeginPlan();
                if (both[i % 2].TryNext(out var start))
                {
                    seen[i % 2].Add(start);
                }
            }

            Assert.Equal([0, 1, 2, 3], seen[0]);
            Assert.Equal([0, 2], seen[1]);
        }
    }

    [Theory]
    [InlineData(0, KvStepStatus.Busy)]
    [InlineData(10, KvStepStatus.Accepted)]
    public void A_window_of_several_segments_is_emptied_only_where_a_client_may_keep_what_all_their_blocks_leave(int more, KvStepStatus expected)
    {
        // Blocks of one unit and a half come in segments of eight units.
        const int WideBytes = EngineRig.UnitBytes * 3 / 2;
        var rig = new EngineRig(poolBlocks: 64, rows: 128, maxSequences: 128, compaction: Plenty);
        var client = rig.Engine.OpenClient(maxPinnedBytes: (32 * EngineRig.BlockBytes) + WideBytes + (more * EngineRig.BlockBytes));
        var model = rig.Register(client, EngineRig.Layout());
        var lane = rig.OpenLane(client, depth: 8, maxBatch: 32);
        var all = Enumerable.Range(0, 64).Select(_ => rig.Create(client, model)).ToArray();
        foreach (var half in all.Chunk(32))
        {
            rig.Accept(lane, [.. half.Select(sequence => (sequence, EngineRig.TokensPerBlock))]);
            rig.ObserveAll();
        }

        var kept = all.Where(sequence => rig.OffsetOf(sequence, 0) / EngineRig.BlockBytes % 2 == 0).ToArray();
        foreach (var sequence in all.Except(kept))
        {
            rig.Engine.Sequences.Free(client, sequence);
        }

        rig.ObserveAll();
        rig.Accept(lane, [.. kept.Select(sequence => (sequence, 0))]);

        // Sixteen blocks lie in any eight units; the step that reads them is live. No turn, which would compact for the waste.
        var wide = rig.Create(client, rig.Register(client, EngineRig.Layout(blockBytes: WideBytes)));

        Assert.Equal(expected, rig.Engine.Begin(lane, [new StepRequest(wide, EngineRig.TokensPerBlock)]));
        Assert.Equal(expected == KvStepStatus.Accepted ? 16 : 0, rig.Counters.CompactedBlocks);
    }
}
