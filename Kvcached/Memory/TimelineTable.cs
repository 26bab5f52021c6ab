namespace Kvcached.Memory;

/// <summary>What has been observed of each timeline: the only progress that is a fact on the host.</summary>
internal sealed class TimelineTable
{
    private ulong[] _observed = new ulong[64];

    public bool IsObserved(Point point) => point.IsNone || _observed[point.Timeline] >= point.Value;

    /// <summary>Raises the point of the same timeline, if the list has one: at most one value per timeline.</summary>
    public static bool TryRaise(Span<Point> points, Point point)
    {
        foreach (ref var other in points)
        {
            if (other.Timeline == point.Timeline || (RuleFaults.Is(RuleFault.OneValuePerLane) && other.Lane == point.Lane))
            {
                other = other.Value > point.Value ? other : point;
                return true;
            }
        }

        return false;
    }

    /// <summary>Drops what has been observed. Returns how many points are left, in front.</summary>
    public int Prune(Span<Point> points)
    {
        var kept = 0;
        foreach (var point in points)
        {
            var isPruned = IsObserved(point) || (RuleFaults.Is(RuleFault.PrunedEarly) && _observed[point.Timeline] + 1 == point.Value);
            if (!isPruned)
            {
                points[kept++] = point;
            }
        }

        return kept;
    }

    public ulong Observed(int timeline) => _observed[timeline];

    /// <summary>Records a value read from a timeline. Returns whether it is news.</summary>
    public bool Observe(int timeline, ulong value)
    {
        if (value <= _observed[timeline])
        {
            return false;
        }

        _observed[timeline] = value;
        return true;
    }

    public void EnsureLane(int lane)
    {
        var needed = (lane + 1) * 4;
        if (needed > _observed.Length)
        {
            Array.Resize(ref _observed, Math.Max(needed, _observed.Length * 2));
        }
    }
}
