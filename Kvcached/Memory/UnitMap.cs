using System.Numerics;

namespace Kvcached.Memory;

/// <summary>
/// The units of an arena and its free runs (a buddy allocator). A free run whose frontier has been observed is <em>ready</em>, and merges with
/// its buddy; the others wait on a list of their own, each with its frontier, since merging would make one lane's bytes wait for another's.
/// </summary>
internal sealed class UnitMap
{
    private const int Orders = 31;
    private const int ReadyMark = -3;

    private readonly TimelineTable _timelines;
    private readonly Segment[] _units;
    private readonly SegmentList[] _ready = new SegmentList[Orders];
    private SegmentList _waiting;
    private uint _readyMask;

    public UnitMap(int units, TimelineTable timelines)
    {
        _timelines = timelines;
        _units = new Segment[units];
        for (var i = 0; i < units; i++)
        {
            _units[i] = new Segment(i);
        }

        for (var start = 0; start < units;)
        {
            var order = Math.Min(start == 0 ? Orders - 1 : BitOperations.TrailingZeroCount(start), BitOperations.Log2((uint)(units - start)));
            _units[start].Order = order;
            AddReady(_units[start]);
            start += 1 << order;
        }
    }

    public int Count => _units.Length;

    public bool HasWaiting => _waiting.Head is not null;

    /// <summary>The run that starts at a unit, or an interior unit.</summary>
    public Segment this[int unit] => _units[unit];

    /// <summary>Takes a run whose bytes anyone may use.</summary>
    public Segment? Take(int order)
    {
        var larger = _readyMask >> order;
        if (larger == 0)
        {
            return null;
        }

        var from = order + BitOperations.TrailingZeroCount(larger);
        var run = _ready[from].Head!;
        RemoveReady(run);
        Split(run, order);
        return run;
    }

    /// <summary>Takes a run that one lane may use enqueue-ahead; its frontier goes with it.</summary>
    public Segment? TakeAhead(int order, int lane)
    {
        for (var run = _waiting.Head; run is not null; run = run.Next)
        {
            if (run.Order >= order && FrontierHome.Of(run.Frontier.Points, _timelines).IsUsableBy(lane))
            {
                _waiting.Remove(run);
                Split(run, order);
                return run;
            }
        }

        return null;
    }

    /// <summary>
    /// Takes the aligned window of 2^<paramref name="order"/> units at <paramref name="start"/> if all of it is free and usable by the lane; the
    /// run carries the union of the frontiers.
    /// </summary>
    public Segment? TakeWindow(int start, int order, int lane)
    {
        if (_units[start] is { State: SegmentState.Free } larger && larger.Order > order && FrontierHome.Of(larger.Frontier.Points, _timelines).IsUsableBy(lane))
        {
            Unlist(larger);
            Split(larger, order);
            return larger;
        }

        for (var unit = start; unit < start + (1 << order); unit += _units[unit].Units)
        {
            var run = _units[unit];
            if (run.State != SegmentState.Free || run.Order > order || !FrontierHome.Of(run.Frontier.Points, _timelines).IsUsableBy(lane))
            {
                return null;
            }
        }

        var window = _units[start];
        for (var unit = start; unit < start + (1 << order);)
        {
            var run = _units[unit];
            unit += run.Units;
            Unlist(run);
            if (run != window)
            {
                window.Frontier.Add(run.Frontier.Points, _timelines);
                run.State = SegmentState.Interior;
            }
        }

        window.Order = order;
        return window;
    }

    /// <summary>Gives a run back; its frontier says when its bytes may be used.</summary>
    public void Release(Segment run) => Release(run, merge: true);

    /// <summary>Makes the runs ready whose frontiers have been observed.</summary>
    public void Promote()
    {
        for (var run = _waiting.Head; run is not null;)
        {
            var next = run.Next;
            if (run.Frontier.Prune(_timelines))
            {
                _waiting.Remove(run);
                AddMerged(run);
            }

            run = next;
        }
    }

    private void Split(Segment run, int order)
    {
        while (run.Order > order)
        {
            run.Order--;
            var upper = _units[run.StartUnit + run.Units];
            upper.Order = run.Order;
            upper.Frontier.Clear();
            if (!RuleFaults.Is(RuleFault.SplitForgetsFrontier))
            {
                upper.Frontier.Add(run.Frontier.Points, _timelines);
            }

            Release(upper, merge: false);
        }
    }

    private void Release(Segment run, bool merge)
    {
        if (!run.Frontier.Prune(_timelines))
        {
            run.State = SegmentState.Free;
            _waiting.Add(run);
        }
        else if (merge)
        {
            AddMerged(run);
        }
        else
        {
            AddReady(run);
        }
    }

    private void AddMerged(Segment run)
    {
        while (true)
        {
            var buddyStart = run.StartUnit ^ run.Units;
            if (buddyStart + run.Units > _units.Length || run.Order + 1 >= Orders)
            {
                break;
            }

            var buddy = _units[buddyStart];
            if (buddy.State != SegmentState.Free || buddy.Order != run.Order || !IsReady(buddy))
            {
                break;
            }

            RemoveReady(buddy);
            var (lower, upper) = run.StartUnit < buddyStart ? (run, buddy) : (buddy, run);
            upper.State = SegmentState.Interior;
            lower.Order++;
            run = lower;
        }

        AddReady(run);
    }

    private static bool IsReady(Segment run) => run.Bucket == ReadyMark;

    private void AddReady(Segment run)
    {
        run.State = SegmentState.Free;
        run.Bucket = ReadyMark;
        run.Frontier.Clear();
        _ready[run.Order].Add(run);
        _readyMask |= 1u << run.Order;
    }

    private void RemoveReady(Segment run)
    {
        run.Bucket = -1;
        _ready[run.Order].Remove(run);
        if (_ready[run.Order].Head is null)
        {
            _readyMask &= ~(1u << run.Order);
        }
    }

    private void Unlist(Segment run)
    {
        if (IsReady(run))
        {
            RemoveReady(run);
        }
        else
        {
            _waiting.Remove(run);
        }
    }
}
