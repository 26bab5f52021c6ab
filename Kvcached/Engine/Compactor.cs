using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Empties sparse segments into fuller ones of their layout, so that their units can serve another layout: by need, by waste and on request. An emptied segment is
/// free with the union of its blocks' frontiers, while steps in flight go on reading it.
/// </summary>
internal sealed class Compactor(EngineState state, TransferLoop loop, SegmentEmptier emptier)
{
    /// <summary>Segments of a layout looked at for one that can be emptied. Where none of them can, the next pass looks at those behind them.</summary>
    private const int CandidateBudget = 32;

    /// <summary>A background pass begins where this part of the pool, or more, would come free of it, and less than that is free.</summary>
    private const int WasteFraction = 8;

    /// <summary>Turns for which a pass lets reloads go first. No more: a client's may stand behind a step that stalls.</summary>
    private const int ReloadPatience = 8;

    /// <summary>Windows in a row that could not be emptied, after which a plan looks for no more.</summary>
    private const int FailureBudget = 128;

    /// <summary>What each layout's plan has looked at: a plan that needs several layouts by turns goes on with each where it was.</summary>
    private readonly List<CheapestWindows> _windows = [];
    private int _turnsBehindReloads;

    /// <summary>How many of each layout's segments, the sparsest first, have been looked at in vain.</summary>
    private int[] _keptSegments = [];

    /// <summary>Whether passes have been asked for and the last one found something to do, or has more to look at.</summary>
    public bool IsRequested { get; private set; }

    /// <summary>Asks for passes until one finds nothing to do. Where no bytes may be moved, there are none.</summary>
    public void Request()
    {
        if (!IsRequested && state.Options.CompactionBytes > 0)
        {
            IsRequested = true;
            _keptSegments.AsSpan().Clear();
        }
    }

    /// <summary>One pass, within the byte budget, while the background queue is idle and no reload is under way.</summary>
    public void Run()
    {
        var budget = state.Options.CompactionBytes;
        if (budget == 0 || !(IsRequested || IsWasteful()) || !state.IsBackgroundIdle || IsBehindReloads())
        {
            return;
        }

        state.Pool.ReleaseEmpty();
        if (_keptSegments.Length < state.Pool.Layouts)
        {
            Array.Resize(ref _keptSegments, state.Pool.Layouts);
        }

        var goesOn = false;
        for (var layout = 0; layout < state.Pool.Layouts; layout++)
        {
            goesOn |= TryEmptySome(layout, ref budget);
        }

        IsRequested &= goesOn;
        loop.Flush(null);
    }

    /// <summary>
    /// Makes a segment for a layout out of what others waste: empties the window of units with the fewest bytes to move, for a lane that may then
    /// use it enqueue-ahead. No budget holds back what a step waits for.
    /// </summary>
    public bool TryMakeSegment(int layout, LaneState lane)
    {
        var units = 1 << state.Pool.SegmentOrder(layout);
        if (state.Options.CompactionBytes == 0 || state.Pool.FreeUnits + state.Pool.WastedUnits < units)
        {
            return false;
        }

        for (var windows = WindowsFor(layout); windows.Failures < FailureBudget && windows.TryNext(out var start); windows.Failures++)
        {
            if (!CanVacate(start, units, layout, lane))
            {
                continue;
            }

            if (state.Pool.Units.AskWindow(start, state.Pool.SegmentOrder(layout)))
            {
                return false;
            }

            if (TryVacate(start, units, state.Pool.TenantOf(layout)))
            {
                windows.Failures = 0;
                loop.Flush(null);
                return state.Pool.TryCarveWindow(layout, start, lane.Number);
            }
        }

        // What a plan has not found it looks for no more.
        _windows[layout].Failures = FailureBudget;
        return false;
    }

    private CheapestWindows WindowsFor(int layout)
    {
        while (_windows.Count <= layout)
        {
            _windows.Add(new CheapestWindows(state, emptier, _windows.Count));
        }

        _windows[layout].BeginPlan();
        return _windows[layout];
    }

    /// <summary>Whether all can leave a window, as it is now: it may have become another layout's since it was found, or this one's.</summary>
    private bool CanVacate(int start, int units, int layout, LaneState lane)
    {
        var pinned = 0L;
        for (var unit = start; unit < start + units; unit += state.Pool.Units[unit].Units)
        {
            var segment = state.Pool.Units[unit];
            if (CheapestWindows.IsClosed(segment, layout) || !state.Pool.IsUsableBy(segment, lane.Number) || (segment.State == SegmentState.InUse && segment.Used > 0 && !emptier.CanEmpty(segment, lane.Number, ref pinned)))
            {
                return false;
            }
        }

        return true;
    }

    private bool TryVacate(int start, int units, int tenant)
    {
        for (var unit = start; unit < start + units; unit += state.Pool.Units[unit].Units)
        {
            var segment = state.Pool.Units[unit];
            if (segment.State == SegmentState.InUse && segment.Used > 0 && !emptier.TryEmpty(segment, start, units, leastUsed: 1, tenant, out _))
            {
                loop.Flush(null);
                return false;
            }
        }

        return true;
    }

    private bool IsBehindReloads()
    {
        _turnsBehindReloads = _turnsBehindReloads < ReloadPatience && state.IsAnyReloadUnderWay() ? _turnsBehindReloads + 1 : 0;
        return _turnsBehindReloads > 0;
    }

    private bool IsWasteful() =>
        state.Pool.Layouts > 1
        && state.Pool.FreeUnits < state.Pool.Units.Count / WasteFraction
        && state.Pool.SparseUnits > state.Pool.Units.Count / WasteFraction;

    /// <summary>Empties segments of a layout while the budget lasts. False if there is nothing left to look at, either.</summary>
    private bool TryEmptySome(int layout, ref long budget)
    {
        ref var kept = ref _keptSegments[layout];
        var (before, hasMore) = (budget, false);
        while (budget > 0 && TryEmptySparsest(layout, kept, ref budget, out hasMore))
        {
        }

        // What was emptied is gone from the sparsest with the next pass: it looks at them again.
        kept = budget == before && hasMore ? kept + CandidateBudget : 0;
        return budget < before || kept > 0;
    }

    private bool TryEmptySparsest(int layout, int kept, ref long budget, out bool hasMore)
    {
        var segment = state.Pool.Sparsest(layout, after: null);
        for (var skipped = 0; segment is not null && skipped < kept; skipped++)
        {
            segment = state.Pool.Sparsest(layout, segment);
        }

        Segment? sparsest = null;
        for (var looked = 0; segment is not null && looked < CandidateBudget; looked++)
        {
            var pinned = 0L;
            if (segment.Used > 0 && !(segment.Used >= sparsest?.Used) && emptier.CanEmpty(segment, Point.BackgroundLane, ref pinned))
            {
                sparsest = segment;
            }

            segment = state.Pool.Sparsest(layout, segment);
        }

        hasMore = sparsest is null && segment is not null;

        // Only into segments that hold as much or more: what has been moved is not moved again for the same end.
        if (sparsest is null || !emptier.TryEmpty(sparsest, sparsest.StartUnit, sparsest.Units, leastUsed: sparsest.Used, tenant: null, out var bytes))
        {
            return false;
        }

        budget -= bytes;
        return true;
    }
}
