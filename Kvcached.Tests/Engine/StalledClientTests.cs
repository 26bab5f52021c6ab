using Kvcached.Engine;
using Kvcached.Tables;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>Invariant I10: what a client that has stalled keeps from others is bounded, and is nothing that the others could do without.</summary>
public class StalledClientTests
{
    private const int Row = RowHeap.LineEntries * sizeof(uint);

    private readonly EngineRig _rig = new(poolBlocks: 16);

    [Fact]
    public void A_freed_window_behind_a_stalled_clients_points_is_not_chosen_while_others_can_be_emptied()
    {
        var (stalled, other) = (Party.Open(_rig), Party.Open(_rig, EngineRig.Layout(blockBytes: EngineRig.UnitBytes)));
        var (live, idle) = (stalled.Create(), stalled.Create());
        _rig.Accept(stalled.Lane, (live, 16));
        _rig.Accept(stalled.Lane, (idle, 48));
        _rig.ObserveAll();
        // The unit of the first is as good as empty, but its bytes wait for a step that does not end.
        _rig.Accept(stalled.Lane, (live, 0));
        _rig.ObserveTransfers();
        _rig.Engine.Sequences.Free(stalled.Client, live);

        _rig.Accept(other.Lane, (other.Create(), 4));

        Assert.Equal(EngineRig.UnitBytes / EngineRig.BlockBytes, _rig.Counters.EvictedBlocks);
    }

    [Fact]
    public void Bytes_whose_points_are_observed_are_freed_although_an_older_block_of_the_lane_still_waits()
    {
        var (stalled, other) = (Party.Open(_rig), Party.Open(_rig));
        var (live, evicted) = (stalled.Create(), stalled.Create());
        _rig.Accept(stalled.Lane, (live, 4));
        _rig.Accept(stalled.Lane, (evicted, 15 * 4));
        _rig.ObserveAll();
        _rig.Accept(stalled.Lane, (live, 0));
        _rig.Engine.Sequences.Free(stalled.Client, live);
        Assert.Equal(15, _rig.Engine.Transfers.Evict(stalled.Lane, evicted));
        Assert.Equal(16, _rig.Engine.State.Pool.PendingCount);

        _rig.ObserveTransfers();

        Assert.Equal(1, _rig.Engine.State.Pool.PendingCount);
        _rig.Accept(other.Lane, (other.Create(), 15 * 4));
    }

