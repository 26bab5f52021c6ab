using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Sequences;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>Compaction in flight. A segment has 4 blocks.</summary>
public partial class CompactionTests
{
    private const int Background = 0;
    private const long Plenty = 1 << 20;

    [Fact]
    public void Sparse_segments_of_a_client_that_stalls_keep_none_of_others_from_being_emptied()
    {
        const int Stalled = 40;
        var rig = new EngineRig(poolBlocks: 256, rows: 1024, maxSequences: 512, compaction: Plenty);
        var other = rig.Engine.OpenClient();
        var model = rig.Register(other, EngineRig.Layout());
        var lane = rig.OpenLane(other, maxBatch: Stalled * 4);
        var theirs = Enumerable.Range(0, Stalled * 4).Select(_ => rig.Create(other, model)).ToArray();
        rig.Accept(lane, [.. theirs.Select(sequence => (sequence, 3))]);
        Scatter(rig, segments: 4);
        var kept = theirs.GroupBy(sequence => rig.OffsetOf(sequence, 0) / EngineRig.UnitBytes).Select(segment => segment.First()).ToArray();
        foreach (var sequence in theirs.Except(kept))
        {
            rig.Engine.Sequences.Free(other, sequence);
        }

        rig.Accept(lane, [.. kept.Select(sequence => (sequence, 1))]);
        rig.Engine.Compact();
        for (var turn = 0; turn < 8; turn++)
        {
            rig.ObserveTransfers();
        }

        Assert.Equal(2, rig.Counters.CompactedSegments);
    }

    [Fact]
    public void Survivors_of_two_segments_come_to_lie_in_one()
    {
        var rig = new EngineRig(poolBlocks: 8, compaction: Plenty);
        var (_, kept) = Scatter(rig);

        rig.Engine.Compact();
        rig.Engine.Turn();

        var move = Assert.Single(rig.Take());
        Assert.Equal(Background, move.Queue);
        Assert.Empty(move.Waits);
        Assert.Equal(2, move.Commands.Length);
        Assert.All(move.Commands, command => Assert.True(command.IsCopy(rig.Pool, rig.Pool)));
        Assert.Single(SegmentsOf(rig, kept));
        Assert.Equal((2, 1), (rig.Counters.CompactedBlocks, rig.Counters.CompactedSegments));
        Assert.Equal(0, rig.Counters.MovedBlocks);
    }

    [Fact]
    public void Survivors_of_more_segments_than_a_pass_looks_at_come_to_lie_as_close()
    {
        const int Segments = 72;
        var rig = new EngineRig(poolBlocks: 4 * Segments, rows: 8 * Segments, maxSequences: 4 * Segments, compaction: Plenty);
        var lane = rig.OpenLane(depth: 8, maxBatch: Segments);
        var all = Enumerable.Range(0, 4 * Segments).Select(_ => rig.Create()).ToArray();
        foreach (var batch in all.Chunk(Segments))
        {
            rig.Accept(lane, [.. batch.Select(sequence => (sequence, EngineRig.TokensPerBlock))]);
            rig.ObserveAll();
        }

        var kept = all.Where((_, i) => i % 4 == 0).ToArray();
        foreach (var sequence in all.Except(kept))
        {
            rig.Engine.Sequences.Free(rig.Client, sequence);
        }

        rig.Engine.Compact();
        for (var turn = 0; turn < 16; turn++)
        {
            rig.ObserveAll();
        }

        Assert.Equal(Segments / 4, SegmentsOf(rig, kept).Count());
    }

    [Fact]
    public void A_pool_that_could_not_be_denser_is_left_alone()
    {
        var rig = new EngineRig(poolBlocks: 8, compaction: Plenty);
        Scatter(rig);
        rig.Engine.Compact();
        rig.ObserveAll();
        rig.ObserveAll();
        rig.Take();

        rig.Engine.Compact();
        rig.ObserveAll();

        Assert.Empty(rig.Take());
        Assert.Equal(2, rig.Counters.CompactedBlocks);
    }

