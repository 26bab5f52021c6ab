using Kvcached.Memory;
using Xunit;

namespace Kvcached.Tests.Memory;

/// <summary>
/// A block pool beside a plain model of it: for every granule of the arena, who holds it and which points its last user left. What the pool
/// hands out is judged by the model alone.
/// </summary>
internal sealed class PoolModel
{
    private const int Granule = 128;

    private readonly BlockPool _pool;
    private readonly long _unitBytes;
    private readonly bool[] _held;
    private readonly Point[][] _left;
    private readonly List<(BlockAddress Address, int Layout)> _live = [];

    public PoolModel(BlockPool pool, long bytes, long unitBytes, PointModel points)
    {
        (_pool, _unitBytes, Points) = (pool, unitBytes, points);
        _held = new bool[bytes / Granule];
        _left = new Point[bytes / Granule][];
        Array.Fill(_left, []);
        for (var lane = 0; lane < PointModel.Lanes; lane++)
        {
            pool.EnsureLane(lane);
        }
    }

    public PointModel Points { get; }

    public int Live => _live.Count;

    public bool TryAllocate(int layout, int lane)
    {
        if (!_pool.TryAllocate(layout, lane, out var address, out var frontier))
        {
            return false;
        }

        Accept(address, layout, lane, frontier);
        return true;
    }

    /// <summary>Judges a block that has been handed out.</summary>
    public void Accept(BlockAddress address, int layout, int lane, Frontier frontier)
    {
        var (first, count) = GranulesOf(address, layout);
        var segment = _pool.Units[address.Segment];
        Assert.Equal(layout, segment.Layout);
        Assert.InRange(address.Block, 0, _pool.BlocksPerSegment(layout) - 1);
        Assert.Equal(0, (_pool.OffsetOf(address) - (segment.StartUnit * _unitBytes)) % _pool.BlockBytes(layout));
        if (long.IsPow2(_pool.BlockBytes(layout)))
        {
            // A page: its number is its offset in units of its size.
            Assert.Equal(0, _pool.OffsetOf(address) % _pool.BlockBytes(layout));
        }

        Assert.True(_pool.OffsetOf(address) + _pool.BlockBytes(layout) <= (segment.StartUnit + segment.Units) * _unitBytes, "The block sticks out of its segment.");
        Assert.Equal(0, segment.StartUnit % segment.Units);
        Assert.All(frontier.Points.ToArray().Where(point => !Points.IsObserved(point)), point => Assert.True(PointModel.IsUsableBy(point, lane), $"{point} is of another lane than {lane}."));
        for (var granule = first; granule < first + count; granule++)
        {
            Assert.False(_held[granule], $"Granule {granule} is handed out twice.");
            _held[granule] = true;
            foreach (var point in _left[granule].Where(point => !Points.IsObserved(point)))
            {
                Assert.True(PointModel.IsUsableBy(point, lane), $"Granule {granule} carries {point}, and goes to lane {lane}.");
                Assert.Contains(frontier.Points.ToArray(), covering => covering.Timeline == point.Timeline && covering.Value >= point.Value);
            }

            _left[granule] = [];
        }

        _live.Add((address, layout));
        CheckCounts();
    }

    public void Free(int index, List<Point> points)
    {
        var (address, layout) = _live[index];
        _live.RemoveAt(index);
        var (first, count) = GranulesOf(address, layout);
        for (var granule = first; granule < first + count; granule++)
        {
            _held[granule] = false;
            _left[granule] = [.. points];
        }

        _pool.Free(address, Points.FrontierOf(points));
        CheckCounts();
    }

    /// <summary>Nothing is outstanding: a layout must get every block that its segments, and the windows that hold nothing, have.</summary>
    public void ExpectAllRoomToBeFoundFor(int layout)
    {
        Points.ObserveAll();
        _pool.Promote();
        Assert.False(_pool.HasPending);
        while (TryAllocate(layout, Point.BackgroundLane))
        {
        }

        var occupied = new bool[_pool.Units.Count];
        foreach (var (address, _) in _live)
        {
            Array.Fill(occupied, true, address.Segment, _pool.Units[address.Segment].Units);
        }

        var window = 1 << _pool.SegmentOrder(layout);
        for (var start = 0; start + window <= occupied.Length; start += window)
        {
            Assert.Contains(true, occupied[start..(start + window)]);
        }

        foreach (var segment in _live.Where(block => block.Layout == layout).GroupBy(block => block.Address.Segment))
        {
            Assert.Equal(_pool.BlocksPerSegment(layout), segment.Count());
        }
    }

    /// <summary>Everything is freed and observed: the arena is one again, and nothing is left on any account.</summary>
    public void ExpectOneArenaAfterAll(int wholeLayout)
    {
        while (_live.Count > 0)
        {
            Free(_live.Count - 1, []);
        }

        Points.ObserveAll();
        _pool.Promote();
        Assert.Equal((0L, 0L, 0, false), (_pool.UsedBlocks, _pool.UsedBytes, _pool.PendingCount, _pool.HasPending));
        for (var lane = 0; lane < PointModel.Lanes; lane++)
        {
            Assert.Equal(0, _pool.PendingBytesOf(lane));
        }

        Assert.True(TryAllocate(wholeLayout, Point.BackgroundLane), "The arena does not come together again.");
    }

    private void CheckCounts()
    {
        Assert.Equal(_live.Count, _pool.UsedBlocks);
        Assert.Equal(_live.Sum(block => _pool.BlockBytes(block.Layout)), _pool.UsedBytes);
        Assert.True(_pool.UsedBytesPeak >= _pool.UsedBytes);
    }

    private (int First, int Count) GranulesOf(BlockAddress address, int layout) =>
        ((int)(_pool.OffsetOf(address) / Granule), (int)(_pool.BlockBytes(layout) / Granule));
}
