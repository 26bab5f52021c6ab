using System.Numerics;

namespace Kvcached.Memory;

/// <summary>Free runs of units of one kind, by order.</summary>
internal sealed class RunLists(int mark)
{
    public const int Orders = 31;

    private readonly SegmentList[] _lists = new SegmentList[Orders];
    private uint _mask;

    public bool Contains(Segment run) => run.Bucket == mark;

    public void Add(Segment run)
    {
        run.State = SegmentState.Free;
        run.Bucket = mark;
        run.Frontier.Clear();
        _lists[run.Order].Add(run);
        _mask |= 1u << run.Order;
    }

    public void Remove(Segment run)
    {
        run.Bucket = -1;
        _lists[run.Order].Remove(run);
        if (_lists[run.Order].Head is null)
        {
            _mask &= ~(1u << run.Order);
        }
    }

    /// <summary>Takes a run of the smallest order that is not below one.</summary>
    public Segment? TryTake(int order)
    {
        var larger = _mask >> order;
        if (larger == 0)
        {
            return null;
        }

        var run = _lists[order + BitOperations.TrailingZeroCount(larger)].Head!;
        Remove(run);
        return run;
    }

    /// <summary>One of the largest runs, or null.</summary>
    public Segment? Largest() => _mask == 0 ? null : _lists[BitOperations.Log2(_mask)].Head;
}
