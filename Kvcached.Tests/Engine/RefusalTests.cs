using Kvcached.Kernels;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>Invariant I10: what does not fit is told apart from what will fit later, and nothing is half done.</summary>
public class RefusalTests
{
    [Fact]
    public void As_many_steps_as_a_lane_is_deep_may_be_begun_and_no_more()
    {
        var rig = new EngineRig();
        var lane = rig.OpenLane(depth: 3);
        var a = rig.Create();
        for (var step = 0; step < 3; step++)
        {
            rig.Accept(lane, (a, 1));
        }

        var before = rig.Snapshot();
        Assert.Equal(KvStepStatus.TooManySteps, rig.Begin(lane, (a, 1)));
        Assert.Equal(before, rig.Snapshot());
        Assert.Empty(rig.Take());
        Assert.Equal(3, rig.StateOf(a).BegunTokens);
        rig.ObserveEnd(lane, 1);
        rig.Accept(lane, (a, 1));
        Assert.Equal(4ul, lane.Begun);
    }

    [Fact]
    public void A_step_that_waits_for_another_lane_is_busy_and_served_once_that_is_observed()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var (first, second) = (rig.OpenLane(), rig.OpenLane());
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(first, (a, 16));
        rig.Engine.Sequences.Free(rig.Client, a);
        rig.Take();

        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 4)));

        Assert.Empty(rig.Take());
        rig.Engine.Turn();
        Assert.Empty(rig.Take());
        Assert.Equal((KvStepStatus.Busy, 4), (Kvcached.Engine.CacheEngine.StatusOf(second, 1), rig.StateOf(b).BegunTokens));
        rig.ObserveEnd(first, 1);
        var publish = Assert.Single(rig.Take());
        Assert.Equal(second.BeginOf(1), publish.Signal);
        Assert.Empty(publish.Waits);
        Assert.Equal((KvStepStatus.Accepted, 1L), (Kvcached.Engine.CacheEngine.StatusOf(second, 1), rig.Counters.BusySteps));
    }

    [Fact]
    public void Steps_behind_a_busy_one_wait_in_their_lane_and_are_served_in_order()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var (first, second) = (rig.OpenLane(), rig.OpenLane());
        var (a, b, c) = (rig.Create(), rig.Create(), rig.Create());
        rig.Accept(first, (a, 16));
        rig.Engine.Sequences.Free(rig.Client, a);
        rig.Take();
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 4)));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (c, 0)));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 1)));

        rig.ObserveEnd(first, 1);

        Assert.Equal([second.BeginOf(1), second.BeginOf(2), second.BeginOf(3)], rig.Take().Select(submission => submission.Signal));
        Assert.Equal(5, rig.StateOf(b).Tokens);
    }

    [Fact]
    public void What_does_not_fit_while_nothing_is_under_way_has_no_room()
    {
        var rig = new EngineRig(poolBlocks: 4, coldBlocks: 0);
        var lane = rig.OpenLane();
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(lane, (a, 16));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (b, 4)));
        rig.Take();

        rig.ObserveAll();

        Assert.Equal(KvStepStatus.NoRoom, Kvcached.Engine.CacheEngine.StatusOf(lane, 2));
        Assert.Equal(1L, rig.Counters.RefusedSteps);
        ExpectRefusedView(rig, lane, 2);
        rig.ObserveAll();
        Assert.Equal(KvStepStatus.NoRoom, rig.Begin(lane, (rig.Create(), 4)));
        // Room is made: the refused sequence goes on after a truncate.
        rig.Engine.Sequences.Free(rig.Client, a);
        rig.Engine.Sequences.Truncate(rig.Client, b, 0);
        rig.ObserveAll();
        rig.Accept(lane, (b, 4));
    }

    [Theory]
    [InlineData(17)]
    [InlineData(1 << 29)]
    public void More_than_the_pool_can_hold_never_fits(int tokens)
    {
        var rig = new EngineRig(poolBlocks: 4);
        var lane = rig.OpenLane();
        var a = rig.Create();

        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(lane, (a, tokens)));

        ExpectRefusedView(rig, lane, 1);
        Assert.Equal((0L, 0, 0), (rig.Engine.State.Pool.UsedBytes, rig.StateOf(a).Tokens, rig.StateOf(a).BegunTokens));
    }

    [Fact]
    public void More_than_the_clients_share_never_fits_although_the_pool_could_hold_it()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var small = rig.Engine.OpenClient(2 * EngineRig.BlockBytes);
        var model = rig.Register(small, EngineRig.Layout());
        var lane = rig.OpenLane(small);
        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(lane, (rig.Create(small, model), 9)));
        rig.Accept(lane, (rig.Create(small, model), 8));
    }

    [Fact]
    public void A_row_longer_than_the_heap_can_hold_never_fits()
    {
        var rig = new EngineRig(poolBlocks: 64, rows: 1);
        var lane = rig.OpenLane();
        rig.Accept(lane, (rig.Create(), 32 * 4));
        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(lane, (rig.Create(), (32 * 4) + 1)));
    }

    [Fact]
    public void After_a_refusal_later_steps_of_the_sequence_are_refused_until_a_truncate_and_others_go_on()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var lane = rig.OpenLane(depth: 8);
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(lane, (a, 4));
        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(lane, (a, 100)));

        // Accepted, for the sake of b; a's view says refused, since its positions would be wrong.
        rig.Accept(lane, (a, 1), (b, 3));
        var views = EngineRig.Views(lane, 3);
        Assert.Equal((ViewFlags.Refused, 0u, 0u), (views[0].Flags, views[0].BlockCount, views[0].TokenCount));
        Assert.Equal((ViewFlags.None, 1u, 3u), (views[1].Flags, views[1].BlockCount, views[1].TokenCount));
        Assert.Equal(4, rig.StateOf(a).BegunTokens);

        rig.Engine.Sequences.Truncate(rig.Client, a, 4);
        rig.Accept(lane, (a, 1), (b, 1));
        Assert.Equal([5u, 4u], EngineRig.Views(lane, 4).Select(view => view.TokenCount));
        Assert.All(EngineRig.Views(lane, 4), view => Assert.Equal(ViewFlags.None, view.Flags));
    }

    [Fact]
    public void A_refused_step_refuses_all_sequences_of_its_batch()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var lane = rig.OpenLane();
        var (a, b) = (rig.Create(), rig.Create());
        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(lane, (a, 1), (b, 100)));
        Assert.All(EngineRig.Views(lane, 1), view => Assert.Equal(ViewFlags.Refused, view.Flags));
        Assert.True(rig.StateOf(a).Refused && rig.StateOf(b).Refused);
    }

    [Fact]
    public void Free_overtakes_a_busy_step_and_makes_its_room()
    {
        var rig = new EngineRig(poolBlocks: 4, coldBlocks: 0);
        var (first, second) = (rig.OpenLane(), rig.OpenLane());
        var (a, b, c) = (rig.Create(), rig.Create(), rig.Create());
        rig.Accept(first, (a, 12));
        rig.ObserveAll();
        // Something is under way, so the step waits: nothing can be evicted without a cold tier.
        rig.Accept(first, (c, 4));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 4)));
        rig.Take();

        rig.Engine.Sequences.Free(rig.Client, a);
        rig.Engine.Turn();

        Assert.Equal(second.BeginOf(1), Assert.Single(rig.Take()).Signal);
    }

    [Fact]
    public void Free_of_a_sequence_whose_step_waits_is_done_after_that_step()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var (first, second) = (rig.OpenLane(), rig.OpenLane());
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(first, (a, 16));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 4)));
        var id = rig.StateOf(b).Id;

        rig.Engine.Sequences.Free(rig.Client, b);

        Assert.Equal(KvError.StaleHandle, Assert.Throws<KvException>(() => rig.Engine.Sequences.Free(rig.Client, b)).Error);
        Assert.Equal(KvError.StaleHandle, Assert.Throws<KvException>(() => rig.Begin(second, (b, 1))).Error);
        rig.Engine.Sequences.Free(rig.Client, a);
        rig.ObserveEnd(first, 1);
        var view = EngineRig.Views(second, 1)[0];
        Assert.Equal((id, ViewFlags.None, 4u), (view.SequenceId, view.Flags, view.TokenCount));
        Assert.Null(rig.Engine.State.Sequences.Find(b));
        rig.ObserveAll();
        Assert.Equal(0, rig.Engine.State.Pool.UsedBytes);
    }

    [Fact]
    public void Truncate_while_a_step_waits_is_done_after_that_step_and_before_the_next()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var (first, second) = (rig.OpenLane(), rig.OpenLane());
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(first, (a, 16));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 8)));
        rig.Engine.Sequences.Truncate(rig.Client, b, 3);
        Assert.Equal(3, rig.StateOf(b).BegunTokens);
        Assert.Equal(KvError.InvalidArgument, Assert.Throws<KvException>(() => rig.Engine.Sequences.Truncate(rig.Client, b, 4)).Error);
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 2)));
        Assert.Equal(5, rig.StateOf(b).BegunTokens);

        rig.Engine.Sequences.Free(rig.Client, a);
        rig.ObserveEnd(first, 1);

        Assert.Equal((8u, 8u), (EngineRig.Views(second, 1)[0].TokenCount, EngineRig.Views(second, 1)[0].NewTokens));
        Assert.Equal((5u, 2u, 2u), (EngineRig.Views(second, 2)[0].TokenCount, EngineRig.Views(second, 2)[0].NewTokens, EngineRig.Views(second, 2)[0].BlockCount));
        Assert.Equal((5, 5), (rig.StateOf(b).Tokens, rig.StateOf(b).BegunTokens));
    }

    [Fact]
    public void A_refused_sequence_that_is_truncated_while_its_step_waits_counts_the_tokens_of_later_steps()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var (first, second) = (rig.OpenLane(), rig.OpenLane());
        var (a, b, c) = (rig.Create(), rig.Create(), rig.Create());
        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(second, (b, 100)));
        rig.Accept(first, (a, 16));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 1), (c, 1)));
        rig.Engine.Sequences.Truncate(rig.Client, b, 0);

        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 2)));

        Assert.Equal(2, rig.StateOf(b).BegunTokens);
        rig.Engine.Sequences.Free(rig.Client, a);
        rig.ObserveEnd(first, 1);
        Assert.Equal((2, 2), (rig.StateOf(b).Tokens, rig.StateOf(b).BegunTokens));
    }

    [Fact]
    public void A_refused_sequence_with_tokens_that_is_truncated_while_it_waits_counts_them_and_those_of_later_steps()
    {
        var rig = new EngineRig(poolBlocks: 16, coldBlocks: 0);
        var (first, second) = (rig.OpenLane(), rig.OpenLane(depth: 8));
        var (a, b, c) = (rig.Create(), rig.Create(), rig.Create());
        rig.Accept(second, (b, 2));
        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(second, (b, 400)));
        rig.ObserveAll();
        rig.Accept(first, (a, 12 * 4));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (c, 4 * 4)));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 5)));
        Assert.Equal(2, rig.StateOf(b).BegunTokens);
        rig.Engine.Sequences.Truncate(rig.Client, b, 2);

        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 1)));

        Assert.Equal(3, rig.StateOf(b).BegunTokens);
        rig.Engine.Sequences.Truncate(rig.Client, b, 3);
        rig.Engine.Sequences.Free(rig.Client, a);
        rig.ObserveEnd(first, 1);
        Assert.Equal((3, 3), (rig.StateOf(b).Tokens, rig.StateOf(b).BegunTokens));
    }

    [Fact]
    public void An_end_that_a_client_signals_before_its_step_is_planned_is_not_believed()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var (first, second) = (rig.OpenLane(), rig.OpenLane());
        var (a, b) = (rig.Create(), rig.Create());
        rig.Accept(first, (a, 16));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second, (b, 4)));
        rig.Observe(second.EndOf(1000));
        Assert.Equal(0ul, second.Ended);
        rig.ObserveEnd(first, 1);
        Assert.Equal((1ul, 0ul), (second.Planned, second.Ended));
        Assert.True(rig.StateOf(b).IsLive);
    }

    [Fact]
    public void An_end_that_a_client_signals_before_its_step_has_begun_gives_no_staging_back()
    {
        var rig = new EngineRig();
        var lane = rig.OpenLane(depth: 1);
        var sequence = rig.Create();
        rig.Accept(lane, (sequence, 1));

        rig.Observe(lane.EndOf(1));
        Assert.Equal(KvStepStatus.TooManySteps, rig.Begin(lane, (sequence, 1)));

        rig.Observe(lane.BeginOf(1));
        Assert.Equal(KvStepStatus.Accepted, rig.Begin(lane, (sequence, 1)));
    }

    private static void ExpectRefusedView(EngineRig rig, Kvcached.Engine.LaneState lane, ulong step)
    {
        var publish = rig.Take()[^1];
        Assert.Equal(lane.BeginOf(step), publish.Signal);
        Assert.Empty(publish.Entries);
        var view = Assert.Single(EngineRig.Views(lane, step));
        Assert.Equal((ViewFlags.Refused, 0u, 0u), (view.Flags, view.BlockCount, view.TokenCount));
    }
}
