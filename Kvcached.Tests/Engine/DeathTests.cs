using Kvcached.Engine;
using Kvcached.Memory;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>Invariant I9: the end of a client, in its order, and what others see of it, which is nothing but room.</summary>
public class DeathTests
{
    private readonly EngineRig _rig = new(poolBlocks: 16);

    [Fact]
    public void No_command_of_a_condemned_client_is_accepted()
    {
        var dead = Party.Open(_rig);
        var sequence = dead.CreateIdle(2);
        var before = _rig.Snapshot();

        _rig.Engine.Condemn(dead.Client);

        foreach (var command in (Action[])[
            () => dead.Create(),
            () => _rig.Begin(dead.Lane, (sequence, 1)),
            () => _rig.Engine.Sequences.Truncate(dead.Client, sequence, 0),
            () => _rig.Engine.Sequences.Free(dead.Client, sequence),
            () => _rig.Engine.Sequences.Commit(dead.Client, sequence, 1),
            () => _rig.Engine.Transfers.Evict(dead.Lane, sequence),
            () => _rig.Engine.Transfers.RestoreOrder(dead.Lane, sequence),
            () => _rig.Register(dead.Client, EngineRig.Layout()),
            () => _rig.OpenLane(dead.Client),
        ])
        {
            Assert.Equal(KvError.Disconnected, Assert.Throws<KvException>(command).Error);
        }

        Assert.Equal(before, _rig.Snapshot());
    }

    [Fact]
    public void A_step_that_is_live_when_its_client_is_condemned_keeps_its_bytes_until_that_is_gone()
    {
        var (dead, other) = (Party.Open(_rig), Party.Open(_rig));
        _rig.Accept(dead.Lane, (dead.Create(), 12 * 4));
        _rig.ObserveTransfers();

        _rig.Engine.Condemn(dead.Client);

        Assert.Equal(KvStepStatus.Busy, _rig.Begin(other.Lane, (other.Create(), 8 * 4)));
        Assert.Equal((ClientLife.Condemned, 12 * EngineRig.BlockBytes, true), (dead.Client.Life, dead.Client.LiveBytes, dead.Client.HasLive));

        _rig.Engine.ProveGone(dead.Client);
        _rig.Engine.Turn();
        Assert.Equal((ClientLife.Gone, KvStepStatus.Busy), (dead.Client.Life, CacheEngine.StatusOf(other.Lane, 1)));

        _rig.ObserveEnd(dead.Lane, 1);
        Assert.Equal((ClientLife.Reclaimed, KvStepStatus.Accepted), (dead.Client.Life, CacheEngine.StatusOf(other.Lane, 1)));
    }

    [Fact]
    public void A_condemned_client_that_lives_on_ends_its_steps_itself()
    {
        var dead = Party.Open(_rig);
        _rig.Accept(dead.Lane, (dead.Create(), 4));
        _rig.Engine.Condemn(dead.Client);

        _rig.ObserveEnd(dead.Lane, 1);

        Assert.Equal((false, 0L, ClientLife.Condemned), (dead.Client.HasLive, dead.Client.LiveBytes, dead.Client.Life));
    }

    [Fact]
    public void A_step_that_waits_when_its_client_is_condemned_is_never_published_and_nobody_is_held_behind_it()
    {
        var (live, dead, other) = (Party.Open(_rig), Party.Open(_rig), Party.Open(_rig));
        _rig.Accept(live.Lane, (live.Create(), 10 * 4));
        var sequence = dead.Create();
        Assert.Equal(KvStepStatus.Busy, _rig.Begin(dead.Lane, (sequence, 8 * 4)));
        Assert.Equal(KvStepStatus.Busy, _rig.Begin(dead.Lane, (sequence, 4)));
        Assert.True(_rig.Engine.State.Reservation.IsHeld);

        _rig.Engine.Condemn(dead.Client);

        Assert.False(_rig.Engine.State.Reservation.IsHeld);
        _rig.Accept(other.Lane, (other.Create(), 6 * 4));
        _rig.ObserveAll();
        Assert.DoesNotContain(_rig.Take(), submitted => submitted.Signal.Lane == dead.Lane.Number);
        Assert.Equal((0UL, 0UL, 0), (dead.Lane.Begun, dead.Lane.Planned, _rig.StateOf(sequence).WaitingSteps));
    }

