using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Empties sparse segments into fuller ones of their layout, so that their units can serve another layout. Moves run on the background queue, from
/// writers that have been observed into bytes that have been observed (I3), while steps in flight go on reading the old bytes (I5); the emptied
/// segment is free with the union of its blocks' frontiers. What cannot move now (a tail whose writer is live, a block that is being reloaded) keeps its segment.
/// </summary>
internal sealed class Compactor(EngineState state, TransferLoop loop)
{
    /// <summary>Segments of a layout looked at for one that can be emptied.</summary>
    private const int CandidateBudget = 32;

    /// <summary>A background pass begins where this part of the pool, or more, would come free of it, and less than that is free.</summary>
    private const int WasteFraction = 8;

    private readonly Reservations _places = new();
    private (ulong Plan, int Layout) _failed;

    /// <summary>Whether passes have been asked for and the last one found something to do.</summary>
    public bool IsRequested { get; private set; }

    /// <summary>Asks for passes until one finds nothing to do. Where no bytes may be moved, there are none.</summary>
    public void Request() => IsRequested = state.Options.CompactionBytes > 0;

    /// <summary>One pass, within the byte budget, while the background queue is idle.</summary>
    public void Run()
    {
        var budget = state.Options.CompactionBytes;
        if (budget == 0 || !(IsRequested || IsWasteful()) || !state.IsBackgroundIdle)
        {
            return;
        }

        state.Pool.ReleaseEmpty();
        var emptied = false;
        for (var layout = 0; layout < state.Pool.Layouts; layout++)
        {
            while (budget > 0 && TryEmptySparsest(layout, ref budget))
            {
                emptied = true;
            }
        }

        IsRequested &= emptied;
        loop.Flush(null);
    }

    /// <summary>
    /// Makes a segment for a layout out of what others waste: empties the window of units with the fewest bytes to move, for a lane that may then
    /// use it enqueue-ahead. No budget holds back what a step waits for.
    /// </summary>
    public bool TryMakeSegment(int layout, LaneState lane)
    {
        var units = 1 << state.Pool.SegmentOrder(layout);
        if (state.Options.CompactionBytes == 0 || _failed == (state.Plan, layout) || state.Pool.FreeUnits + state.Pool.WastedUnits < units)
        {
            return false;
        }

        if (TryChooseWindow(layout, units, lane, out var start) && TryVacate(start, units))
        {
            loop.Flush(null);
            return state.Pool.TryCarveWindow(layout, start, lane.Number);
        }

        // What a plan has not found it looks for no more.
        _failed = (state.Plan, layout);
        return false;
    }

    private bool TryChooseWindow(int layout, int units, LaneState lane, out int start)
    {
        var best = long.MaxValue;
        start = -1;
        for (var first = 0; first + units <= state.Pool.Units.Count; first += units)
        {
            var cost = CostOf(first, units, layout, lane.Number, best);
            if (cost < best)
            {
                (best, start) = (cost, first);
            }
        }

        return start >= 0;
    }

    /// <summary>Bytes to move out of a window, or as much as the best one's or more if it is no better or cannot be emptied.</summary>
    private long CostOf(int first, int units, int layout, int lane, long best)
    {
        var cost = 0L;
        for (var unit = first; unit < first + units && cost < best; unit += state.Pool.Units[unit].Units)
        {
            var segment = state.Pool.Units[unit];
            if (segment.State == SegmentState.Interior
                || (segment.State == SegmentState.InUse && segment.Layout == layout)
                || !state.Pool.IsUsableBy(segment, lane))
            {
                return long.MaxValue;
            }

            if (segment.State == SegmentState.InUse && segment.Used > 0)
            {
                cost += segment.Used * state.Pool.BlockBytes(segment.Layout);
                if (cost < best && (segment.Used > state.Pool.FreeBlocks(segment.Layout) || !CanEmpty(segment, lane)))
                {
                    return long.MaxValue;
                }
            }
        }

        return cost;
    }

    private bool TryVacate(int start, int units)
    {
        for (var unit = start; unit < start + units; unit += state.Pool.Units[unit].Units)
        {
            var segment = state.Pool.Units[unit];
            if (segment.State == SegmentState.InUse && segment.Used > 0 && !TryEmpty(segment, start, units, leastUsed: 1, out _))
            {
                loop.Flush(null);
                return false;
            }
        }

        return true;
    }

