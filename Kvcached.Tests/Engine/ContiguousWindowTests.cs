using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Sequences;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>Contiguous windows. A token has 256 bytes, so that a unit is a window of 16 tokens, and 4 blocks.</summary>
public partial class ContiguousWindowTests
{
    private const int Unit = EngineRig.UnitBytes;

    [Fact]
    public void The_first_step_gathers_what_there_is_after_the_step_that_writes_it()
    {
        var (rig, lane) = Open(units: 4);
        var sequence = rig.Create();
        rig.Accept(lane, (sequence, 6));
        rig.Engine.Sequences.OpenWindow(rig.Client, sequence, 0);

        var publish = Assert.Single(rig.Accept(lane, (sequence, 1)));

        Assert.Equal(lane.EndOf(1), publish.WaitFor(WaitReason.GatherAfterWriter));
        Assert.Equal(CommandKind.Launch, publish.Commands[^1].Kind);
        Assert.Equal(0u, FirstOf(lane, 2));
        Assert.Equal(Unit, rig.Engine.State.WindowBytes);
        Assert.Equal(6 * 256, rig.Counters.BytesGathered);
    }

    [Fact]
    public void Steps_after_it_gather_nothing_and_wait_for_nothing()
    {
        var (rig, lane) = Open(units: 4);
        var sequence = OpenWindow(rig, lane, tokens: 6);
        var window = AddressOf(lane, lane.Planned);

        var publish = Assert.Single(rig.Accept(lane, (sequence, 1)));

        Assert.Empty(publish.Waits);
        Assert.Empty(publish.Of(CommandKind.Launch));
        Assert.Equal(window, AddressOf(lane, lane.Planned));
    }

    [Fact]
    public void A_step_without_windows_has_no_addresses()
    {
        var (rig, lane) = Open(units: 4);
        var windowed = OpenWindow(rig, lane, tokens: 6);
        Assert.NotEqual(0ul, AddressOf(lane, lane.Planned));
        for (var step = 0; step < lane.Depth + 1; step++)
        {
            rig.ObserveAll();
            rig.Accept(lane, (rig.Create(), 1), (windowed, 0));

            Assert.Equal(0ul, AddressOf(lane, lane.Planned));
            Assert.NotEqual(0ul, AddressOf(lane, lane.Planned, item: 1));
        }
    }

    [Fact]
    public void A_window_grows_where_it_lies_and_gathers_nothing_for_it()
    {
        var (rig, lane) = Open(units: 8);
        var sequence = OpenWindow(rig, lane, tokens: 12, hasLowerHalf: true);
        var window = AddressOf(lane, lane.Planned);

        var publish = Assert.Single(rig.Accept(lane, (sequence, 5)));

        Assert.Equal((1, 0), (rig.Counters.WindowsGrown, rig.Counters.WindowsMoved));
        Assert.Equal(window, AddressOf(lane, lane.Planned));
        Assert.Empty(publish.Of(CommandKind.Launch));
        Assert.Equal(2 * Unit, rig.Engine.State.WindowBytes);
    }

    [Fact]
    public void A_window_that_cannot_grow_where_it_lies_is_gathered_into_a_larger_run()
    {
        var (rig, lane) = Open(units: 8);
        var sequence = OpenWindow(rig, lane, tokens: 12, hasLowerHalf: true);
        var window = AddressOf(lane, lane.Planned);
        BlockNeighbour(rig, window);
        var last = rig.StateOf(sequence).LastStep;

        var publish = rig.Accept(lane, (sequence, 5))[^1];

        Assert.Equal((0, 1), (rig.Counters.WindowsGrown, rig.Counters.WindowsMoved));
        Assert.NotEqual(window, AddressOf(lane, lane.Planned));
        Assert.Equal(0ul, (AddressOf(lane, lane.Planned) - rig.Pool.Address) % (2 * Unit));
        Assert.Equal(0u, FirstOf(lane, lane.Planned));
        Assert.Equal(last, publish.WaitFor(WaitReason.GatherAfterWriter));
        Assert.Single(publish.Of(CommandKind.Launch));
        Assert.Equal(2 * Unit, rig.Engine.State.WindowBytes);
    }

