using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Walks the sequences in the policy's order and finds blocks whose bytes a lane may reuse enqueue-ahead: every point not yet observed is the
/// lane's own or the background's (I2), and the sequence is not one of the plan's.
/// </summary>
internal sealed class VictimSearch(EngineState state, ColdSlots coldSlots)
{
    private Cursor[] _cursors = [];

    private Cursor _windows;
    private bool _sparesOwn;

    /// <summary>Whether blocks of the plan's own sequences are victims too.</summary>
    public bool TakesOwn { get; set; }

    public void Begin(bool sparesOwn)
    {
        _sparesOwn = sparesOwn;
        TakesOwn = false;
        _cursors.AsSpan().Clear();
        _windows = default;
        while (state.Policy.First() is { ResidentBytes: 0 } empty)
        {
            state.Policy.Forget(empty);
        }
    }

    /// <summary>Finds the next victim of a layout. A plan sees every block at most once.</summary>
    public bool TryNext(int layout, LaneState lane, out SequenceState sequence, out int number)
    {
        if (layout >= _cursors.Length)
        {
            Array.Resize(ref _cursors, layout + 1);
        }

        ref var cursor = ref _cursors[layout];
        if (!cursor.Started)
        {
            cursor = new Cursor { Started = true, Sequence = state.Policy.First() };
        }

        while (cursor.Sequence is { } candidate)
        {
            if (TryNextOf(candidate, layout, lane, ref cursor, out number))
            {
                sequence = candidate;
                return true;
            }

            cursor = new Cursor { Started = true, Sequence = state.Policy.Next(candidate) };
        }

        (sequence, number) = (null!, 0);
        return false;
    }

    /// <summary>Finds the next contiguous window whose bytes the lane may use. A plan sees every one at most once.</summary>
    public bool TryNextWindow(LaneState lane, out SequenceState sequence, out int number)
    {
        if (state.WindowBytes > 0 && !_windows.Started)
        {
            _windows = new Cursor { Started = true, Sequence = state.Policy.First() };
        }

        for (; state.WindowBytes > 0 && _windows.Sequence is { } candidate; _windows = new Cursor { Started = true, Sequence = state.Policy.Next(candidate) })
        {
            while (candidate.WindowBytes > 0 && _windows.Row < state.Models[candidate.Model].Layouts.Length)
            {
                if (candidate.Rows[_windows.Row++].Window is { HasBytes: true } window && IsVictim(candidate, window.Block, lane))
                {
                    (sequence, number) = (candidate, window.Block);
                    return true;
                }
            }
        }

        (sequence, number) = (null!, 0);
        return false;
    }

    /// <summary>Chooses the window of units that is cheapest to empty for a layout whose own blocks gave nothing.</summary>
    public bool TryChooseWindow(int layout, LaneState lane, out int start)
    {
        var units = state.Pool.Units;
        var size = 1 << state.Pool.SegmentOrder(layout);
        var best = long.MaxValue;
        start = -1;
        for (var first = 0; first + size <= units.Count; first += size)
        {
            var cost = CostOf(first, size, layout, lane, best);
            if (cost < best)
            {
                (best, start) = (cost, first);
            }
        }

        return start >= 0;
    }

    /// <summary>Whether all that lies in a window of units is free or a victim.</summary>
    public bool CanEmpty(int first, int size, LaneState lane) => CostOf(first, size, layout: -1, lane, long.MaxValue) < long.MaxValue;

    private bool TryNextOf(SequenceState sequence, int layout, LaneState lane, ref Cursor cursor, out int number)
    {
        var layouts = state.Models[sequence.Model].Layouts;
        for (; cursor.Row < layouts.Length; cursor.Row++, cursor.Index = 0)
        {
            var row = sequence.Rows[cursor.Row];
            if (layouts[cursor.Row].PoolLayout != layout || row.ResidentBlocks == 0)
            {
                continue;
            }

            while (cursor.Index < row.Count)
            {
                number = row[cursor.Index++];
                if (IsVictim(sequence, number, lane))
                {
                    return true;
                }
            }
        }

        number = 0;
        return false;
    }

    private bool IsVictim(SequenceState sequence, int number, LaneState lane)
    {
        ref var block = ref state.Blocks[number];
        return block.IsResident
            && (block.IsWindow ? sequence.Plan != state.Plan : IsVictim(sequence, in block, lane))
            && FrontierHome.Of(state.Tracker.BytesOf(ref block, sequence).Points, state.Timelines).IsUsableBy(lane.Number);
    }

    private bool IsVictim(SequenceState sequence, ref readonly BlockState block, LaneState lane) =>
        (sequence.Plan != state.Plan || TakesOwn || (!_sparesOwn && block.Index < sequence.Rows[block.Row].FirstVisible))
        && (block.IsClean || !coldSlots.IsFull(state.LayoutOf(sequence, block.Row).ColdLayout, sequence.Client == lane.Client.Number ? lane.Number : Point.BackgroundLane));

    private long CostOf(int first, int size, int layout, LaneState lane, long limit)
    {
        var cost = 0L;
        for (var unit = first; unit < first + size; unit += state.Pool.Units[unit].Units)
        {
            var segment = state.Pool.Units[unit];
            if (segment.State == SegmentState.Interior
                || (segment.State == SegmentState.InUse && segment.Layout == layout)
                || !state.Pool.IsUsableBy(segment, lane.Number))
            {
                return long.MaxValue;
            }

            if (segment.State == SegmentState.Free)
            {
                continue;
            }

            cost += segment.Used * state.Pool.BlockBytes(segment.Layout);
            for (var block = 0; block < segment.Fresh && cost < limit; block++)
            {
                var use = segment.Uses[block];
                if (use.IsReserved || (use.IsHeld && !IsVictim(state.Sequences[state.Blocks[use.Holder].Sequence], use.Holder, lane)))
                {
                    return long.MaxValue;
                }
            }
        }

        return cost;
    }

    private struct Cursor
    {
        public bool Started;
        public SequenceState? Sequence;
        public int Row;
        public int Index;
    }
}
