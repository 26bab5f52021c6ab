using Kvcached.Memory;

namespace Kvcached.Tests.Memory;

/// <summary>Timelines of a few lanes, with points that have been given out and what has been observed, kept twice: in the table and plainly.</summary>
internal sealed class PointModel
{
    public const int Lanes = 4;

    private readonly ulong[] _given = new ulong[Lanes * 4];
    private readonly ulong[] _observed = new ulong[Lanes * 4];

    public PointModel() => Timelines.EnsureLane(Lanes - 1);

    public TimelineTable Timelines { get; } = new();

    public bool IsObserved(Point point) => _observed[point.Timeline] >= point.Value;

    public static bool IsUsableBy(Point point, int lane) => point.Lane == Point.BackgroundLane || point.Lane == lane;

    /// <summary>A point of a lane: mostly a new one.</summary>
    public Point Draw(RandomProgram program, int lane)
    {
        var kind = lane == Point.BackgroundLane ? TimelineKind.In : (TimelineKind)program.Next(4);
        var timeline = Point.TimelineOf(lane, kind);
        if (_given[timeline] == 0 || program.Chance(70))
        {
            _given[timeline]++;
        }

        return new Point(timeline, _given[timeline]);
    }

    /// <summary>Up to three points, mostly of one lane and the background.</summary>
    public List<Point> DrawMany(RandomProgram program)
    {
        var points = new List<Point>();
        var lane = program.Next(Lanes);
        for (var count = program.Next(4); count > 0; count--)
        {
            points.Add(Draw(program, program.Chance(75) ? lane : program.Next(Lanes)));
        }

        return points;
    }

    public Frontier FrontierOf(IEnumerable<Point> points)
    {
        var frontier = default(Frontier);
        foreach (var point in points)
        {
            frontier.Add(point, Timelines);
        }

        return frontier;
    }

    /// <summary>Observes a timeline up to some point that has been given out.</summary>
    public void ObserveSome(RandomProgram program)
    {
        var timeline = program.Next(_given.Length);
        Observe(timeline, _given[timeline] - ((ulong)program.Next(3) % (_given[timeline] + 1)));
    }

    public void ObserveAll()
    {
        for (var timeline = 0; timeline < _given.Length; timeline++)
        {
            Observe(timeline, _given[timeline]);
        }
    }

    private void Observe(int timeline, ulong value)
    {
        _observed[timeline] = Math.Max(_observed[timeline], value);
        Timelines.Observe(timeline, value);
    }
}
