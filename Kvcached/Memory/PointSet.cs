namespace Kvcached.Memory;

/// <summary>A frontier of any size: the union that a segment carries. At most one value per timeline; keeps its storage.</summary>
internal struct PointSet
{
    // A lane's ends, copies in and out, and the background queue's copies fit; made at once, so that no segment allocates when it is first used.
    private Point[] _points = new Point[4];
    private int _count = 0;

    public PointSet()
    {
    }

    public readonly ReadOnlySpan<Point> Points => _points.AsSpan(0, _count);

    public void Clear() => _count = 0;

    public void Add(ReadOnlySpan<Point> points, TimelineTable timelines)
    {
        foreach (var point in points)
        {
            Add(point, timelines);
        }
    }

    /// <summary>Drops what has been observed. Returns whether nothing is left.</summary>
    public bool Prune(TimelineTable timelines)
    {
        _count = timelines.Prune(_points.AsSpan(0, _count));
        return _count == 0;
    }

    private void Add(Point point, TimelineTable timelines)
    {
        if (timelines.IsObserved(point) || TimelineTable.TryRaise(_points.AsSpan(0, _count), point))
        {
            return;
        }

        if (_count == _points.Length)
        {
            Array.Resize(ref _points, _count * 2);
        }

        _points[_count++] = point;
    }
}
