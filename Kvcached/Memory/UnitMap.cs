using System.Numerics;

namespace Kvcached.Memory;

/// <summary>
/// The units of an arena and its free runs (a buddy allocator). A free run whose frontier has been observed is <em>ready</em>, and merges with
/// its buddy; the others wait on a list of their own, each with its frontier, since merging would make one lane's bytes wait for another's.
/// Runs that are <em>absent</em> have no memory behind them; one that is taken is populated first.
/// </summary>
internal sealed class UnitMap
{
    private const int ReadyMark = -3;
    private const int AbsentMark = -4;

    private readonly TimelineTable _timelines;
    private readonly Action<int, int>? _populate;
    private readonly Segment[] _units;
    private readonly RunLists _ready = new(ReadyMark);
    private readonly RunLists _absent = new(AbsentMark);
    private SegmentList _waiting;
    private long[] _waitingByLane = [];

    /// <summary>Makes the units.</summary>
    /// <param name="units">Addresses that there are.</param>
    /// <param name="present">How many of them have memory from the start.</param>
    /// <param name="timelines">What has been observed.</param>
    /// <param name="populate">Gives memory to units that have none: the first, and how many.</param>
    public UnitMap(int units, int present, TimelineTable timelines, Action<int, int>? populate = null)
    {
        Present = present;
        _populate = populate;
        _timelines = timelines;
        _units = new Segment[units];
        for (var i = 0; i < units; i++)
        {
            _units[i] = new Segment(i);
        }

        AddRange(0, present, _ready);
        AddRange(present, units, _absent);
    }

    public int Count => _units.Length;

    /// <summary>Units that have memory behind them.</summary>
    public int Present { get; private set; }

    /// <summary>Whether a run has no memory behind it.</summary>
    public bool IsAbsent(Segment run) => _absent.Contains(run);

    public bool HasWaiting => _waiting.Head is not null;

    /// <summary>Bytes given back in free runs that wait for points of a lane.</summary>
    public long WaitingBytesOf(int lane) => lane < _waitingByLane.Length ? _waitingByLane[lane] : 0;

    public void EnsureLane(int lane)
    {
        if (lane >= _waitingByLane.Length)
        {
            Array.Resize(ref _waitingByLane, lane + 1);
        }
    }

    /// <summary>The run that starts at a unit, or an interior unit.</summary>
    public Segment this[int unit] => _units[unit];

    /// <summary>Takes a run whose bytes anyone may use: of those that have memory, else of the others.</summary>
    public Segment? Take(int order)
    {
        if (_ready.TryTake(order) is { } run)
        {
            Split(run, order);
            return run;
        }

        if (_absent.TryTake(order) is { } absent)
        {
            SplitAbsent(absent, order);
            Populate(absent);
            return absent;
        }

        return null;
    }

    /// <summary>
    /// Takes the memory from one of the largest free runs whose frontiers have been observed, where more than so many units have some; the caller gives it
    /// back.
    /// </summary>
    public bool TryTrim(int keep, out int start, out int units)
    {
        if (Present <= keep || (_ready.Largest() ?? (RuleFaults.Is(RuleFault.TrimmedWhileRead) ? _waiting.Head : null)) is not { } run)
        {
            (start, units) = (0, 0);
            return false;
        }

        Unlist(run);
        while (run.Units > Present - keep && !RuleFaults.Is(RuleFault.TrimmedBelowFloor))
        {
            Split(run, run.Order - 1);
        }

        (start, units) = (run.StartUnit, run.Units);
        Present -= units;
        AddMerged(run, _absent);
        return true;
    }

