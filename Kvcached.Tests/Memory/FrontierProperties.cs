using Kvcached.Memory;
using Xunit;

namespace Kvcached.Tests.Memory;

/// <summary>Frontiers against a plain set of points.</summary>
public class FrontierProperties
{
    [Fact]
    public void A_frontier_holds_the_latest_point_of_every_timeline_that_is_not_observed() => RandomProgram.CheckAll(200, 60, program =>
    {
        var points = new PointModel();
        var frontier = default(Frontier);
        var added = new List<Point>();
        while (!program.IsDone)
        {
            if (program.Chance(30))
            {
                points.ObserveSome(program);
                continue;
            }

            var point = points.Draw(program, program.Next(PointModel.Lanes));
            if (Latest(points, [.. added, point]).Count > Frontier.Capacity)
            {
                Assert.Throws<InvalidOperationException>(() => frontier.Add(point, points.Timelines));
                continue;
            }

            frontier.Add(point, points.Timelines);
            added.Add(point);
            Assert.Equal(frontier.Points.Length, frontier.Points.ToArray().DistinctBy(p => p.Timeline).Count());
            Assert.Equal(Latest(points, added), Unobserved(points, frontier.Points));
            Assert.Equal(HomeOf(points, added), FrontierHome.Of(frontier.Points, points.Timelines) switch
            {
                { IsObserved: true } => "observed",
                { IsMixed: true } => "mixed",
                var home => $"lane {home.Lane}",
            });
        }
    });

    [Fact]
    public void A_point_set_holds_any_number_and_prunes_what_is_observed() => RandomProgram.CheckAll(200, 100, program =>
    {
        var points = new PointModel();
        var set = new PointSet();
        var added = new List<Point>();
        while (!program.IsDone)
        {
            switch (program.Next(4))
            {
                case 0:
                    points.ObserveSome(program);
                    break;
                case 1:
                    Assert.Equal(Latest(points, added).Count == 0, set.Prune(points.Timelines));
                    Assert.Equal(Latest(points, added).Count, set.Points.Length);
                    break;
                default:
                    var some = points.DrawMany(program);
                    set.Add(some.ToArray(), points.Timelines);
                    added.AddRange(some);
                    break;
            }

            Assert.Equal(Latest(points, added), Unobserved(points, set.Points));
        }

        set.Clear();
        Assert.True(set.Points.IsEmpty);
    });

    [Fact]
    public void Bytes_whose_points_are_of_one_lane_and_the_background_are_that_lanes()
    {
        var timelines = new TimelineTable();
        Point background = new(Point.TimelineOf(Point.BackgroundLane, TimelineKind.In), 1);
        Point end = new(Point.TimelineOf(3, TimelineKind.End), 1);
        foreach (var home in (FrontierHome[])[FrontierHome.Of([background, end], timelines), FrontierHome.Of([end, background], timelines)])
        {
            Assert.Equal(3, home.Lane);
            Assert.True(home.IsUsableBy(3));
            Assert.False(home.IsUsableBy(2));
            Assert.False(home.IsUsableBy(Point.BackgroundLane));
        }

        Assert.True(FrontierHome.Of([background], timelines).IsUsableBy(2));
    }

    [Fact]
    public void A_point_keeps_timeline_and_value_to_their_limits()
    {
        var point = new Point(Point.TimelineOf(255, TimelineKind.Out), Point.MaxValue);
        Assert.Equal((255, TimelineKind.Out, Point.MaxValue), (point.Lane, point.Kind, point.Value));
        Assert.True(default(Point).IsNone);
        Assert.True(new TimelineTable().IsObserved(default));
    }

    private static SortedDictionary<int, ulong> Latest(PointModel points, List<Point> added) =>
        new(added.Where(point => !points.IsObserved(point)).GroupBy(point => point.Timeline).ToDictionary(group => group.Key, group => group.Max(point => point.Value)));

    private static SortedDictionary<int, ulong> Unobserved(PointModel points, ReadOnlySpan<Point> held) => Latest(points, [.. held]);

    private static string HomeOf(PointModel points, List<Point> added)
    {
        var lanes = Latest(points, added).Keys.Select(timeline => timeline >> 2).Distinct().ToArray();
        var others = lanes.Where(lane => lane != Point.BackgroundLane).ToArray();
        return (lanes.Length, others.Length) switch
        {
            (0, _) => "observed",
            (_, 0) => "lane 0",
            (_, 1) => $"lane {others[0]}",
            _ => "mixed",
        };
    }
}
