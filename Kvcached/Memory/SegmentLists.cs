using System.Numerics;

namespace Kvcached.Memory;

/// <summary>
/// The segments of a layout that have blocks to hand out, in the order of how few, to a factor of two. Finding the fullest is O(1). Owned by
/// <see cref="BlockPool"/>.
/// </summary>
internal struct SegmentLists
{
    private const int Buckets = 32;

    private readonly SegmentList[] _lists = new SegmentList[Buckets];
    private uint _mask;

    public SegmentLists()
    {
    }

    /// <summary>The fullest, or null if no segment has a block to hand out.</summary>
    public readonly Segment? Fullest => _mask == 0 ? null : _lists[BitOperations.TrailingZeroCount(_mask)].Head;

    /// <summary>The one after it from the fullest on, or null.</summary>
    public readonly Segment? NextSparser(Segment segment)
    {
        if (segment.Next is { } next)
        {
            return next;
        }

        var mask = _mask & (~1u << segment.Bucket);
        return mask == 0 ? null : _lists[BitOperations.TrailingZeroCount(mask)].Head;
    }

    /// <summary>The segment with the most blocks to hand out, or the one after it from there on, or null.</summary>
    public readonly Segment? Sparsest(Segment? after)
    {
        if (after?.Next is { } next)
        {
            return next;
        }

        var mask = after is null ? _mask : _mask & ((1u << after.Bucket) - 1);
        return mask == 0 ? null : _lists[BitOperations.Log2(mask)].Head;
    }

    /// <summary>Lists a segment anew, after it has given or got a block.</summary>
    public void Relist(Segment segment)
    {
        var bucket = segment.Available == 0 ? -1 : BitOperations.Log2((uint)segment.Available);
        if (bucket == segment.Bucket)
        {
            return;
        }

        Unlist(segment);
        if (bucket >= 0)
        {
            _lists[bucket].Add(segment);
            _mask |= 1u << bucket;
            segment.Bucket = bucket;
        }
    }

    public void Unlist(Segment segment)
    {
        if (segment.Bucket < 0)
        {
            return;
        }

        _lists[segment.Bucket].Remove(segment);
        if (_lists[segment.Bucket].Head is null)
        {
            _mask &= ~(1u << segment.Bucket);
        }

        segment.Bucket = -1;
    }
}
