using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Sequences;
using Xunit;

namespace Kvcached.Tests.Engine;

// Windows beside blocks, other clients and steps that wait.
public partial class ContiguousWindowTests
{
    [Fact]
    public void Idle_windows_are_given_up_before_a_block_is_evicted_and_gathered_again()
    {
        var (rig, lane) = Open(units: 3);
        var sequence = OpenWindow(rig, lane, tokens: 6);
        rig.ObserveAll();

        rig.Accept(lane, (rig.Create(), 28));

        Assert.Equal((1, 0), (rig.Counters.WindowsDropped, rig.Counters.EvictedBlocks));
        Assert.Equal(0, rig.Engine.State.WindowBytes);
        rig.ObserveAll();
        rig.Accept(lane, (sequence, 1));
        Assert.NotEqual(0ul, AddressOf(lane, lane.Planned));
        Assert.Equal(0u, FirstOf(lane, lane.Planned));
    }

    [Fact]
    public void A_window_that_another_clients_live_step_reads_is_not_given_up()
    {
        var (rig, lane) = Open(units: 3, coldBlocks: 0);
        OpenWindow(rig, lane, tokens: 6);
        var other = rig.Engine.OpenClient();
        var model = rig.Register(other, EngineRig.Layout());

        Assert.Equal(KvStepStatus.Busy, rig.Begin(rig.OpenLane(other), (rig.Create(other, model), 28)));

        Assert.Equal(0, rig.Counters.WindowsDropped);
        rig.ObserveAll();
        Assert.Equal(1, rig.Counters.WindowsDropped);
    }

    [Fact]
    public void Units_of_a_window_are_emptied_for_a_larger_run_as_those_of_blocks_are()
    {
        var (rig, lane) = Open(units: 4);
        var large = rig.Create();
        rig.Accept(lane, (large, 32));
        var small = OpenWindow(rig, lane, tokens: 6);
        rig.ObserveAll();
        rig.Engine.Sequences.OpenWindow(rig.Client, large, 0);

        rig.Accept(lane, (large, 0));

        Assert.Equal(1, rig.Counters.WindowsDropped);
        Assert.Equal(2 * Unit, rig.Engine.State.WindowBytes);
        Assert.Equal(0, rig.Engine.Sequences.WindowBytes(rig.Client, small, 0));
    }

    [Fact]
    public void Compaction_leaves_windows_where_they_are()
    {
        var (rig, lane) = Open(units: 4, compaction: 1 << 20);
        var sequence = OpenWindow(rig, lane, tokens: 6);
        var window = AddressOf(lane, lane.Planned);
        rig.ObserveAll();
        rig.Take();
        rig.Engine.Compact();
        rig.ObserveAll();

        rig.Accept(lane, (sequence, 1));

        Assert.Equal(window, AddressOf(lane, lane.Planned));
        Assert.Equal(0, rig.Counters.CompactedBlocks);
    }

    [Fact]
    public void A_sequence_that_is_evicted_or_freed_keeps_no_window()
    {
        var (rig, lane) = Open(units: 4);
        var evicted = OpenWindow(rig, lane, tokens: 6);
        var freed = OpenWindow(rig, lane, tokens: 6);

        rig.Engine.Transfers.Evict(lane, evicted);
        rig.Engine.Sequences.Free(rig.Client, freed);
        rig.ObserveAll();

        Assert.Equal((0L, 0L, 0), (rig.Engine.State.Pool.UsedBytes, rig.Engine.State.WindowBytes, rig.Engine.State.Windows));
        rig.Accept(lane, (evicted, 1));
        Assert.Equal(Unit, rig.Engine.Sequences.WindowBytes(rig.Client, evicted, 0));
    }