    private bool IsWasteful() =>
        state.Pool.Layouts > 1
        && state.Pool.FreeUnits < state.Pool.Units.Count / WasteFraction
        && state.Pool.SparseUnits > state.Pool.Units.Count / WasteFraction;

    private bool TryEmptySparsest(int layout, ref long budget)
    {
        var looked = 0;
        Segment? sparsest = null;
        for (var segment = state.Pool.Sparsest(layout, after: null); segment is not null && looked++ < CandidateBudget; segment = state.Pool.Sparsest(layout, segment))
        {
            if (segment.Used > 0 && !(segment.Used >= sparsest?.Used) && CanEmpty(segment, Point.BackgroundLane))
            {
                sparsest = segment;
            }
        }

        // Only into segments that hold as much or more: what has been moved is not moved again for the same end.
        if (sparsest is null || !TryEmpty(sparsest, sparsest.StartUnit, sparsest.Units, leastUsed: sparsest.Used, out var bytes))
        {
            return false;
        }

        budget -= bytes;
        return true;
    }

    /// <summary>
    /// Whether every block of a segment can move now; for a lane, whether it may use the bytes that they leave. A plan counts on the entries of its own sequences.
    /// </summary>
    private bool CanEmpty(Segment segment, int lane)
    {
        var pinned = 0L;
        for (var i = 0; i < segment.Fresh; i++)
        {
            var use = segment.Uses[i];
            if (use.IsReserved)
            {
                return false;
            }

            if (!use.IsHeld)
            {
                continue;
            }

            ref var block = ref state.Blocks[use.Holder];
            var sequence = state.Sequences[block.Sequence];
            if (!CanMove(in block)
                || (!IsUsableBy(ref block, sequence, Point.BackgroundLane) && !RuleFaults.Is(RuleFault.CompactedBeyondLimit) && !state.CanPin(state.Clients[sequence.Client], pinned += state.Pool.BlockBytes(segment.Layout)))
                || (lane != Point.BackgroundLane && !((sequence.Plan != state.Plan || RuleFaults.Is(RuleFault.OwnPlanCompacted)) && IsUsableBy(ref block, sequence, lane))))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Whether a lane, or the background queue, may use a block's bytes when it has left them: else its client pins them, too.</summary>
    private bool IsUsableBy(ref BlockState block, SequenceState sequence, int lane) =>
        FrontierHome.Of(state.Tracker.BytesOf(ref block, sequence).Points, state.Timelines).IsUsableBy(lane);

    /// <summary>The background queue waits for no lane: writers have been observed.</summary>
    private bool CanMove(ref readonly BlockState block) => !block.IsWindow && (state.Timelines.IsObserved(block.Writer) || RuleFaults.Is(RuleFault.LiveWriterCompacted) || block.Writer.Lane == Point.BackgroundLane);

    /// <summary>Moves all blocks of a segment, or none, to places outside a window of units.</summary>
    private bool TryEmpty(Segment segment, int start, int units, int leastUsed, out long bytes)
    {
        bytes = segment.Used * state.Pool.BlockBytes(segment.Layout);
        _places.Clear();
        while (_places.BlockCount < segment.Used)
        {
            if (!state.Pool.TryAllocateOutside(segment.Layout, start, units, leastUsed, out var place, out var frontier))
            {
                if (!RuleFaults.Is(RuleFault.PlacesNotGivenBack))
                {
                    _places.GiveBack(state);
                }

                return false;
            }

            _places.AddBlock(place, frontier);
        }

        for (var i = 0; _places.HasBlock; i++)
        {
            if (segment.Uses[i].IsHeld)
            {
                var number = segment.Uses[i].Holder;
                ref readonly var frontier = ref _places.TakeBlock(out var place);
                loop.Move(state.Sequences[state.Blocks[number].Sequence], number, state.OpenBackground(), place, in frontier);
                state.Counters.CompactedBlocks++;
            }
        }

        state.Counters.CompactedSegments++;
        return true;
    }
}
