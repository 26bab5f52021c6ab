using Kvcached.Memory;
using Xunit;

namespace Kvcached.Tests.Memory;

/// <summary>Units without memory behind them.</summary>
public class UnitMapTests
{
    private const int Lane = 1;

    private readonly List<(int Start, int Units)> _populated = [];

    [Fact]
    public void Units_get_memory_when_they_are_taken_and_no_more_than_are()
    {
        var units = new UnitMap(units: 8, present: 1, new TimelineTable(), new Source(_populated));
        Assert.Equal(0, Use(units.Take(order: 0)!));
        Assert.Empty(_populated);

        Assert.Equal(4, Use(units.TakeWindow(4, order: 1, Lane)!));
        Assert.Equal(1, Use(units.Take(order: 0)!));
        Assert.Equal([(4, 2), (1, 1)], _populated);
        Assert.Equal(4, units.Present);
    }

    [Fact]
    public void A_window_that_cannot_be_had_gets_no_memory()
    {
        var units = new UnitMap(units: 4, present: 3, new TimelineTable(), new Source(_populated));
        Assert.Equal(2, Use(units.Take(order: 0)!));

        Assert.Null(units.TakeWindow(2, order: 1, Lane));

        Assert.Empty(_populated);
        Assert.Equal(3, units.Present);
    }

    [Fact]
    public void What_comes_is_nobodys_before_its_arrival_has_been_noted_though_it_has_been_observed()
    {
        var timelines = new TimelineTable();
        var units = new UnitMap(units: 4, present: 1, timelines, new LateSource());
        Assert.Equal(0, Use(units.Take(order: 0)!));
        Assert.Null(units.Take(order: 0));

        timelines.Observe(Point.ArrivalTimeline, units.LastArrival.Value);
        Assert.Null(units.TakeAhead(order: 0, Lane));
        Assert.Null(units.TakeWindow(1, order: 0, Lane));

        units.Promote();
        Assert.Equal((1L, 2), (units.Arrived, units.Present));
        Assert.Equal(1, Use(units.Take(order: 0)!));
    }

    /// <summary>Gives memory later.</summary>
    private sealed class LateSource : IUnitMemory
    {
        private ulong _asked;

        public bool ComesLater => true;

        public int LeastOrder => 0;

        public Point Populate(int start, int units) => new(Point.ArrivalTimeline, ++_asked);

        public bool IsRefused(Point arrival) => false;
    }

    /// <summary>Gives memory at once, and notes what it was asked for.</summary>
    private sealed class Source(List<(int Start, int Units)> populated) : IUnitMemory
    {
        public bool ComesLater => false;

        public int LeastOrder => 0;

        public Point Populate(int start, int units)
        {
            populated.Add((start, units));
            return default;
        }

        public bool IsRefused(Point arrival) => false;
    }

    private static int Use(Segment run)
    {
        run.State = SegmentState.InUse;
        return run.StartUnit;
    }
}