    [Fact]
    public void A_live_step_goes_on_reading_the_old_bytes_and_the_next_one_gets_a_fresh_row()
    {
        var rig = new EngineRig(poolBlocks: 8, compaction: Plenty);
        var (lane, kept) = Scatter(rig);
        var old = kept.Select(sequence => rig.OffsetOf(sequence, 0)).ToArray();
        rig.Accept(lane, [.. kept.Select(sequence => (sequence, 0))]);
        var live = lane.Planned;
        var rows = kept.Select(sequence => rig.StateOf(sequence).Rows[0].Start).ToArray();
        rig.Engine.Compact();
        rig.ObserveTransfers();
        var moved = Array.FindIndex(kept, sequence => rig.OffsetOf(sequence, 0) != old[Array.IndexOf(kept, sequence)]);
        Assert.True(moved >= 0);
        Assert.True(rig.Engine.State.Pool.HasPending);

        // The view of the live step covers the old entry.
        var publish = rig.Accept(lane, (kept[moved], 0)).Last();

        Assert.NotEqual(rows[moved], rig.StateOf(kept[moved]).Rows[0].Start);
        Assert.NotEmpty(publish.Entries);
        Assert.False(rig.Engine.State.Timelines.IsObserved(lane.EndOf(live)));
    }

    [Fact]
    public void A_block_whose_writer_is_live_keeps_its_segment()
    {
        var rig = new EngineRig(poolBlocks: 8, compaction: Plenty);
        var (lane, kept) = Scatter(rig, tokens: 3);
        rig.Accept(lane, [.. kept.Select(sequence => (sequence, 1))]);
        rig.Engine.Compact();
        rig.ObserveTransfers();
        Assert.Empty(rig.Take());
        Assert.Equal(2, SegmentsOf(rig, kept).Count());

        rig.Engine.Compact();
        rig.ObserveEnd(lane, lane.Planned);

        Assert.Single(SegmentsOf(rig, kept));
    }

    [Fact]
    public void A_block_that_is_being_reloaded_keeps_its_segment()
    {
        var rig = new EngineRig(poolBlocks: 8, compaction: Plenty);
        var (lane, kept) = Scatter(rig);
        foreach (var sequence in kept)
        {
            rig.Engine.Transfers.Evict(lane, sequence);
        }

        rig.ObserveAll();
        var fillers = kept[1..3].Select(_ => rig.Create()).ToArray();
        rig.Accept(lane, (fillers[0], 12));
        rig.Engine.Transfers.Prefetch(lane, kept[0]);
        rig.Engine.Transfers.Prefetch(lane, kept[1]);
        rig.Engine.Sequences.Free(rig.Client, fillers[0]);
        rig.ObserveEnd(lane, lane.Planned);
        rig.Take();
        rig.Engine.Compact();
        rig.Engine.Turn();
        Assert.Equal(0, rig.Counters.CompactedBlocks);

        rig.Engine.Compact();
        rig.ObserveTransfers();

        Assert.Equal(1, rig.Counters.CompactedBlocks);
    }

    [Fact]
    public void What_is_empty_and_waits_for_steps_is_nothing_to_compact()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var (lane, kept) = Scatter(rig);
        Assert.Equal((1, 1), (rig.Engine.State.Pool.WastedUnits, rig.Engine.State.Pool.SparseUnits));

        rig.Accept(lane, [.. kept.Select(sequence => (sequence, 0))]);
        foreach (var sequence in kept[..2])
        {
            rig.Engine.Sequences.Free(rig.Client, sequence);
        }

