using Kvcached.Engine;
using Kvcached.Kernels;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>One pool for several clients, models and layouts.</summary>
public class SharingTests
{
    [Fact]
    public void A_step_that_would_pin_more_than_the_client_may_is_busy_until_its_others_end()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var client = rig.Engine.OpenClient(4 * EngineRig.BlockBytes);
        var model = rig.Register(client, EngineRig.Layout());
        var lane = rig.OpenLane(client);
        var (a, b) = (rig.Create(client, model), rig.Create(client, model));
        rig.Accept(lane, (a, 12));

        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (b, 8)));

        Assert.Empty(rig.Take());
        rig.ObserveEnd(lane, 1);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(lane, 2));
        Assert.Equal(2 * EngineRig.BlockBytes, client.LiveBytes);
    }

    [Fact]
    public void What_a_freed_sequences_live_step_still_reads_counts_as_pinned()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var client = rig.Engine.OpenClient(4 * EngineRig.BlockBytes);
        var model = rig.Register(client, EngineRig.Layout());
        var lane = rig.OpenLane(client);
        var a = rig.Create(client, model);
        rig.Accept(lane, (a, 16));
        rig.Engine.Sequences.Free(client, a);
        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (rig.Create(client, model), 4)));
        rig.ObserveEnd(lane, 1);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(lane, 2));
    }

    [Fact]
    public void A_client_that_stalls_keeps_from_others_no_more_than_it_may_pin()
    {
        var rig = new EngineRig(poolBlocks: 8, coldBlocks: 64);
        var stalled = rig.Engine.OpenClient(4 * EngineRig.BlockBytes);
        var stalledModel = rig.Register(stalled, EngineRig.Layout());
        var stalledLane = rig.OpenLane(stalled);
        for (var i = 0; i < 4; i++)
        {
            // Its steps never end; the last ones find the share used up.
            rig.Begin(stalledLane, (rig.Create(stalled, stalledModel), 8));
        }

        var client = rig.Engine.OpenClient(4 * EngineRig.BlockBytes);
        var model = rig.Register(client, EngineRig.Layout());
        var lane = rig.OpenLane(client);
        for (var i = 0; i < 12; i++)
        {
            rig.Accept(lane, (rig.Create(client, model), 16));
            rig.ObserveEnd(lane, lane.Begun);
        }

        Assert.Equal((0ul, 2ul), (stalledLane.Ended, stalledLane.Planned));
    }

    [Fact]
    public void No_wait_of_a_lane_names_a_point_of_another_clients_lane()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var clients = Enumerable.Range(0, 2).Select(_ => rig.Engine.OpenClient(8 * EngineRig.BlockBytes)).ToArray();
        var models = clients.Select(client => rig.Register(client, EngineRig.Layout())).ToArray();
        var lanes = clients.Select(client => rig.OpenLane(client, depth: 64)).ToArray();
        rig.Take();
        for (var i = 0; i < 40; i++)
        {
            var own = i % 2;
            rig.Begin(lanes[own], (rig.Create(clients[own], models[own]), 4 + (i % 9)));
            if (i % 3 == 0)
            {
                rig.ObserveEnd(lanes[i / 3 % 2], Math.Max(1, lanes[i / 3 % 2].Planned));
            }
        }

        var submissions = rig.Take();
        Assert.Contains(submissions, submission => submission.Waits.Length > 0);
        foreach (var submission in submissions)
        {
            Assert.All(submission.Waits, wait => Assert.Contains(wait.Point.Lane, (int[])[0, submission.Queue / 2]));
        }
    }

    [Fact]
    public void Dirty_blocks_of_another_client_go_out_on_the_background_queue()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var other = rig.Engine.OpenClient(4 * EngineRig.BlockBytes);
        var otherLane = rig.OpenLane(other);
        var theirs = rig.Create(other, rig.Register(other, EngineRig.Layout()));
        rig.Accept(otherLane, (theirs, 16));
        rig.ObserveAll();
        var lane = rig.OpenLane();

        var submissions = rig.Accept(lane, (rig.Create(), 4));

        Assert.Equal([0, lane.Number * 2], submissions.Select(submission => submission.Queue));
        Assert.Empty(submissions[0].Waits);
        Assert.Equal([new EngineWait(submissions[0].Signal, WaitReason.NewBlockAfterTransfer)], submissions[1].Waits);
    }

    [Fact]
    public void A_model_with_two_layouts_gets_an_array_of_views_and_a_row_for_each()
    {
        var rig = new EngineRig(poolBlocks: 32);
        var model = rig.Register(rig.Client, EngineRig.Layout(), EngineRig.Layout(blockBytes: 2048, tokensPerBlock: 8));
        var lane = rig.OpenLane(maxBatch: 2, maxLayouts: 2);
        var (a, b) = (rig.Create(model: model), rig.Create(model: model));

        var publish = Assert.Single(rig.Accept(lane, (a, 9), (b, 4)));

        Assert.Equal([3u, 1u], EngineRig.Views(lane, 1, 0).Select(view => view.BlockCount));
        Assert.Equal([2u, 1u], EngineRig.Views(lane, 1, 1).Select(view => view.BlockCount));
        Assert.Equal(4, EngineRig.Views(lane, 1, 0).Concat(EngineRig.Views(lane, 1, 1)).Select(view => view.RowStart).Distinct().Count());
        Assert.Equal(4 * SequenceView.Bytes, publish.Commands.Where(command => command.IsCopy(lane.ViewRing, lane.Staging)).Sum(command => command.Command.Bytes));
        Assert.Equal(7, publish.Entries.Length);
        Assert.Equal((4 * 1024) + (3 * 2048), rig.Engine.State.Pool.UsedBytes);
    }

    [Fact]
    public void Layouts_for_groups_of_layers_share_segments_where_their_blocks_have_one_size()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var group = EngineRig.Layout(blockBytes: 512);
        var model = rig.Register(rig.Client, group, group, group);
        var lane = rig.OpenLane();
        var a = rig.Create(model: model);

        // The pool is one segment: it serves one size of block at a time, and so all three.
        rig.Accept(lane, (a, 4));

        Assert.Equal(3, Enumerable.Range(0, 3).Select(row => rig.OffsetOf(a, 0, row)).Distinct().Count());
        Assert.Equal(3, rig.Engine.Transfers.Evict(lane, a));
        rig.Accept(lane, (a, 0));
        Assert.Equal(3, rig.Counters.ReloadedBlocks);
    }

    [Fact]
    public void A_segment_is_emptied_for_a_layout_of_another_size()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var large = rig.Register(rig.Client, EngineRig.Layout(blockBytes: 4096));
        var lane = rig.OpenLane();
        var (a, b) = (rig.Create(), rig.Create(model: large));
        rig.Accept(lane, (a, 32));

        // All eight blocks of a are live; half of them leave for one of b, ordered on the lane alone.
        var submissions = rig.Accept(lane, (b, 4));

        Assert.Equal(4, Enumerable.Range(0, 8).Count(i => !rig.IsResident(a, i)));
        Assert.Equal(4, submissions[0].CopiedBlocks);
        Assert.Equal([new EngineWait(submissions[0].Signal, WaitReason.NewBlockAfterCopyOut)], submissions[1].Waits);

        // And back: the large block leaves, and its segment is carved small again.
        rig.Accept(lane, (a, 0));
        Assert.All(Enumerable.Range(0, 8), i => Assert.True(rig.IsResident(a, i)));
        Assert.False(rig.IsResident(b, 0));
    }

    [Fact]
    public void A_model_that_cannot_be_registered_leaves_nothing_behind()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var before = rig.Engine.State.Models.Count;
        Assert.Throws<KvException>(() => rig.Register(rig.Client, EngineRig.Layout(), EngineRig.Layout(blockBytes: 5 * 1024, tokensPerBlock: 4)));
        Assert.Equal(before, rig.Engine.State.Models.Count);
        rig.Accept(rig.OpenLane(), (rig.Create(), 16));
    }
}