    [Theory]
    [InlineData(TimelineKind.Begin, TimelineKind.Out, TimelineKind.In)]
    [InlineData(TimelineKind.Out, TimelineKind.In, TimelineKind.Begin)]
    [InlineData(TimelineKind.In, TimelineKind.Begin, TimelineKind.Out)]
    public void A_client_that_is_gone_keeps_what_it_has_until_its_steps_and_transfers_are_over_in_whichever_order(params object[] order)
    {
        var dead = Party.Open(_rig);
        var (live, cleaned, evicted) = (dead.Create(), dead.CreateIdle(2), dead.CreateIdle(2));
        _rig.Engine.Transfers.Evict(dead.Lane, evicted);
        _rig.ObserveTransfers();
        _rig.Accept(dead.Lane, (live, 4));
        Assert.Equal((2, 2), (_rig.Engine.Transfers.Clean(dead.Lane, cleaned), _rig.Engine.Transfers.Prefetch(dead.Lane, evicted)));
        var (lane, step) = (dead.Lane.Number, dead.Lane.Planned);

        // All ends are signalled, and none counts before its step has begun.
        _rig.Engine.ProveGone(dead.Client);
        _rig.Engine.Observe(Point.TimelineOf(lane, TimelineKind.End), step + (1UL << 40));

        foreach (TimelineKind kind in order)
        {
            Assert.Equal(ClientLife.Gone, dead.Client.Life);
            Assert.True(_rig.Engine.State.Pool.UsedBytes >= 5 * EngineRig.BlockBytes);
            Assert.Equal(_rig.Engine.State.Timelines.IsObserved(dead.Lane.BeginOf(step)), _rig.Engine.State.Timelines.IsObserved(dead.Lane.EndOf(step)));
            _rig.Observe(new Point(Point.TimelineOf(lane, kind), kind switch { TimelineKind.Begin => step, TimelineKind.In => dead.Lane.InValue, _ => dead.Lane.OutValue }));
        }

        Assert.Equal(ClientLife.Reclaimed, dead.Client.Life);
        Assert.Equal([lane], _rig.ClosedLanes);
        AssertEmpty();
    }

    [Fact]
    public void A_client_with_nothing_under_way_is_reclaimed_by_the_next_turn()
    {
        var dead = Party.Open(_rig);
        dead.CreateIdle(4);
        _rig.Engine.Transfers.Evict(dead.Lane, dead.CreateIdle(3));
        _rig.ObserveAll();

        _rig.Engine.ProveGone(dead.Client);
        Assert.Equal(ClientLife.Gone, dead.Client.Life);
        _rig.Engine.Turn();

        Assert.Equal(ClientLife.Reclaimed, dead.Client.Life);
        AssertEmpty();
    }

    [Fact]
    public void What_the_background_queue_still_reads_of_a_dead_client_is_nobodys_before_it_has_and_no_bytes_of_a_lane()
    {
        var (dead, other) = (Party.Open(_rig), Party.Open(_rig));
        var sequence = dead.CreateIdle(2);
        _rig.Accept(dead.Lane, (sequence, 0));
        Assert.Equal(2, _rig.Engine.Transfers.Move(dead.Lane, sequence, 0, 2, background: true));
        Assert.Equal(2 * EngineRig.BlockBytes, _rig.Engine.State.Pool.PendingBytesOf(dead.Lane.Number));

        // The step ends with its client; the moves, of the blocks and from the bytes that it read, are under way.
        _rig.Engine.ProveGone(dead.Client);
        _rig.ObserveEnd(dead.Lane, 2);

        Assert.Equal(ClientLife.Reclaimed, dead.Client.Life);
        Assert.Equal((0L, 0L, 4), (_rig.Engine.State.Pool.PendingBytesOf(dead.Lane.Number), _rig.Engine.State.Pool.UsedBytes, _rig.Engine.State.Pool.PendingCount));
        var step = _rig.Accept(other.Lane, (other.Create(), 16 * 4)).Single();
        Assert.Contains(step.Waits, wait => wait is { Point.Lane: Point.BackgroundLane, Reason: WaitReason.NewBlockAfterTransfer });
    }

