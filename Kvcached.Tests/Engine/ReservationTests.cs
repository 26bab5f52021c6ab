using Kvcached.Engine;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>Invariant I10: a large step is not passed for ever by small ones, and whoever holds the one reservation holds up only what may be held up.</summary>
public class ReservationTests
{
    [Fact]
    public void A_reservation_whose_holders_client_stalls_on_another_lane_does_not_hold_other_clients()
    {
        var rig = new EngineRig(poolBlocks: 16, coldBlocks: 0);
        var (holder, other) = (Party.Open(rig), Party.Open(rig));
        var stalledLane = rig.OpenLane(holder.Client);
        var (live, freed) = (holder.CreateIdle(4), other.Create());
        rig.Accept(other.Lane, (freed, 12 * 4));
        rig.Accept(stalledLane, (live, 0));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(holder.Lane, (holder.Create(), 13 * 4)));

        rig.Engine.Sequences.Free(other.Client, freed);
        rig.ObserveTransfers();
        rig.ObserveEnd(other.Lane, 1);

        Assert.Equal(KvStepStatus.Busy, CacheEngine.StatusOf(holder.Lane, 2));
        rig.Accept(other.Lane, (other.Create(), 4));
    }

    [Fact]
    public void A_reservation_whose_holder_waits_for_others_alone_holds_other_clients()
    {
        var rig = new EngineRig(poolBlocks: 16, coldBlocks: 0);
        var (holder, other, third) = (Party.Open(rig), Party.Open(rig), Party.Open(rig));
        var live = other.Create();
        rig.Accept(other.Lane, (live, 4 * 4));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(holder.Lane, (holder.Create(), 13 * 4)));

        Assert.Equal(KvStepStatus.Busy, rig.Begin(third.Lane, (third.Create(), 4)));

        rig.Engine.Sequences.Free(other.Client, live);
        rig.ObserveEnd(other.Lane, 1);
        Assert.Equal((KvStepStatus.Accepted, KvStepStatus.Accepted), (CacheEngine.StatusOf(holder.Lane, 1), CacheEngine.StatusOf(third.Lane, 1)));
    }

    [Fact]
    public void Moves_and_reloads_of_another_client_do_nothing_while_a_reservation_binds_it()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var (holder, other) = (Party.Open(rig), Party.Open(rig));
        var (live, evicted) = (other.Create(), other.CreateIdle(3));
        rig.Engine.Transfers.Evict(other.Lane, evicted);
        rig.ObserveAll();
        rig.Accept(other.Lane, (live, 4 * 4));
        rig.ObserveTransfers();
        Assert.Equal(KvStepStatus.Busy, rig.Begin(holder.Lane, (holder.Create(), 16 * 4)));

        Assert.Equal(0, rig.Engine.Transfers.Move(other.Lane, live, 0, 4, background: false));
        Assert.Equal(0, rig.Engine.Transfers.Move(other.Lane, live, 0, 4, background: true));
        Assert.Equal(0, rig.Engine.Transfers.Prefetch(other.Lane, evicted));

        rig.ObserveAll();
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(holder.Lane, 1));
        rig.ObserveAll();
        Assert.Equal(3, rig.Engine.Transfers.Prefetch(other.Lane, evicted));
    }

    [Theory]
    [InlineData(16, KvStepStatus.Accepted)]
    [InlineData(0, KvStepStatus.NoRoom)]
    public void A_holder_that_needs_what_others_go_on_in_binds_them_in_every_step_before_it_is_refused(int coldBlocks, KvStepStatus expected)
    {
        // Six blocks of 2,560 bytes need every unit, and another client goes on in a block of one of them.
        var rig = new EngineRig(poolBlocks: 16, coldBlocks: coldBlocks);
        var (holder, other) = (Party.Open(rig, EngineRig.Layout(blockBytes: 2560)), Party.Open(rig));
        var live = other.CreateIdle(1);
        rig.Accept(other.Lane, (live, 0));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(holder.Lane, (holder.Create(), 6 * 4)));
        rig.Accept(other.Lane, (live, 0));
        rig.ObserveTransfers();
        rig.ObserveEnd(other.Lane, 2);

        Assert.Equal(KvStepStatus.Busy, CacheEngine.StatusOf(holder.Lane, 1));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(other.Lane, (live, 0)));
        rig.ObserveAll();
        Assert.Equal(expected, CacheEngine.StatusOf(holder.Lane, 1));
    }

    [Fact]
    public void A_holder_waits_for_what_others_began_before_they_were_bound()
    {
        var rig = new EngineRig(poolBlocks: 16, coldBlocks: 0);
        var (holder, other) = (Party.Open(rig), Party.Open(rig));
        var liveLane = rig.OpenLane(holder.Client);
        var (live, first, second) = (holder.CreateIdle(1), other.Create(), other.Create());
        rig.Accept(other.Lane, (first, 6 * 4));
        rig.Accept(liveLane, (live, 0));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(holder.Lane, (holder.Create(), 13 * 4)));

        // While the holder's client has a live step, nobody else is bound.
        rig.Accept(other.Lane, (second, 8 * 4));
        rig.Engine.Sequences.Free(other.Client, first);
        rig.ObserveTransfers();
        rig.ObserveEnd(other.Lane, 1);
        rig.ObserveEnd(liveLane, 1);
        Assert.Equal(KvStepStatus.Busy, CacheEngine.StatusOf(holder.Lane, 2));

        rig.Engine.Sequences.Free(other.Client, second);
        rig.ObserveEnd(other.Lane, 2);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(holder.Lane, 2));
    }

    [Fact]
    public void A_holder_that_waited_for_its_tenants_quota_waits_for_what_other_tenants_began_meanwhile()
    {
        var rig = new EngineRig(poolBlocks: 16, coldBlocks: 0);
        var tenant = rig.Engine.OpenTenant(new TenantLimits(MaxBytes: 12 * EngineRig.BlockBytes));
        var (holder, sibling, other) = (Party.Open(rig, tenant: tenant), Party.Open(rig, tenant: tenant), Party.Open(rig));
        var liveLane = rig.OpenLane(holder.Client);
        var (first, second, siblings, live) = (other.Create(), other.Create(), sibling.Create(), holder.CreateIdle(1));
        rig.Accept(other.Lane, (first, 8 * 4));
        rig.Accept(liveLane, (live, 0));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(holder.Lane, (holder.Create(), 9 * 4)));

        // While the holder's client has a live step, nobody else is bound; when it has none, it is the quota that it lacks, and other tenants are not.
        rig.Accept(sibling.Lane, (siblings, 3 * 4));
        rig.ObserveTransfers();
        rig.ObserveEnd(liveLane, 1);
        Assert.Equal(KvStepStatus.Busy, CacheEngine.StatusOf(holder.Lane, 2));
        rig.Engine.Sequences.Free(other.Client, first);
        rig.ObserveEnd(other.Lane, 1);
        rig.Accept(other.Lane, (second, 8 * 4));
        rig.ObserveTransfers();
        Assert.Equal(KvStepStatus.Busy, CacheEngine.StatusOf(holder.Lane, 2));

        rig.Engine.Sequences.Free(sibling.Client, siblings);
        rig.ObserveEnd(sibling.Lane, 1);
        Assert.Equal(KvStepStatus.Busy, CacheEngine.StatusOf(holder.Lane, 2));

        rig.Engine.Sequences.Free(other.Client, second);
        rig.ObserveEnd(other.Lane, 2);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(holder.Lane, 2));
    }

    [Fact]
    public void A_reservation_lets_others_pass_while_nothing_moves_that_its_holder_waits_for_and_binds_them_again_once_it_does()
    {
        var rig = new EngineRig(poolBlocks: 16, coldBlocks: 0);
        var (stalled, holder, other) = (Party.Open(rig), Party.Open(rig), Party.Open(rig));
        var (live, passing) = (stalled.Create(), other.Create());
        rig.Accept(stalled.Lane, (live, 8 * 4));
        rig.ObserveTransfers();
        Assert.Equal(KvStepStatus.Busy, rig.Begin(holder.Lane, (holder.Create(), 16 * 4)));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(other.Lane, (passing, 4)));

        Turn(rig, RoomReservation.FirstPatience);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(other.Lane, 1));
        rig.Engine.Sequences.Free(stalled.Client, live);
        rig.ObserveEnd(stalled.Lane, 1);

        Assert.Equal(KvStepStatus.Busy, rig.Begin(stalled.Lane, (stalled.Create(), 4)));
        rig.Engine.Sequences.Free(other.Client, passing);
        rig.ObserveAll();
        Assert.Equal((KvStepStatus.Accepted, KvStepStatus.Busy), (CacheEngine.StatusOf(holder.Lane, 1), CacheEngine.StatusOf(stalled.Lane, 2)));
    }

    [Fact]
    public void A_reservation_that_let_others_pass_too_early_is_twice_as_patient()
    {
        var rig = new EngineRig(poolBlocks: 16, coldBlocks: 0);
        var (slow, slower, holder, other) = (Party.Open(rig), Party.Open(rig), Party.Open(rig), Party.Open(rig));
        rig.Accept(slow.Lane, (slow.Create(), 4));
        rig.Accept(slower.Lane, (slower.Create(), 4));
        rig.ObserveTransfers();
        Assert.Equal(KvStepStatus.Busy, rig.Begin(holder.Lane, (holder.Create(), 16 * 4)));
        Turn(rig, RoomReservation.FirstPatience);

        rig.ObserveEnd(slow.Lane, 1);

        Assert.Equal(KvStepStatus.Busy, rig.Begin(other.Lane, (other.Create(), 4)));
        Turn(rig, RoomReservation.FirstPatience);
        Assert.Equal(KvStepStatus.Busy, CacheEngine.StatusOf(other.Lane, 1));
        Turn(rig, RoomReservation.FirstPatience);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(other.Lane, 1));
    }

    [Fact]
    public void A_step_that_no_arrangement_of_segments_holds_never_fits()
    {
        // Blocks of 2,560 bytes come three to a segment of two units: the fourth does not fit three units, although its bytes would.
        var rig = new EngineRig(poolBlocks: 12);
        var client = Party.Open(rig, EngineRig.Layout(blockBytes: 2560));
        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(client.Lane, (client.Create(), 4 * 4)));
        rig.Accept(client.Lane, (client.Create(), 3 * 4));
    }

    [Fact]
    public void A_large_step_is_served_although_another_lane_of_its_client_keeps_small_steps_in_flight()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var client = Party.Open(rig, maxPinnedBlocks: 16);
        var large = rig.OpenLane(client.Client);
        var decoding = client.CreateIdle(5);
        rig.Accept(client.Lane, (decoding, 0));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(large, (client.Create(), 12 * 4)));

        // The next small step waits behind the large one, so that what is pinned is let go of.
        Assert.Equal(KvStepStatus.Busy, rig.Begin(client.Lane, (decoding, 0)));

        rig.ObserveEnd(client.Lane, 2);
        Assert.Equal((KvStepStatus.Accepted, KvStepStatus.Busy), (CacheEngine.StatusOf(large, 1), CacheEngine.StatusOf(client.Lane, 3)));
        rig.ObserveEnd(large, 1);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(client.Lane, 3));
    }

    [Fact]
    public void Without_a_limit_a_lanes_next_step_is_accepted_ahead_over_the_bytes_of_the_one_before()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var client = rig.Engine.OpenClient();
        var (model, lane) = (rig.Register(client, EngineRig.Layout()), rig.OpenLane(client));
        var (a, b) = (rig.Create(client, model), rig.Create(client, model));
        rig.Accept(lane, (a, 10 * 4));

        rig.Accept(lane, (b, 10 * 4));

        Assert.Equal(4, rig.Counters.EvictedBlocks);
        rig.Accept(lane, (a, 0));
    }

    private static void Turn(EngineRig rig, long turns)
    {
        for (; turns > 0; turns--)
        {
            rig.Engine.Turn();
        }
    }
}
