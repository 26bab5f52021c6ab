using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Sequences;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>Tenants (I10): what is guaranteed to one is not taken from it, none holds more than it may, and what lies between goes by weight.</summary>
public class TenantTests
{
    private const long Block = EngineRig.BlockBytes;

    [Theory]
    [InlineData(9, 8, 1, "9216 bytes; it must be 0 to its maximum of 8192")]
    [InlineData(-1, 8, 1, "its minimum is -1024 bytes; it must be 0 or more")]
    [InlineData(0, 8, 0, "weight is 0; it must be 1")]
    [InlineData(13, 16, 1, "13312 bytes; it must be at most 12288 bytes, which other tenants' minimums leave of the pool's 16384")]
    public void Limits_that_cannot_be_kept_are_refused_and_named(long min, long max, int weight, string message)
    {
        var rig = new EngineRig(poolBlocks: 16);
        rig.Engine.OpenTenant(new TenantLimits(MinBytes: 4 * Block));
        var tenant = rig.Engine.OpenTenant(new TenantLimits(MinBytes: 2 * Block));
        var limits = new TenantLimits(min * Block, max * Block, weight);

        Assert.Contains(message, Assert.Throws<KvException>(() => rig.Engine.SetLimits(tenant, limits)).Message, StringComparison.Ordinal);
        Assert.Throws<KvException>(() => rig.Engine.OpenTenant(limits));
        Assert.Equal(2 * Block, tenant.Limits.MinBytes);
        rig.Engine.SetLimits(tenant, new TenantLimits(MinBytes: 12 * Block));
    }

    [Fact]
    public void A_tenant_with_clients_is_not_closed_and_the_number_of_one_that_was_is_used_again()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var (tenant, other) = (rig.Engine.OpenTenant(new TenantLimits(MinBytes: 16 * Block)), rig.Engine.OpenTenant(TenantLimits.None));
        Party.Open(rig, tenant: other);
        Assert.Throws<KvException>(() => rig.Engine.CloseTenant(other));
        Assert.Throws<KvException>(() => rig.Engine.CloseTenant(rig.Engine.State.Tenants.Default));

        rig.Engine.CloseTenant(tenant);