    [Fact]
    public void Where_no_larger_run_is_free_blocks_behind_a_window_are_evicted_for_it()
    {
        var (rig, lane) = Open(units: 8);
        var sequence = OpenWindow(rig, lane, tokens: 12, hasLowerHalf: true);
        var window = AddressOf(lane, lane.Planned);
        var neighbour = BlockNeighbour(rig, window, fillsPool: true);

        rig.Accept(lane, (sequence, 5));

        Assert.Equal((1, 0), (rig.Counters.WindowsGrown, rig.Counters.WindowsMoved));
        Assert.Equal(window, AddressOf(lane, lane.Planned));
        Assert.Equal(0, rig.StateOf(neighbour).ResidentBytes);
    }

    [Fact]
    public void Bytes_that_a_window_has_left_wait_for_the_steps_that_read_them()
    {
        var (rig, lane) = Open(units: 8);
        var sequence = OpenWindow(rig, lane, tokens: 12, hasLowerHalf: true);
        BlockNeighbour(rig, AddressOf(lane, lane.Planned));
        var live = rig.StateOf(sequence).LastStep;
        rig.ObserveTransfers();

        rig.Accept(lane, (sequence, 5));
        Assert.True(rig.Engine.State.Pool.HasPending);
        rig.ObserveTransfers();
        Assert.True(rig.Engine.State.Pool.HasPending);

        rig.Observe(live);
        Assert.False(rig.Engine.State.Pool.HasPending);
    }

    [Fact]
    public void What_is_gathered_waits_for_steps_that_read_the_bytes()
    {
        var (rig, lane) = Open(units: 2, coldBlocks: 0);
        var before = rig.Create();
        rig.Accept(lane, (before, 16));
        rig.ObserveTransfers();
        var sequence = rig.Create();
        rig.Accept(lane, (sequence, 6));
        rig.Engine.Sequences.Free(rig.Client, before);
        rig.Engine.Sequences.OpenWindow(rig.Client, sequence, 0);

        var publish = rig.Accept(lane, (sequence, 0))[^1];

        Assert.Equal([WaitReason.GatherAfterWriter, WaitReason.GatherAfterReaders], publish.Reasons);
        Assert.Equal(lane.EndOf(1), publish.WaitFor(WaitReason.GatherAfterReaders));
        Assert.Equal(lane.EndOf(2), publish.WaitFor(WaitReason.GatherAfterWriter));
    }

    [Fact]
    public void Units_that_a_copy_still_reads_are_waited_for_by_the_step_that_grows_into_them()
    {
        var (rig, lane) = Open(units: 8);
        var sequence = OpenWindow(rig, lane, tokens: 12, hasLowerHalf: true);
        rig.Engine.Transfers.Evict(lane, BlockNeighbour(rig, AddressOf(lane, lane.Planned)));
        var copy = Assert.Single(rig.Take(), submission => submission.Signal.Kind == TimelineKind.Out);

        var publish = rig.Accept(lane, (sequence, 5))[^1];

        Assert.Equal(1, rig.Counters.WindowsGrown);
        Assert.Equal(copy.Signal, publish.WaitFor(WaitReason.NewBlockAfterCopyOut));
    }