    [Fact]
    public void A_row_is_no_other_clients_before_the_publish_that_writes_it_ran_even_if_the_end_was_signalled()
    {
        var rig = new EngineRig(poolBlocks: 16, rows: 1);
        var (early, other) = (Party.Open(rig), Party.Open(rig));
        var sequence = early.Create();
        rig.Accept(early.Lane, (sequence, 4));
        rig.Observe(early.Lane.EndOf(1));
        rig.Engine.Sequences.Free(early.Client, sequence);

        Assert.Equal(KvStepStatus.Busy, rig.Begin(other.Lane, (other.Create(), 4)));

        rig.Observe(early.Lane.BeginOf(1));
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(other.Lane, 1));
    }

    [Fact]
    public void A_client_whose_rows_are_limited_leaves_rows_to_others_when_it_stalls()
    {
        var rig = new EngineRig(poolBlocks: 16, rows: 4);
        var stalled = Party.Open(rig, maxPinnedRowBytes: 2 * Row);
        var other = Party.Open(rig);
        rig.Accept(stalled.Lane, (stalled.Create(), 4));
        rig.Accept(stalled.Lane, (stalled.Create(), 4));
        Assert.Equal(2 * Row, stalled.Client.LiveRowBytes);

        Assert.Equal(KvStepStatus.Busy, rig.Begin(stalled.Lane, (stalled.Create(), 4)));
        rig.Accept(other.Lane, (other.Create(), 4), (other.Create(), 4));

        rig.ObserveEnd(stalled.Lane, 1);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(stalled.Lane, 3));
    }

    [Fact]
    public void The_rows_that_a_freed_sequences_live_step_reads_count_as_pinned()
    {
        var rig = new EngineRig(poolBlocks: 16, rows: 4);
        var stalled = Party.Open(rig, maxPinnedRowBytes: Row);
        var sequence = stalled.Create();
        rig.Accept(stalled.Lane, (sequence, 4));
        rig.Engine.Sequences.Free(stalled.Client, sequence);
        Assert.Equal(KvStepStatus.Busy, rig.Begin(stalled.Lane, (stalled.Create(), 4)));
        rig.ObserveAll();
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(stalled.Lane, 2));
    }

    [Fact]
    public void More_rows_than_the_client_may_pin_never_fit()
    {
        var rig = new EngineRig(poolBlocks: 16, rows: 4);
        var client = Party.Open(rig, maxPinnedRowBytes: 2 * Row);
        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(client.Lane, (client.Create(), 4), (client.Create(), 4), (client.Create(), 4)));
        rig.Accept(client.Lane, (client.Create(), 4), (client.Create(), 4));
    }

    [Fact]
    public void A_sequence_truncated_to_nothing_gives_its_rows_back()
    {
        var rig = new EngineRig(poolBlocks: 16, rows: 1);
        var client = Party.Open(rig);
        for (var i = 0; i < 4; i++)
        {
            var sequence = client.Create();
            rig.Accept(client.Lane, (sequence, 4));
            rig.ObserveAll();
            rig.Engine.Sequences.Truncate(client.Client, sequence, 0);
            Assert.Equal(0, rig.Engine.State.Rows.Pool.UsedBlocks);
        }
    }

    [Fact]
    public void Reloads_are_limited_by_what_the_client_may_pin_until_they_are_observed()
    {
        var client = Party.Open(_rig, maxPinnedBlocks: 4);
        var (a, b) = (client.CreateIdle(3), client.CreateIdle(3));
        foreach (var sequence in new[] { a, b })
        {
            _rig.Engine.Transfers.Evict(client.Lane, sequence);
            _rig.ObserveAll();
        }

        Assert.Equal((3, 1, 0), (Prefetch(client, a), Prefetch(client, b), Prefetch(client, b)));

        Assert.Equal(4 * EngineRig.BlockBytes, client.Client.LiveBytes);
        _rig.ObserveTransfers();
        Assert.Equal((0L, 2), (client.Client.LiveBytes, Prefetch(client, b)));
    }

    [Fact]
    public void Moves_are_limited_by_what_the_client_may_pin_until_they_are_observed()
    {
        var client = Party.Open(_rig, maxPinnedBlocks: 4);
        var (a, b) = (client.CreateIdle(3), client.CreateIdle(3));

        // The bytes that a move leaves wait for it as well.
        Assert.Equal((2, 0), (Move(client, a), Move(client, b)));

        Assert.Equal(2 * EngineRig.BlockBytes, client.Client.LiveBytes);
        _rig.ObserveTransfers();
        Assert.Equal((0L, 2), (client.Client.LiveBytes, Move(client, b)));
    }

    [Fact]
    public void Blocks_moved_into_bytes_that_wait_for_a_stalled_step_count_as_pinned()
    {
        var (stalled, other) = (Party.Open(_rig, maxPinnedBlocks: 4), Party.Open(_rig));
        var live = stalled.CreateIdle(3);
        var idle = Enumerable.Range(0, 4).Select(_ => stalled.CreateIdle(3)).ToArray();
        _rig.Accept(stalled.Lane, (live, 0));
        _rig.Engine.Transfers.Evict(stalled.Lane, live);
        _rig.ObserveTransfers();

        foreach (var sequence in idle)
        {
            Move(stalled, sequence);
        }

        // Nothing of what moved behind the stalled step will be observed. Of 16 blocks, the client keeps those that it may pin, and little more.
        _rig.Accept(other.Lane, (other.Create(), 8 * 4));
    }

    [Fact]
    public void Cleans_are_limited_by_what_the_client_may_pin_until_they_are_observed()
    {
        var client = Party.Open(_rig, maxPinnedBlocks: 4);
        var (live, idle) = (client.Create(), client.CreateIdle(4));
        _rig.Accept(client.Lane, (live, 4));

        // The copy of what a live step writes waits for its end, and the copies after it stand behind that one.
        Assert.Equal((1, 2), (_rig.Engine.Transfers.Clean(client.Lane, live), _rig.Engine.Transfers.Clean(client.Lane, idle)));

        Assert.Equal(4 * EngineRig.BlockBytes, client.Client.LiveBytes);
        _rig.ObserveAll();
        Assert.Equal((0L, 2), (client.Client.LiveBytes, _rig.Engine.Transfers.Clean(client.Lane, idle)));
    }

    [Fact]
    public void Evictions_are_limited_by_what_the_client_may_pin_until_the_bytes_are_free()
    {
        var client = Party.Open(_rig, maxPinnedBlocks: 4);
        var (live, idle) = (client.Create(), client.CreateIdle(4));
        _rig.Accept(client.Lane, (live, 4));

        Assert.Equal(3, _rig.Engine.Transfers.Evict(client.Lane, idle));

        _rig.ObserveAll();
        Assert.Equal(1, _rig.Engine.Transfers.Evict(client.Lane, idle));
    }

    [Fact]
    public void Blocks_given_up_for_a_tenants_maximum_are_limited_by_what_the_client_may_pin_until_their_bytes_are_free()
    {
        var tenant = _rig.Engine.OpenTenant(new TenantLimits(MaxBytes: 6 * EngineRig.BlockBytes));
        var client = Party.Open(_rig, maxPinnedBlocks: 5, tenant: tenant);
        client.CreateIdle(2);
        var live = client.CreateIdle(4);
        _rig.Accept(client.Lane, (live, 0));

        Assert.Equal(KvStepStatus.Busy, _rig.Begin(client.Lane, (client.Create(), 2 * 4)));
        Assert.InRange(client.Client.LiveBytes + _rig.Engine.State.Pool.PendingBytesOf(client.Lane.Number), 0, client.Client.MaxPinnedBytes);

        _rig.ObserveAll();
        _rig.ObserveAll();
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(client.Lane, 4));
    }

    [Fact]
    public void What_has_left_sliding_windows_is_given_up_as_far_as_the_client_may_pin_it_until_it_is_free()
    {
        var client = Party.Open(_rig, EngineRig.Layout(window: 4), maxPinnedBlocks: 4);
        var (live, sequence) = (client.CreateIdle(2), client.CreateIdle(4));
        _rig.Accept(client.Lane, (live, 0));

        Assert.Equal(KvStepStatus.Busy, _rig.Begin(client.Lane, (sequence, 4)));
        Assert.Equal(2, _rig.Counters.EvictedBlocks);

        _rig.ObserveAll();
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(client.Lane, 4));
    }

    [Fact]
    public void A_window_of_units_is_emptied_for_a_block_of_it_only_if_the_client_may_pin_all_that_waits_for_it()
    {
        // Blocks of 2,560 bytes come in segments of eight of the others.
        var client = Party.Open(_rig, maxPinnedBlocks: 8);
        var large = _rig.Register(client.Client, EngineRig.Layout(blockBytes: 2560));
        client.CreateIdle(8);
        client.CreateIdle(7);
        _rig.Accept(client.Lane, (client.Create(), 4));

        Assert.Equal(KvStepStatus.Busy, _rig.Begin(client.Lane, (_rig.Create(client.Client, large), 4)));
        Assert.Equal(0, _rig.Counters.EvictedBlocks);

        _rig.ObserveAll();
        Assert.Equal((KvStepStatus.Accepted, 8L), (CacheEngine.StatusOf(client.Lane, 4), _rig.Counters.EvictedBlocks));
    }

    [Fact]
    public void Compaction_leaves_a_block_whose_old_bytes_would_wait_for_a_client_that_may_pin_no_more()
    {
        var rig = new EngineRig(poolBlocks: 8, compaction: long.MaxValue);
        var client = Party.Open(rig, maxPinnedBlocks: 2);
        var sequences = Enumerable.Range(0, 8).Select(_ => client.CreateIdle(1)).ToArray();
        foreach (var i in new[] { 1, 2, 3, 5, 6, 7 })
        {
            rig.Engine.Sequences.Free(client.Client, sequences[i]);
        }

        Assert.Equal((1, 1), (rig.Engine.Transfers.Clean(client.Lane, sequences[0]), rig.Engine.Transfers.Clean(client.Lane, sequences[4])));
        rig.Engine.Compact();
        rig.Engine.Turn();
        Assert.Equal(0, rig.Counters.CompactedBlocks);

        rig.ObserveTransfers();
        rig.Engine.Compact();
        rig.Engine.Turn();
        Assert.Equal(1, rig.Counters.CompactedBlocks);
    }

    [Fact]
    public void A_stalled_step_that_was_refused_pins_nothing_that_another_could_wait_for()
    {
        var rig = new EngineRig(poolBlocks: 16, coldBlocks: 0);
        var (stalled, other) = (Party.Open(rig), Party.Open(rig));
        other.CreateIdle(10);
        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(stalled.Lane, (stalled.Create(), 17 * 4)));
        rig.ObserveTransfers();

        Assert.Equal(KvStepStatus.NoRoom, rig.Begin(other.Lane, (other.Create(), 10 * 4)));
    }

    [Fact]
    public void A_step_over_its_own_clients_share_does_not_wait_for_another_client()
    {
        var rig = new EngineRig(poolBlocks: 16, rows: 8);
        var (stalled, other) = (Party.Open(rig), Party.Open(rig, EngineRig.Layout(blockBytes: 256), maxPinnedRowBytes: 2 * Row));
        var growing = other.CreateIdle(RowHeap.LineEntries);
        rig.Accept(stalled.Lane, (stalled.Create(), 4));

        // The row that it has, and one twice as long.
        Assert.Equal(KvStepStatus.NoRoom, rig.Begin(other.Lane, (growing, 4)));
    }

    [Fact]
    public void A_step_for_which_its_client_gives_up_clean_blocks_out_of_sight_is_served_although_nothing_is_under_way()
    {
        var client = Party.Open(_rig, EngineRig.Layout(window: 4), maxPinnedBlocks: 4);
        var sequence = client.CreateIdle(4);
        _rig.Engine.Transfers.Clean(client.Lane, sequence);
        _rig.ObserveTransfers();

        Assert.Equal(KvStepStatus.Busy, _rig.Begin(client.Lane, (sequence, 4)));

        _rig.Engine.Turn();
        Assert.Equal((KvStepStatus.Accepted, 3L), (CacheEngine.StatusOf(client.Lane, 2), _rig.Counters.EvictedBlocks));
    }

    [Fact]
    public void More_rows_than_the_heap_has_never_fit()
    {
        var rig = new EngineRig(poolBlocks: 16, rows: 2);
        var (live, client) = (Party.Open(rig), Party.Open(rig));
        rig.Accept(live.Lane, (live.Create(), 4));
        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(client.Lane, (client.Create(), 4), (client.Create(), 4), (client.Create(), 4)));
    }

    [Fact]
    public void What_is_cleaned_ahead_of_need_takes_no_slot_of_a_block_that_is_as_clean()
    {
        // Cold memory of four units: three slots of 2,560 bytes take two, one of 4,096 another, so there is none for a fourth.
        var rig = new EngineRig(poolBlocks: 32, coldBlocks: 16, cleanAhead: 1);
        var (large, small) = (Party.Open(rig, EngineRig.Layout(blockBytes: EngineRig.UnitBytes)), Party.Open(rig, EngineRig.Layout(blockBytes: 2560)));
        large.CreateIdle(1);
        small.CreateIdle(6);

        for (var turn = 0; turn < 20; turn++)
        {
            rig.ObserveTransfers();
        }

        Assert.Equal(4, rig.Counters.CleanedBlocks);
    }

    private int Prefetch(Party client, Sequences.SequenceHandle sequence) => _rig.Engine.Transfers.Prefetch(client.Lane, sequence);

    private int Move(Party client, Sequences.SequenceHandle sequence) => _rig.Engine.Transfers.Move(client.Lane, sequence, 0, 16, background: false);
}
