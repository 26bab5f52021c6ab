using System.Numerics;

namespace Kvcached.Memory;

/// <summary>
/// The units of an arena and its free runs (a buddy allocator). A free run whose frontier has been observed is <em>ready</em>, and merges with
/// its buddy; the others wait on a list of their own, each with its frontier, since merging would make one lane's bytes wait for another's.
/// Runs that are <em>absent</em> have no memory behind them; one that is taken is given some first. Where that comes later, nothing is taken: the run <em>comes</em>. It waits for its arrival,
/// and is then ready, or, where the memory was refused, absent as before.
/// <code>
///   absent → comes → ready      (or absent again, and nothing is asked for until <see cref="AskAgain"/>)
///   absent → ready              where memory comes at once
/// </code>
/// </summary>
internal sealed partial class UnitMap
{
    private const int ReadyMark = -3;
    private const int AbsentMark = -4;

    private readonly TimelineTable _timelines;
    private readonly IUnitMemory? _memory;
    private readonly Segment[] _units;
    private readonly RunLists _ready = new(ReadyMark);
    private readonly RunLists _absent = new(AbsentMark);
    private SegmentList _waiting;
    private long[] _waitingByLane = [];
    private ulong _lastArrival;

    /// <summary>Makes the units.</summary>
    /// <param name="units">Addresses that there are.</param>
    /// <param name="present">How many of them have memory from the start.</param>
    /// <param name="timelines">What has been observed.</param>
    /// <param name="memory">Gives memory to units that have none; null where all have some.</param>
    public UnitMap(int units, int present, TimelineTable timelines, IUnitMemory? memory = null)
    {
        Present = present;
        _memory = memory;
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

    /// <summary>Units that have none and come.</summary>
    public int Coming { get; private set; }

    /// <summary>Units that have come, counted each time.</summary>
    public long Arrived { get; private set; }

    /// <summary>How many times memory was asked for that came later, and how many of these it was refused.</summary>
    public long Asked { get; private set; }

    public long Refused { get; private set; }

    /// <summary>Whether memory was refused and none is asked for: the arena ends with what it has.</summary>
    public bool IsRefused { get; private set; }

    /// <summary>The last arrival that was asked for; none at first.</summary>
    public Point LastArrival => _lastArrival == 0 ? default : new Point(Point.ArrivalTimeline, _lastArrival);

    /// <summary>Whether a run has no memory behind it.</summary>
    public bool IsAbsent(Segment run) => _absent.Contains(run);

    /// <summary>Forgets that memory was refused.</summary>
    public void AskAgain() => IsRefused = false;

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

    /// <summary>Takes a run whose bytes anyone may use: of those that have memory, else of the others, unless their memory comes later.</summary>
    public Segment? Take(int order)
    {
        if (_ready.TryTake(order) is { } run)
        {
            Split(run, order);
            return run;
        }

        return IsComing(order) ? null : Ask(order);
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

        if (!MakePresent(start, order))
        {
            return null;
        }

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
                AddMerged(run, run.Arrival.IsNone || HasCome(run) ? _ready : _absent);
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

    private bool IsUsable(Segment run, int lane) => run.State == SegmentState.Free && run.Arrival.IsNone && FrontierHome.Of(run.Frontier.Points, _timelines).IsUsableBy(lane);

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