    [Fact]
    public void A_lane_that_takes_a_dead_ones_number_goes_on_from_its_values()
    {
        var dead = Party.Open(_rig);
        var sequence = dead.CreateIdle(3);
        _rig.Accept(dead.Lane, (sequence, 1));
        _rig.Engine.Transfers.Evict(dead.Lane, sequence);
        _rig.ObserveAll();
        _rig.Accept(dead.Lane, (sequence, 1));
        _rig.ObserveTransfers();
        Point[] stale = [dead.Lane.BeginOf(3), dead.Lane.EndOf(3), new(Point.TimelineOf(dead.Lane.Number, TimelineKind.In), dead.Lane.InValue), new(Point.TimelineOf(dead.Lane.Number, TimelineKind.Out), dead.Lane.OutValue)];
        _rig.Engine.ProveGone(dead.Client);
        _rig.ObserveEnd(dead.Lane, 3);

        var born = Party.Open(_rig);

        Assert.Equal((dead.Client.Number, dead.Model, dead.Lane.Number), (born.Client.Number, born.Model, born.Lane.Number));
        Assert.All(stale, point => Assert.True(_rig.Engine.State.Timelines.IsObserved(point)));
        var used = born.Create();
        _rig.Accept(born.Lane, (used, 4));
        Assert.Equal((4UL, KvStepStatus.Accepted, true), (born.Lane.Begun, CacheEngine.StatusOf(born.Lane, 4), born.Client.HasLive));
        Assert.False(_rig.Engine.State.Timelines.IsObserved(born.Lane.EndOf(4)));
        Assert.Equal(1, _rig.Engine.Transfers.Clean(born.Lane, used));
        var clean = _rig.Take().Single();
        Assert.Equal((dead.Lane.OutValue + 1, 4UL), (clean.Signal.Value, clean.WaitFor(WaitReason.CopyOutAfterWriter).Value));
    }

    [Fact]
    public void Handles_of_a_dead_client_name_nothing_of_the_one_that_has_its_number()
    {
        var dead = Party.Open(_rig);
        var sequence = dead.CreateIdle(1);
        _rig.Engine.ProveGone(dead.Client);
        _rig.Engine.Turn();

        var born = _rig.Engine.OpenClient();

        Assert.Equal(dead.Client.Number, born.Number);
        Assert.Equal(KvError.ForeignHandle, Assert.Throws<KvException>(() => _rig.Create(born, dead.Model)).Error);
        Assert.Equal(KvError.StaleHandle, Assert.Throws<KvException>(() => _rig.Engine.Sequences.Free(born, sequence)).Error);
        Assert.Equal(KvError.Disconnected, Assert.Throws<KvException>(() => _rig.Engine.Begin(dead.Lane, [new StepRequest(sequence, 1)])).Error);
    }

    [Fact]
    public void A_thousand_births_and_deaths_leave_no_more_than_one()
    {
        var survivor = Party.Open(_rig);
        var kept = survivor.CreateIdle(2);
        var counts = (0, 0, 0, 0);
        for (var i = 0; i < 1000; i++)
        {
            var party = Party.Open(_rig);
            var (live, idle) = (party.Create(), party.CreateIdle(3));
            _rig.Engine.Transfers.Evict(party.Lane, idle);
            _rig.Accept(party.Lane, (live, 4));
            Assert.Equal(party.Lane.Planned, party.Lane.Begun);
            _rig.ObserveTransfers();
            _rig.Engine.ProveGone(party.Client);
            _rig.ObserveEnd(party.Lane, party.Lane.Planned);
            Assert.Equal(ClientLife.Reclaimed, party.Client.Life);
            var state = _rig.Engine.State;
            var now = (state.Clients.Count, state.Lanes.Count, state.Models.Count, state.Sequences.All.Length);
            counts = i == 0 ? now : counts;
            Assert.Equal(counts, now);
        }

        Assert.Equal(2 * EngineRig.BlockBytes, _rig.Engine.State.Pool.UsedBytes);
        _rig.Engine.Sequences.Free(survivor.Client, kept);
        AssertEmpty();
    }

    private void AssertEmpty()
    {
        var state = _rig.Engine.State;
        foreach (var arena in (BlockPool[])[state.Pool, state.Rows.Pool, state.Cold.Pool])
        {
            Assert.Equal((0L, false), (arena.UsedBytes, arena.HasPending));
        }
    }
}