        Assert.Equal((1, 0), (rig.Engine.State.Pool.WastedUnits, rig.Engine.State.Pool.SparseUnits));
    }

    [Fact]
    public void A_pass_keeps_to_its_budget_and_the_next_one_goes_on()
    {
        var rig = new EngineRig(poolBlocks: 16, compaction: 1);
        var (_, kept) = Scatter(rig, segments: 4);
        rig.Engine.Compact();
        rig.Engine.Turn();
        Assert.Equal(1, rig.Counters.CompactedSegments);

        rig.Engine.Turn();
        Assert.Equal(1, rig.Counters.CompactedSegments);

        rig.ObserveAll();
        rig.ObserveAll();
        Assert.Equal(2, SegmentsOf(rig, kept).Count());
    }

    [Fact]
    public void What_comes_free_above_the_floor_loses_its_memory_once_it_has_been_observed()
    {
        var rig = new EngineRig(poolBlocks: 16, floorBlocks: 4, compaction: Plenty);
        Scatter(rig, segments: 4);
        rig.Engine.Trim();
        rig.Engine.Turn();
        Assert.Empty(rig.DiscardedBlocks);

        for (var turn = 0; turn < 4; turn++)
        {
            rig.ObserveAll();
        }

        Assert.Equal(8, rig.DiscardedBlocks.Sum(range => range.Count));
        Assert.Equal(8 * EngineRig.BlockBytes, rig.Engine.State.Pool.PresentBytes);
    }

    [Fact]
    public void What_steps_in_flight_read_loses_its_memory_once_they_have_ended()
    {
        var rig = new EngineRig(poolBlocks: 16, floorBlocks: 4, compaction: Plenty);
        var (lane, kept) = Scatter(rig, segments: 4);
        rig.Accept(lane, [.. kept.Select(sequence => (sequence, 0))]);
        rig.Engine.Trim();
        for (var turn = 0; turn < 4; turn++)
        {
            rig.ObserveTransfers();
        }

        Assert.Equal(2, rig.Counters.CompactedSegments);
        Assert.Empty(rig.DiscardedBlocks);

        rig.ObserveEnd(lane, lane.Planned);

        Assert.Equal(8, rig.DiscardedBlocks.Sum(range => range.Count));
    }

    [Fact]
    public void Memory_that_was_given_back_comes_again_with_need()
    {
        var rig = new EngineRig(poolBlocks: 16, floorBlocks: 4, compaction: Plenty);
        var (lane, _) = Scatter(rig, segments: 4);
        rig.Engine.Trim();
        for (var turn = 0; turn < 4; turn++)
        {
            rig.ObserveAll();
        }

        var before = rig.PopulatedBlocks.Length;
        rig.Accept(lane, (rig.Create(), 32));

        Assert.Equal(0, rig.Counters.EvictedBlocks);
        Assert.Equal(rig.DiscardedBlocks.Order(), rig.PopulatedBlocks[before..].Order());
        Assert.Equal(16 * EngineRig.BlockBytes, rig.Engine.State.Pool.PresentBytes);
    }

    /// <summary>Fills segments with sequences of one block, and frees every other: each segment is half empty.</summary>
    private static (LaneState Lane, SequenceHandle[] Kept) Scatter(EngineRig rig, int segments = 2, int tokens = EngineRig.TokensPerBlock)
    {
        var lane = rig.OpenLane(depth: 8, maxBatch: 24);
        var all = Enumerable.Range(0, segments * EngineRig.UnitBytes / EngineRig.BlockBytes).Select(_ => rig.Create()).ToArray();
        rig.Accept(lane, [.. all.Select(sequence => (sequence, tokens))]);
        rig.ObserveAll();
        var kept = all.Where((_, i) => i % 2 == 0).ToArray();
        foreach (var sequence in all.Except(kept))
        {
            rig.Engine.Sequences.Free(rig.Client, sequence);
        }

        rig.ObserveAll();
        rig.Take();
        return (lane, kept);
    }

    private static void Clean(EngineRig rig, LaneState lane, params SequenceHandle[] sequences)
    {
        foreach (var sequence in sequences)
        {
            Assert.Equal(1, rig.Engine.Transfers.Clean(lane, sequence));
        }

        rig.ObserveAll();
    }

    /// <summary>Begins a step of another layout that needs whole segments.</summary>
    private static void AskForSegment(EngineRig rig, LaneState lane, int segments = 1)
    {
        var large = rig.Register(rig.Client, EngineRig.Layout(blockBytes: EngineRig.UnitBytes));
        rig.Accept(lane, (rig.Create(model: large), segments * EngineRig.TokensPerBlock));
    }

    private static IEnumerable<long> SegmentsOf(EngineRig rig, SequenceHandle[] sequences) =>
        sequences.Where(sequence => rig.IsResident(sequence, 0)).Select(sequence => rig.OffsetOf(sequence, 0) / EngineRig.UnitBytes).Distinct();
}
