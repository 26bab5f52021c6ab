using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Kvcached.Memory;

/// <summary>
/// The points that must be reached before some bytes may be overwritten: at most one value per timeline (I2). Points already observed are
/// not kept. A block's frontier holds its last step, its last writer, and the transfers that read it, so a few places suffice.
/// </summary>
internal struct Frontier
{
    public const int Capacity = 6;

    private PointArray _points;
    private int _count;

    [UnscopedRef]
    public readonly ReadOnlySpan<Point> Points => ((ReadOnlySpan<Point>)_points)[.._count];

    /// <summary>Adds a point unless it has been observed.</summary>
    public void Add(Point point, TimelineTable timelines)
    {
        if (timelines.IsObserved(point) || TimelineTable.TryRaise(((Span<Point>)_points)[.._count], point))
        {
            return;
        }

        if (_count == Capacity)
        {
            _count = timelines.Prune(_points);
            if (_count == Capacity)
            {
                throw new InvalidOperationException($"A block's frontier holds more than {Capacity} timelines.");
            }
        }

        _points[_count++] = point;
    }

    public void Add(ReadOnlySpan<Point> points, TimelineTable timelines)
    {
        foreach (var point in points)
        {
            Add(point, timelines);
        }
    }

    [InlineArray(Capacity)]
    private struct PointArray
    {
        private Point _first;
    }
}

/// <summary>Whose the points of a frontier are that have not been observed; decides who may use the bytes enqueue-ahead (I2).</summary>
internal readonly record struct FrontierHome
{
    private const int Mixed = -1;
    private const int Observed = -2;

    private FrontierHome(int lane) => Lane = lane;

    /// <summary>The one lane whose points are outstanding; the background's where only its are.</summary>
    public int Lane { get; }

    /// <summary>Everything has been observed: anyone may use the bytes.</summary>
    public bool IsObserved => Lane == Observed;

    /// <summary>Points of several lanes, or memory that has not come: nobody may use the bytes yet.</summary>
    public bool IsMixed => Lane == Mixed;

    /// <summary>Whether a lane may enqueue use of the bytes ahead.</summary>
    public bool IsUsableBy(int lane) => Lane == Observed || Lane == Point.BackgroundLane || Lane == lane || RuleFaults.Is(RuleFault.ForeignStepAwaited);

    /// <summary>The first lane, other than the background's, that bytes wait for: those that they wait for otherwise are of the same client.</summary>
    public static int AccountLaneOf(ReadOnlySpan<Point> points, TimelineTable timelines)
    {
        foreach (var point in points)
        {
            if (point.Lane != Point.BackgroundLane && !timelines.IsObserved(point))
            {
                return point.Lane;
            }
        }

        return Point.BackgroundLane;
    }

    public static FrontierHome Of(ReadOnlySpan<Point> points, TimelineTable timelines)
    {
        var home = Observed;
        foreach (var point in points)
        {
            if (timelines.IsObserved(point))
            {
                continue;
            }

            var lane = point.Lane;
            if (point.IsArrival)
            {
                return new FrontierHome(Mixed);
            }

            if (home is Observed or Point.BackgroundLane)
            {
                home = lane;
            }
            else if (lane != home && lane != Point.BackgroundLane)
            {
                return new FrontierHome(Mixed);
            }
        }

        return new FrontierHome(home);
    }
}