    [Fact]
    public void What_a_window_has_grown_into_and_no_step_has_used_keeps_its_frontier()
    {
        var (rig, lane) = Open(units: 8);
        var sequence = OpenWindow(rig, lane, tokens: 12, hasLowerHalf: true);
        rig.Engine.Transfers.Evict(lane, BlockNeighbour(rig, AddressOf(lane, lane.Planned)));
        var copy = Assert.Single(rig.Take(), submission => submission.Signal.Kind == TimelineKind.Out);
        var other = rig.Engine.OpenClient();
        rig.Accept(rig.OpenLane(other), (rig.Create(other, rig.Register(other, EngineRig.Layout())), 48));
        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (sequence, 5), (rig.Create(), 64)));
        Assert.Equal((1, 2 * Unit), (rig.Counters.WindowsGrown, rig.Engine.State.WindowBytes));
        var bytes = rig.Engine.State.Blocks[rig.StateOf(sequence).Rows[0].Window!.Block].Device;

        rig.Engine.Transfers.Evict(lane, sequence);

        Assert.Contains(copy.Signal, rig.Engine.State.Pool.FrontierOf(bytes).ToArray());
    }

    [Fact]
    public void A_truncate_gives_upper_halves_back_and_the_window_grows_into_them_again()
    {
        var (rig, lane) = Open(units: 8);
        var sequence = OpenWindow(rig, lane, tokens: 40);
        var window = AddressOf(lane, lane.Planned);
        Assert.Equal(4 * Unit, rig.Engine.State.WindowBytes);
        rig.Take();

        rig.Engine.Sequences.Truncate(rig.Client, sequence, 10);

        Assert.Equal(Unit, rig.Engine.State.WindowBytes);
        Assert.Equal(3 * EngineRig.BlockBytes + Unit, rig.Engine.State.Pool.UsedBytes);
        Assert.True(rig.Engine.State.Pool.HasPending);
        var publish = rig.Accept(lane, (sequence, 20))[^1];
        Assert.Equal(window, AddressOf(lane, lane.Planned));
        Assert.Equal(2 * Unit, rig.Engine.State.WindowBytes);
        Assert.Empty(publish.Of(CommandKind.Launch));
        Assert.Equal(10u, FirstOf(lane, lane.Planned));
    }

    [Fact]
    public void The_upper_halves_that_a_truncate_gives_back_wait_for_the_steps_that_read_them()
    {
        var (rig, lane) = Open(units: 8);
        var sequence = OpenWindow(rig, lane, tokens: 40);
        var pool = rig.Engine.State.Pool;
        var start = rig.Engine.State.Blocks[rig.StateOf(sequence).Rows[0].Window!.Block].Device.Segment;

        rig.Engine.Sequences.Truncate(rig.Client, sequence, 10);

        foreach (var half in new[] { start + 1, start + 2 })
        {
            Assert.Equal((true, false), (pool.IsUsableBy(pool.Units[half], lane.Number), pool.IsUsableBy(pool.Units[half], lane.Number + 1)));
        }

        rig.ObserveAll();
        Assert.All([start + 1, start + 2], half => Assert.True(pool.IsUsableBy(pool.Units[half], lane.Number + 1)));
    }

    [Fact]
    public void A_truncate_to_nothing_gives_all_of_it_back()
    {
        var (rig, lane) = Open(units: 4);
        var sequence = OpenWindow(rig, lane, tokens: 6);

        rig.Engine.Sequences.Truncate(rig.Client, sequence, 0);
        rig.ObserveAll();

        Assert.Equal(0, rig.Engine.State.Pool.UsedBytes);
        Assert.Equal(0, rig.Engine.Sequences.WindowBytes(rig.Client, sequence, 0));
        rig.Accept(lane, (sequence, 4));
        Assert.NotEqual(0ul, AddressOf(lane, lane.Planned));
    }

    [Fact]
    public void What_makes_no_sense_is_told()
    {
        var (rig, lane) = Open(units: 4);
        var sequence = rig.Create();
        var sliding = rig.Create(model: rig.Register(rig.Client, EngineRig.Layout(window: 8)));

        Expect(KvError.InvalidArgument, () => rig.Engine.Sequences.OpenWindow(rig.Client, sequence, 1));
        Expect(KvError.InvalidArgument, () => rig.Engine.Sequences.OpenWindow(rig.Client, sequence, -1));
        Expect(KvError.InvalidArgument, () => rig.Engine.Sequences.OpenWindow(rig.Client, sliding, 0));
        Expect(KvError.InvalidArgument, () => rig.Engine.Sequences.CloseWindow(rig.Client, sequence, 0));
        Expect(KvError.InvalidArgument, () => rig.Engine.Sequences.WindowBytes(rig.Client, sequence, 0));
        rig.Engine.Sequences.OpenWindow(rig.Client, sequence, 0);
        Expect(KvError.InvalidArgument, () => rig.Engine.Sequences.OpenWindow(rig.Client, sequence, 0));
        var before = rig.Snapshot();
        Expect(KvError.InvalidArgument, () => rig.Begin(rig.OpenLane(), (sequence, 1)));
        Assert.StartsWith(before, rig.Snapshot(), StringComparison.Ordinal);
        Expect(KvError.ForeignHandle, () => rig.Engine.Sequences.OpenWindow(rig.Engine.OpenClient(), sequence, 0));
        rig.Accept(lane, (sequence, 1));
        Expect(KvError.InvalidArgument, () => rig.Engine.Kernels.WindowArguments(lane, lane.Begun + 1, 0));
        Expect(KvError.InvalidArgument, () => rig.Engine.Kernels.WindowArguments(lane, lane.Begun, 1));
        rig.Engine.Sequences.Free(rig.Client, sequence);
        Expect(KvError.StaleHandle, () => rig.Engine.Sequences.CloseWindow(rig.Client, sequence, 0));
    }

    private static void Expect(KvError error, Action action) => Assert.Equal(error, Assert.Throws<KvException>(action).Error);

    private static (EngineRig Rig, LaneState Lane) Open(int units, int coldBlocks = 64, long compaction = 0)
    {
        var rig = new EngineRig(poolBlocks: units * Unit / EngineRig.BlockBytes, coldBlocks: coldBlocks, compaction: compaction);
        return (rig, rig.OpenLane(depth: 16, windows: true));
    }

    /// <summary>A sequence with tokens and a window, both of one live step; where asked for, the window's buddy is the upper half.</summary>
    private static SequenceHandle OpenWindow(EngineRig rig, LaneState lane, int tokens, bool hasLowerHalf = false)
    {
        if (hasLowerHalf)
        {
            // The window has unit 2, the blocks unit 1.
            rig.Accept(lane, (rig.Create(), 16));
            rig.Accept(lane, (rig.Create(), 4));
        }

        var sequence = rig.Create();
        rig.Engine.Sequences.OpenWindow(rig.Client, sequence, 0);
        rig.Accept(lane, (sequence, tokens));
        return sequence;
    }

    /// <summary>Lets blocks of a sequence whose steps have ended have the units behind a window; others are free, unless the pool is to stay full.</summary>
    private static SequenceHandle BlockNeighbour(EngineRig rig, ulong window, bool fillsPool = false)
    {
        var lane = rig.OpenLane(depth: 16);
        var behind = ((long)(window - rig.Pool.Address) / Unit) + 1;
        var fillers = new List<SequenceHandle>();
        do
        {
            fillers.Add(rig.Create());
            rig.Accept(lane, (fillers[^1], 16));
        }
        while (rig.OffsetOf(fillers[^1], 0) / Unit != behind);

        foreach (var filler in fillers.SkipLast(1).Where(_ => !fillsPool))
        {
            rig.Engine.Sequences.Free(rig.Client, filler);
        }

        rig.ObserveTransfers();
        rig.ObserveEnd(lane, lane.Planned);
        return fillers[^1];
    }

    private static ulong AddressOf(LaneState lane, ulong step, int item = 0) => lane.Windows!.StagedAddresses(step, 0)[item];

    private static uint FirstOf(LaneState lane, ulong step) => lane.Windows!.StagedFirst(step, 0)[0];
}