    /// <summary>Takes a run that one lane may use enqueue-ahead; its frontier goes with it.</summary>
    public Segment? TakeAhead(int order, int lane)
    {
        for (var run = _waiting.Head; run is not null; run = run.Next)
        {
            if (run.Order >= order && IsUsable(run, lane))
            {
                StopWaiting(run);
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
        for (var unit = start; unit < start + (1 << order); unit += _units[unit].Units)
        {
            if (!IsUsable(_units[unit], lane))
            {
                return null;
            }
        }

        MakePresent(start, order);
        if (_units[start] is var larger && larger.Order > order)
        {
            Unlist(larger);
            Split(larger, order);
            return larger;
        }

        var window = _units[start];
        for (var unit = start; unit < start + (1 << order);)
        {
            var run = _units[unit];
            unit += run.Units;
            Unlist(run);
            if (run != window)
            {
                window.Frontier.Add(RuleFaults.Is(RuleFault.WindowWithoutUnion) ? [] : run.Frontier.Points, _timelines);
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
                StopWaiting(run);
                run.WaitingBytes = 0;
                AddMerged(run, _ready);
            }
            else
            {
                _waitingByLane[run.WaitingLane] -= run.WaitingBytes;
                Account(run);
            }

            run = next;
        }
    }

    /// <summary>Gives a run's upper halves back until it has an order.</summary>
    private void Split(Segment run, int order)
    {
        while (run.Order > order)
        {
            var upper = Halve(run);
            upper.WaitingBytes = run.WaitingBytes / 2;
            run.WaitingBytes -= upper.WaitingBytes;
            upper.Frontier.Clear();
            if (!RuleFaults.Is(RuleFault.SplitForgetsFrontier))
            {
                upper.Frontier.Add(run.Frontier.Points, _timelines);
            }

            Release(upper, merge: false);
        }
    }

    private void SplitAbsent(Segment run, int order)
    {
        while (run.Order > order)
        {
            _absent.Add(Halve(run));
        }
    }

    /// <summary>Makes two runs of one, and returns the upper one.</summary>
    public Segment Halve(Segment run)
    {
        run.Order--;
        var upper = _units[run.StartUnit + run.Units];
        upper.Order = run.Order;
        return upper;
    }

    private void Release(Segment run, bool merge)
    {
        if (!run.Frontier.Prune(_timelines))
        {
            Wait(run);
        }
        else if (merge)
        {
            run.WaitingBytes = 0;
            AddMerged(run, _ready);
        }
        else
        {
            run.WaitingBytes = 0;
            _ready.Add(run);
        }
    }

    private void Wait(Segment run)
    {
        run.State = SegmentState.Free;
        Account(run);
        _waiting.Add(run);
    }

    /// <summary>Accounts a run to a lane that it waits for.</summary>
    private void Account(Segment run)
    {
        run.WaitingLane = FrontierHome.AccountLaneOf(run.Frontier.Points, _timelines);
        EnsureLane(run.WaitingLane);
        _waitingByLane[run.WaitingLane] += run.WaitingBytes;
    }

    private void StopWaiting(Segment run)
    {
        _waitingByLane[run.WaitingLane] -= run.WaitingBytes;
        _waiting.Remove(run);
    }

    /// <summary>Merges a run with its buddies of the same kind.</summary>
    private void AddMerged(Segment run, RunLists kind)
    {
        while (run.Order + 1 < RunLists.Orders)
        {
            var buddyStart = run.StartUnit ^ run.Units;
            if (buddyStart + run.Units > _units.Length || _units[buddyStart] is not { State: SegmentState.Free } buddy || buddy.Order != run.Order || !kind.Contains(buddy))
            {
                break;
            }

            kind.Remove(buddy);
            var (lower, upper) = run.StartUnit < buddyStart ? (run, buddy) : (buddy, run);
            upper.State = SegmentState.Interior;
            lower.Order++;
            run = lower;
        }

        kind.Add(run);
    }

    /// <summary>Covers units with the largest aligned runs.</summary>
    private void AddRange(int start, int end, RunLists kind)
    {
        while (start < end)
        {
            var order = Math.Min(start == 0 ? RunLists.Orders - 1 : BitOperations.TrailingZeroCount(start), BitOperations.Log2((uint)(end - start)));
            _units[start].Order = order;
            kind.Add(_units[start]);
            start += 1 << order;
        }
    }

    /// <summary>Gives memory to what has none of a window.</summary>
    private void MakePresent(int start, int order)
    {
        if (_absent.Contains(_units[start]) && _units[start].Order > order)
        {
            _absent.Remove(_units[start]);
            SplitAbsent(_units[start], order);
            _absent.Add(_units[start]);
        }

        for (var unit = start; unit < start + (1 << order); unit += _units[unit].Units)
        {
            if (_absent.Contains(_units[unit]))
            {
                _absent.Remove(_units[unit]);
                _ready.Add(_units[unit]);
                Populate(_units[unit]);
            }
        }
    }

    private void Populate(Segment run)
    {
        Present += run.Units;
        if (!RuleFaults.Is(RuleFault.UsedWithoutMemory))
        {
            _populate?.Invoke(run.StartUnit, run.Units);
        }
    }

    private bool IsUsable(Segment run, int lane) => run.State == SegmentState.Free && FrontierHome.Of(run.Frontier.Points, _timelines).IsUsableBy(lane);

    private void Unlist(Segment run)
    {
        if (_ready.Contains(run))
        {
            _ready.Remove(run);
        }
        else
        {
            StopWaiting(run);
        }
    }
}
