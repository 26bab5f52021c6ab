using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>
/// Windows of units, each of the size of a layout's segment, in the order of the bytes that must move out of them. A walk through the pool finds the next few. Whether one can be
/// emptied, and what has changed in it since, is for the caller to see.
/// </summary>
internal sealed class CheapestWindows(EngineState state, SegmentEmptier emptier, int layout)
{
    /// <summary>Windows that one walk finds: fewer where that would be more than half of them, since what moves must have somewhere to go.</summary>
    private const int Most = 32;

    private readonly (long Cost, int Start)[] _windows = new (long, int)[Most];
    private (long Cost, int Start) _last;
    private ulong _plan;
    private int _count;
    private int _next;

    /// <summary>Windows in a row that could not be emptied, as the caller counts them.</summary>
    public int Failures { get; set; }

    /// <summary>Begins anew, if the plan is another than before.</summary>
    public void BeginPlan()
    {
        if (_plan != state.Plan)
        {
            _plan = state.Plan;
            _last = (-1, -1);
            Failures = _count = _next = 0;
        }
    }

    /// <summary>Whether a run keeps a window of the layout from being emptied: part of a larger segment, or one of the layout itself.</summary>
    public static bool IsClosed(Segment run, int layout) => run.State == SegmentState.Interior || (run.State == SegmentState.InUse && run.Layout == layout);

    /// <summary>The next window, if there is one.</summary>
    public bool TryNext(out int start)
    {
        if (_next == _count)
        {
            Walk();
        }

        start = _next < _count ? _windows[_next++].Start : -1;
        return start >= 0;
    }

    private void Walk()
    {
        var units = 1 << state.Pool.SegmentOrder(layout);
        var most = Math.Clamp((state.Pool.Units.Count >> state.Pool.SegmentOrder(layout)) / 2, 1, Most);
        _count = _next = 0;
        for (var start = 0; start + units <= state.Pool.Units.Count; start += units)
        {
            var limit = _count < most ? long.MaxValue : _windows[most - 1].Cost;
            var cost = CostOf(start, units, limit);
            if (cost < limit && (cost, start).CompareTo(_last) > 0)
            {
                Insert((cost, start), most);
            }
        }

        if (_count > 0)
        {
            _last = _windows[_count - 1];
        }

        foreach (var (_, start) in _windows.AsSpan(0, _count))
        {
            for (var unit = start; unit < start + units; unit += state.Pool.Units[unit].Units)
            {
                state.Pool.Units[unit].EmptiedBy = state.Plan;
            }
        }
    }

    private void Insert((long Cost, int Start) window, int most)
    {
        _count = Math.Min(_count + 1, most);
        var place = _count - 1;
        for (; place > 0 && _windows[place - 1].Cost > window.Cost; place--)
        {
            _windows[place] = _windows[place - 1];
        }

        _windows[place] = window;
    }

    /// <summary>Bytes to move out of a window: as much as can be where part of a larger segment lies, or one of the layout itself.</summary>
    private long CostOf(int start, int units, long limit)
    {
        var cost = 0L;
        for (var unit = start; unit < start + units && cost < limit; unit += state.Pool.Units[unit].Units)
        {
            var segment = state.Pool.Units[unit];
            if (IsClosed(segment, layout))
            {
                return long.MaxValue;
            }

            for (var i = 0; segment.State == SegmentState.InUse && i < segment.Fresh && cost < limit; i++)
            {
                if (segment.Uses[i].IsReserved)
                {
                    return long.MaxValue;
                }

                cost += segment.Uses[i].IsHeld && !emptier.IsBetterDropped(segment.Uses[i].Holder, state.Pool.TenantOf(layout)) ? state.Pool.BlockBytes(segment.Layout) : 0;
            }
        }

        return cost;
    }
}