        Assert.Equal(tenant.Number, rig.Engine.OpenTenant(new TenantLimits(MinBytes: 16 * Block)).Number);
    }

    [Fact]
    public void Blocks_of_two_tenants_lie_in_different_segments_and_those_of_two_clients_of_one_do_not()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var (a, b) = (Open(rig), Open(rig));
        var c = Party.Open(rig, tenant: b.Client.Tenant);
        var (first, second, third) = (a.CreateIdle(1), b.CreateIdle(1), c.CreateIdle(1));

        Assert.NotEqual(rig.BlockOf(first, 0).Device.Segment, rig.BlockOf(second, 0).Device.Segment);
        Assert.Equal(rig.BlockOf(second, 0).Device.Segment, rig.BlockOf(third, 0).Device.Segment);
        Assert.Equal((Block, 2 * Block), (a.Client.Tenant.ResidentBytes, b.Client.Tenant.ResidentBytes));
    }

    [Fact]
    public void A_burst_takes_at_once_what_an_idle_tenant_is_not_guaranteed()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var (idle, burst) = (Open(rig, new TenantLimits(MinBytes: 4 * Block)), Open(rig));
        var (old, recent) = (idle.CreateIdle(8), idle.CreateIdle(8));
        rig.Engine.Tick(TenantTable.IdleAfter);

        Assert.Equal(KvStepStatus.Accepted, rig.Begin(burst.Lane, (burst.Create(), 12 * 4)));

        Assert.Equal((0, 4, 4 * Block), (Resident(rig, old), Resident(rig, recent), idle.Client.Tenant.ResidentBytes));
        Assert.Equal((12 * Block, 16L, 12L), (burst.Client.Tenant.ResidentBytes, idle.Client.Tenant.CleanBytes / Block + idle.Client.Tenant.Counters.EvictedBlocks + 4, idle.Client.Tenant.Counters.EvictedBlocks));
    }

    [Fact]
    public void What_is_guaranteed_to_a_tenant_is_never_taken_from_it()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var (kept, other) = (Open(rig, new TenantLimits(MinBytes: 8 * Block)), Open(rig));
        var sequence = kept.CreateIdle(8);
        rig.Engine.Tick(10 * TenantTable.IdleAfter);

        Assert.Equal(KvStepStatus.NoRoom, rig.Begin(other.Lane, (other.Create(), 9 * 4)));
        Assert.Equal(KvStepStatus.Accepted, rig.Begin(other.Lane, (other.Create(), 8 * 4)));

        Assert.Equal(8, Resident(rig, sequence));
    }

    [Fact]
    public void A_tenant_at_its_share_gives_up_blocks_of_its_own_and_not_those_of_another_at_its_share()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var (a, b) = (Open(rig), Open(rig));
        var (older, own) = (a.CreateIdle(8), b.CreateIdle(8));

        Assert.Equal(KvStepStatus.Accepted, rig.Begin(b.Lane, (b.Create(), 4 * 4)));

        Assert.Equal((8, 4), (Resident(rig, older), Resident(rig, own)));
    }

    [Fact]
    public void A_tenant_under_its_share_takes_from_one_over_its_own_before_it_gives_up_older_blocks()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var (a, b) = (Open(rig, new TenantLimits(Weight: 3)), Open(rig));
        var (own, taken) = (a.CreateIdle(8), b.CreateIdle(8));

        Assert.Equal(KvStepStatus.Accepted, rig.Begin(a.Lane, (a.Create(), 4 * 4)));
        Assert.Equal((8, 4), (Resident(rig, own), Resident(rig, taken)));

        // At 12 and 4 blocks both have what their weights say.
        Assert.Equal(KvStepStatus.Accepted, rig.Begin(b.Lane, (b.Create(), 2 * 4)));
        Assert.Equal((12 * Block, 4 * Block), (a.Client.Tenant.ResidentBytes, b.Client.Tenant.ResidentBytes));
    }

    [Fact]
    public void Among_tenants_over_their_share_what_was_used_longest_ago_goes_first()
    {
        var rig = new EngineRig(poolBlocks: 24);
        var (idle, a, b) = (Open(rig), Open(rig), Open(rig));
        var (first, own, second) = (idle.CreateIdle(4), a.CreateIdle(12), idle.CreateIdle(4));
        rig.Engine.Tick(TenantTable.IdleAfter);
        rig.ObserveAll();
        var recent = a.CreateIdle(4);
        b.Create();
        Touch(b);

        // The idle tenant's share is nothing, that of the other two 12 blocks each; it has the oldest blocks, then a's are.
        Assert.Equal(KvStepStatus.Accepted, rig.Begin(a.Lane, (a.Create(), 4 * 4)));
        Assert.Equal((0, 12, 4, 4), (Resident(rig, first), Resident(rig, own), Resident(rig, second), Resident(rig, recent)));
        Assert.Equal(KvStepStatus.Accepted, rig.Begin(a.Lane, (a.Create(), 4 * 4)));
        Assert.Equal((8, 4), (Resident(rig, own), Resident(rig, second)));
    }

    [Fact]
    public void A_tenant_at_its_maximum_gives_up_idle_blocks_of_its_own_although_there_is_room()
    {
        var rig = new EngineRig(poolBlocks: 32);
        var tenant = Open(rig, new TenantLimits(MaxBytes: 8 * Block));
        var (old, recent) = (tenant.CreateIdle(4), tenant.CreateIdle(4));

        Assert.Equal(KvStepStatus.Accepted, rig.Begin(tenant.Lane, (tenant.Create(), 3 * 4)));

        Assert.Equal((1, 4, 8 * Block), (Resident(rig, old), Resident(rig, recent), tenant.Client.Tenant.ResidentBytes));
        rig.ObserveAll();
        Assert.Equal(3, rig.Engine.Transfers.Prefetch(tenant.Lane, old));
        Assert.Equal(8 * Block, tenant.Client.Tenant.ResidentBytes);
    }

    [Fact]
    public void A_step_that_never_fits_its_tenants_maximum_is_over_its_quota()
    {
        var rig = new EngineRig(poolBlocks: 32);
        var tenant = Open(rig, new TenantLimits(MaxBytes: 8 * Block));

        Assert.Equal(KvStepStatus.OverQuota, rig.Begin(tenant.Lane, (tenant.Create(), 9 * 4)));
        Assert.Equal(ViewFlags.Refused, EngineRig.Views(tenant.Lane, 1)[0].Flags);
        Assert.Equal(KvStepStatus.Accepted, rig.Begin(tenant.Lane, (tenant.Create(), 8 * 4)));
        Assert.Equal(1, tenant.Client.Tenant.Counters.RefusedSteps);
    }

    [Fact]
    public void A_step_that_fits_its_tenants_maximum_once_the_tenants_own_live_steps_have_ended_is_busy()
    {
        var rig = new EngineRig(poolBlocks: 32);
        var first = Open(rig, new TenantLimits(MaxBytes: 8 * Block));
        var second = Party.Open(rig, tenant: first.Client.Tenant);
        Assert.Equal(KvStepStatus.Accepted, rig.Begin(first.Lane, (first.Create(), 6 * 4)));

        Assert.Equal(KvStepStatus.Busy, rig.Begin(second.Lane, (second.Create(), 4 * 4)));
        Assert.Equal(6 * Block, first.Client.Tenant.ResidentBytes);

        rig.ObserveEnd(first.Lane, 1);
        Assert.Equal((KvStepStatus.Accepted, 8 * Block), (CacheEngine.StatusOf(second.Lane, 1), first.Client.Tenant.ResidentBytes));
    }

    [Fact]
    public void A_step_that_waits_for_its_tenants_maximum_holds_that_tenant_and_no_other()
    {
        var rig = new EngineRig(poolBlocks: 32);
        var (first, other) = (Open(rig, new TenantLimits(MaxBytes: 8 * Block)), Open(rig));
        var second = Party.Open(rig, tenant: first.Client.Tenant);
        var live = first.Create();
        rig.Accept(first.Lane, (live, 6 * 4));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second.Lane, (second.Create(), 4 * 4)));

        rig.Accept(other.Lane, (other.Create(), 4));

        // In place, the first client would go on for ever in what the second waits for.
        Assert.Equal(KvStepStatus.Busy, rig.Begin(first.Lane, (live, 0)));
        rig.ObserveEnd(first.Lane, 1);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(second.Lane, 1));

        // Who waits for room takes the claim from who waits for a maximum.
        Assert.Equal(KvStepStatus.Busy, CacheEngine.StatusOf(first.Lane, 2));
        rig.ObserveTransfers();
        rig.ObserveEnd(other.Lane, 1);
        Assert.Equal(KvStepStatus.Busy, rig.Begin(other.Lane, (other.Create(), 30 * 4)));
        var third = Open(rig);
        Assert.Equal(KvStepStatus.Busy, rig.Begin(third.Lane, (third.Create(), 4)));
    }

    [Fact]
    public void Steps_that_wait_for_a_maximum_and_for_room_do_not_take_the_claim_from_each_other_for_ever()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var (first, other) = (Open(rig, new TenantLimits(MaxBytes: 4 * Block)), Open(rig));
        var second = Party.Open(rig, tenant: first.Client.Tenant);
        var otherLane = rig.OpenLane(other.Client);
        rig.Accept(first.Lane, (first.Create(), 4 * 4));
        rig.Accept(other.Lane, (other.Create(), 4 * 4));
        rig.ObserveTransfers();
        Assert.Equal(KvStepStatus.Busy, rig.Begin(second.Lane, (second.Create(), 4)));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(otherLane, (other.Create(), 12 * 4)));

        for (var turn = 0L; turn < RoomReservation.FirstPatience; turn++)
        {
            rig.Engine.Turn();
        }

        Assert.True(rig.Engine.State.Reservation.LetsPass);
    }

    [Fact]
    public void A_step_over_its_tenants_maximum_has_no_room_where_nothing_of_the_tenants_is_under_way_and_nothing_can_be_evicted()
    {
        var rig = new EngineRig(poolBlocks: 32, coldBlocks: 0);
        var (tenant, other) = (Open(rig, new TenantLimits(MaxBytes: 8 * Block)), Open(rig));
        tenant.CreateIdle(6);
        rig.Accept(other.Lane, (other.Create(), 4));

        Assert.Equal(KvStepStatus.NoRoom, rig.Begin(tenant.Lane, (tenant.Create(), 4 * 4)));
    }

    [Fact]
    public void A_maximum_that_is_lowered_takes_effect_by_turns_and_leaves_what_live_steps_use()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var tenant = Open(rig);
        var (old, live) = (tenant.CreateIdle(6), tenant.CreateIdle(6));
        rig.Accept(tenant.Lane, (live, 0));

        rig.Engine.SetLimits(tenant.Client.Tenant, new TenantLimits(MaxBytes: 8 * Block));
        rig.Engine.Turn();
        Assert.Equal((2, 6), (Resident(rig, old), Resident(rig, live)));

        rig.Engine.SetLimits(tenant.Client.Tenant, new TenantLimits(MaxBytes: 3 * Block));
        rig.ObserveTransfers();
        rig.Engine.Turn();
        Assert.Equal((0, 6), (Resident(rig, old), Resident(rig, live)));
        rig.ObserveAll();
        rig.Engine.Turn();
        Assert.Equal(3 * Block, tenant.Client.Tenant.ResidentBytes);
    }

    [Fact]
    public void Two_tenants_that_each_need_more_than_half_of_the_pool_take_turns_although_each_goes_on_in_place()
    {
        var rig = new EngineRig(poolBlocks: 20);
        var (a, b) = (Open(rig), Open(rig));
        var (mine, yours) = (a.Create(), b.Create());
        rig.Accept(a.Lane, (mine, 12 * 4));
        var (holder, waiting) = (a.Lane, b.Lane);
        var (held, wanted) = (mine, yours);
        var tokens = 12 * 4;
        for (var round = 0; round < 8; round++)
        {
            // The one that waits is served once the holder's live step has ended, though the holder would go on for ever in place.
            Assert.Equal(KvStepStatus.Busy, rig.Begin(waiting, (wanted, tokens)));
            Assert.Equal(KvStepStatus.Busy, rig.Begin(holder, (held, 0)));
            rig.ObserveAll();
            Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(waiting, waiting.Begun));
            Assert.Equal(KvStepStatus.Busy, CacheEngine.StatusOf(holder, holder.Begun));
            rig.ObserveAll();
            Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(holder, holder.Begun));
            tokens = 0;
        }

        Assert.Equal((0, 0), (a.Client.Tenant.Counters.RefusedSteps, b.Client.Tenant.Counters.RefusedSteps));
    }

    [Fact]
    public void Room_up_to_the_guaranteed_minimum_can_be_had_once_others_steps_have_ended_however_long_they_go_on()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var (a, b) = (Open(rig), Open(rig, new TenantLimits(MinBytes: 8 * Block)));
        var sequence = a.CreateIdle(12);
        rig.Accept(a.Lane, (sequence, 0));

        Assert.Equal(KvStepStatus.Busy, rig.Begin(b.Lane, (b.Create(), 8 * 4)));
        for (var step = 0; step < 4 && CacheEngine.StatusOf(b.Lane, 1) == KvStepStatus.Busy; step++)
        {
            var before = a.Lane.Planned;
            rig.Begin(a.Lane, (sequence, 0));
            rig.ObserveTransfers();
            rig.ObserveEnd(a.Lane, before);
        }

        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(b.Lane, 1));
    }

    [Fact]
    public void What_a_tenant_wastes_is_moved_for_another_and_what_it_is_guaranteed_is_not_dropped_for_that()
    {
        var rig = new EngineRig(poolBlocks: 16, compaction: long.MaxValue);
        var (a, b) = (Open(rig, new TenantLimits(MinBytes: 8 * Block)), Open(rig));
        var sparse = Enumerable.Range(0, 16).Select(_ => a.CreateIdle(1)).ToArray();
        foreach (var (sequence, i) in sparse.Select((sequence, i) => (sequence, i)))
        {
            rig.Engine.Transfers.Clean(a.Lane, sequence);
            if (i % 2 == 0)
            {
                rig.Engine.Sequences.Free(a.Client, sequence);
            }
        }

        rig.ObserveAll();
        Assert.Equal(KvStepStatus.Accepted, rig.Begin(b.Lane, (b.Create(), 8 * 4)));
        Assert.Equal((8 * Block, 0L), (a.Client.Tenant.ResidentBytes, a.Client.Tenant.Counters.EvictedBlocks));
    }

    [Fact]
    public void A_contiguous_window_is_taken_from_another_tenant_only_where_that_is_over_its_share()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var tenant = rig.Engine.OpenTenant(new TenantLimits(MinBytes: 8 * Block));
        var client = rig.Engine.OpenClient(tenant: tenant);
        var owner = new Party(rig, client, rig.Register(client, EngineRig.Layout()), rig.OpenLane(client, windows: true));
        var other = Open(rig);
        var sequence = owner.Create();
        rig.Engine.Sequences.OpenWindow(client, sequence, 0);
        rig.Accept(owner.Lane, (sequence, 4 * 4));
        rig.ObserveAll();
        rig.Engine.Tick(TenantTable.IdleAfter);
        Assert.Equal(8 * Block, tenant.ResidentBytes);

        Assert.Equal(KvStepStatus.NoRoom, rig.Begin(other.Lane, (other.Create(), 12 * 4)));
        Assert.Equal(8 * Block, tenant.ResidentBytes);

        rig.Engine.SetLimits(tenant, new TenantLimits(MinBytes: 4 * Block));
        Assert.Equal(KvStepStatus.Accepted, rig.Begin(other.Lane, (other.Create(), 12 * 4)));
        Assert.Equal(4 * Block, tenant.ResidentBytes);
    }

    [Fact]
    public void What_is_done_for_a_tenant_is_counted()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var (a, b) = (Open(rig), Open(rig));
        var sequence = a.CreateIdle(6);
        rig.Engine.Transfers.Clean(a.Lane, sequence);
        Assert.Equal((6 * Block, 6 * Block, 6 * Block), (a.Client.Tenant.ResidentBytes, a.Client.Tenant.ColdBytes, a.Client.Tenant.CleanBytes));

        rig.Engine.Transfers.Evict(a.Lane, sequence);
        rig.ObserveAll();
        Assert.Equal((0L, 6 * Block, 0L), (a.Client.Tenant.ResidentBytes, a.Client.Tenant.ColdBytes, a.Client.Tenant.CleanBytes));

        rig.Accept(a.Lane, (sequence, 0));
        rig.ObserveAll();
        var counters = a.Client.Tenant.Counters;
        Assert.Equal((2L, 6L, 6L, 6L, 6 * Block, 6 * Block), (counters.Steps, counters.CleanedBlocks, counters.EvictedBlocks, counters.ReloadedBlocks, counters.BytesOut, counters.BytesIn));
        rig.Engine.Sequences.Free(a.Client, sequence);
        Assert.Equal((0L, 0L, 0L), (a.Client.Tenant.ResidentBytes, a.Client.Tenant.ColdBytes, a.Client.Tenant.CleanBytes));
        Assert.Equal(default, b.Client.Tenant.Counters);
    }

    private static Party Open(EngineRig rig, TenantLimits? limits = null) => Party.Open(rig, tenant: rig.Engine.OpenTenant(limits ?? TenantLimits.None));

    private static int Resident(EngineRig rig, SequenceHandle sequence) => rig.StateOf(sequence).Rows[0].ResidentBlocks;

    /// <summary>A step of nothing: the tenant is active.</summary>
    private static void Touch(Party party)
    {
        party.Rig.Accept(party.Lane, (party.Create(), 0));
        party.Rig.ObserveAll();
    }
}