    [Fact]
    public void A_window_that_is_closed_while_a_step_waits_serves_that_step_and_no_other()
    {
        var (rig, lane) = Open(units: 3, coldBlocks: 0);
        var sequence = OpenWindow(rig, lane, tokens: 6);
        var other = rig.Create();
        rig.Accept(lane, (other, 24));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (sequence, 10)));
        rig.Engine.Sequences.CloseWindow(rig.Client, sequence, 0);
        rig.Engine.Sequences.Free(rig.Client, other);

        rig.ObserveAll();

        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(lane, lane.Planned));
        Assert.NotEqual(0ul, AddressOf(lane, lane.Planned));
        Assert.Equal(0, rig.Engine.State.WindowBytes);
        rig.Accept(lane, (sequence, 0));
        Assert.Equal(0ul, AddressOf(lane, lane.Planned));
    }

    [Fact]
    public void A_window_that_is_opened_while_a_step_waits_gathers_what_that_step_writes()
    {
        var (rig, lane) = Open(units: 4, coldBlocks: 0);
        var sequence = rig.Create();
        rig.Accept(lane, (sequence, 4));
        var other = rig.Create();
        rig.Accept(lane, (other, 60));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (sequence, 12)));
        rig.Engine.Sequences.OpenWindow(rig.Client, sequence, 0);
        rig.Engine.Sequences.Free(rig.Client, other);
        rig.ObserveAll();
        Assert.Equal(0ul, AddressOf(lane, lane.Planned));
        var written = rig.StateOf(sequence).LastStep;
        Assert.Equal(16, rig.StateOf(sequence).Tokens);

        var publish = rig.Accept(lane, (sequence, 0))[^1];

        Assert.Equal(written, publish.WaitFor(WaitReason.GatherAfterWriter));
        Assert.Equal(16 * 256, rig.Counters.BytesGathered);
    }

    [Fact]
    public void A_step_whose_window_no_run_of_the_pool_can_hold_never_fits()
    {
        var (rig, lane) = Open(units: 6);
        var sequence = OpenWindow(rig, lane, tokens: 6);

        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(lane, (sequence, 60)));
        Assert.Equal(0ul, AddressOf(lane, lane.Planned));
    }

    [Fact]
    public void Windows_count_against_what_the_client_may_pin()
    {
        var (rig, _) = Open(units: 16);
        var client = rig.Engine.OpenClient(maxPinnedBytes: 3 * Unit);
        var lane = rig.OpenLane(client, windows: true);
        var model = rig.Register(client, EngineRig.Layout());
        var sequence = rig.Create(client, model);
        var other = rig.Create(client, model);
        rig.Engine.Sequences.OpenWindow(client, sequence, 0);
        rig.Engine.Sequences.OpenWindow(client, other, 0);
        rig.Accept(lane, (sequence, 16));
        Assert.Equal(2 * Unit, client.LiveBytes);

        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (other, 4)));
        rig.ObserveEnd(lane, 1);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(lane, 2));

        rig.ObserveAll();
        Assert.Equal(0, client.LiveBytes);
        Assert.Equal(KvStepStatus.NeverFits, rig.Begin(lane, (sequence, 16)));
    }

    [Fact]
    public void A_step_that_finds_no_room_for_its_window_is_busy_and_served_when_there_is()
    {
        var (rig, lane) = Open(units: 2, coldBlocks: 0);
        var other = rig.Engine.OpenClient();
        var otherLane = rig.OpenLane(other);
        var filler = rig.Create(other, rig.Register(other, EngineRig.Layout()));
        rig.Accept(otherLane, (filler, 16));
        var sequence = rig.Create();
        rig.Engine.Sequences.OpenWindow(rig.Client, sequence, 0);

        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (sequence, 4)));
        rig.Engine.Sequences.Free(other, filler);
        rig.ObserveAll();

        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(lane, 1));
        Assert.Equal(Unit, rig.Engine.State.WindowBytes);
    }

    [Fact]
    public void A_window_that_a_busy_step_was_given_goes_to_whoever_needs_room()
    {
        var (rig, lane) = Open(units: 3, coldBlocks: 0);
        var (filler, other) = (Party.Open(rig), Party.Open(rig, EngineRig.Layout(blockBytes: Unit)));
        rig.Accept(filler.Lane, (filler.Create(), 32));
        var sequence = rig.Create();
        rig.Engine.Sequences.OpenWindow(rig.Client, sequence, 0);
        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (sequence, 4)));
        Assert.Equal(Unit, rig.Engine.State.WindowBytes);
        for (var turn = 0; turn < RoomReservation.FirstPatience; turn++)
        {
            rig.Engine.Turn();
        }

        Assert.Equal(KvStepStatus.Accepted, rig.Begin(other.Lane, (other.Create(), 4)));

        Assert.Equal(0, rig.Engine.State.WindowBytes);
    }

    [Fact]
    public void A_window_that_can_grow_part_of_the_way_does_not_and_waits_no_more_than_it_had()
    {
        var (rig, lane) = Open(units: 16);
        var sequence = OpenWindow(rig, lane, tokens: 12, hasLowerHalf: true);
        var window = AddressOf(lane, lane.Planned);

        rig.Accept(lane, (sequence, 37));

        Assert.Equal((0, 1), (rig.Counters.WindowsGrown, rig.Counters.WindowsMoved));
        Assert.NotEqual(window, AddressOf(lane, lane.Planned));
        Assert.Equal(Unit, rig.Engine.State.Pool.PendingBytesOf(lane.Number));
    }
}
