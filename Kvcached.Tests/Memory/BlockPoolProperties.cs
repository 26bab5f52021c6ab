using Kvcached.Memory;
using Xunit;

namespace Kvcached.Tests.Memory;

/// <summary>Invariant I2 for bytes of the pool: what is handed out is free, and its frontier covers all that was done to it.</summary>
public class BlockPoolProperties
{
    private const long UnitBytes = 4096;

    /// <summary>Sizes that need segments of one, two, four and eight units; some leave a tail.</summary>
    private static readonly long[] _blockBytes = [256, 768, 1024, 1536, 4096, 6144, 11 * 1024, 16 * 1024];

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(13)]
    [InlineData(32)]
    public void Blocks_of_any_layouts_never_overlap_and_carry_what_their_bytes_carry(int units) => RandomProgram.CheckAll(60, 600, program =>
    {
        var points = new PointModel();
        var pool = new BlockPool(units * UnitBytes, UnitBytes, points.Timelines);
        var model = new PoolModel(pool, units * UnitBytes, UnitBytes, points);
        var whole = pool.AddLayout(UnitBytes << int.Log2(units));
        int[] layouts = [whole, .. _blockBytes.Where(_ => program.Chance(50)).Select(pool.AddLayout).Where(layout => layout >= 0)];
        while (!program.IsDone)
        {
            var layout = layouts[program.Next(layouts.Length)];
            switch (program.Next(10))
            {
                case < 5:
                    model.TryAllocate(layout, program.Next(PointModel.Lanes));
                    break;
                case < 8 when model.Live > 0:
                    model.Free(program.Next(model.Live), points.DrawMany(program));
                    break;
                case 8:
                    points.ObserveSome(program);
                    if (program.Chance(70))
                    {
                        pool.Promote();
                    }

                    break;
                case 9:
                    var size = 1 << pool.SegmentOrder(layout);
                    CarveIfEmpty(pool, layout, program.Next(units / size) * size, program.Next(PointModel.Lanes));
                    break;
            }
        }

        model.ExpectAllRoomToBeFoundFor(layouts[^1]);
        model.ExpectOneArenaAfterAll(whole);
    });

    [Fact]
    public void Blocks_come_from_the_fullest_segment()
    {
        var points = new PointModel();
        var pool = new BlockPool(2 * UnitBytes, UnitBytes, points.Timelines);
        var layout = pool.AddLayout(256);
        var blocks = Enumerable.Range(0, 32).Select(_ => Allocate(pool, layout)).ToArray();
        var (full, empty) = (blocks[0].Segment, blocks[31].Segment);
        Assert.NotEqual(full, empty);
        foreach (var block in blocks.Where(block => block.Segment == empty).Take(12))
        {
            pool.Free(block, default);
        }

        foreach (var block in blocks.Where(block => block.Segment == full).Take(2))
        {
            pool.Free(block, default);
        }

        Assert.Equal(full, Allocate(pool, layout).Segment);
        Assert.Equal(full, Allocate(pool, layout).Segment);
        Assert.Equal(empty, Allocate(pool, layout).Segment);
    }

    [Fact]
    public void A_segment_carved_again_waits_for_all_that_its_blocks_waited_for()
    {
        var points = new PointModel();
        var pool = new BlockPool(UnitBytes, UnitBytes, points.Timelines);
        pool.EnsureLane(2);
        var small = pool.AddLayout(1024);
        var large = pool.AddLayout(4096);
        Point[] ends = [EndOf(1, 1), EndOf(1, 2), EndOf(1, 3)];
        var blocks = ends.Select(_ => Allocate(pool, small)).ToArray();
        for (var i = 0; i < blocks.Length; i++)
        {
            pool.Free(blocks[i], points.FrontierOf([ends[i], new Point(Point.TimelineOf(1, TimelineKind.Out), (ulong)(9 - i))]));
        }

        Assert.False(pool.TryAllocate(large, 2, out _, out _));
        Assert.True(pool.TryAllocate(large, 1, out _, out var frontier));
        Assert.Equal([EndOf(1, 3), new Point(Point.TimelineOf(1, TimelineKind.Out), 9)], frontier.Points.ToArray());
    }

    [Fact]
    public void Blocks_that_wait_for_several_lanes_go_to_nobody_until_all_but_one_are_observed()
    {
        var points = new PointModel();
        var pool = new BlockPool(UnitBytes, UnitBytes, points.Timelines);
        pool.EnsureLane(2);
        var layout = pool.AddLayout(4096);
        pool.Free(Allocate(pool, layout), points.FrontierOf([EndOf(1, 1), EndOf(2, 1)]));

        Assert.False(pool.TryAllocate(layout, 1, out _, out _));
        Assert.False(pool.TryAllocate(layout, 2, out _, out _));
        points.Timelines.Observe(EndOf(2, 1).Timeline, 1);
        pool.Promote();
        Assert.False(pool.TryAllocate(layout, 2, out _, out _));
        Assert.True(pool.TryAllocate(layout, 1, out _, out _));
    }

    [Fact]
    public void Pending_bytes_are_counted_on_the_lane_that_they_wait_for()
    {
        var points = new PointModel();
        var pool = new BlockPool(UnitBytes, UnitBytes, points.Timelines);
        pool.EnsureLane(2);
        var layout = pool.AddLayout(1024);
        pool.Free(Allocate(pool, layout), points.FrontierOf([EndOf(2, 1)]));
        Assert.Equal((0L, 1024L), (pool.PendingBytesOf(1), pool.PendingBytesOf(2)));
        points.Timelines.Observe(EndOf(2, 1).Timeline, 1);
        pool.Promote();
        Assert.Equal(0, pool.PendingBytesOf(2));
    }

    [Fact]
    public void Bytes_of_a_segment_that_is_free_units_again_are_counted_until_they_are_observed()
    {
        var points = new PointModel();
        var pool = new BlockPool(2 * UnitBytes, UnitBytes, points.Timelines);
        pool.EnsureLane(2);
        var (large, small) = (pool.AddLayout(2 * UnitBytes), pool.AddLayout(1024));
        pool.Free(Allocate(pool, large), points.FrontierOf([EndOf(1, 1)]));
        Assert.Equal((2 * UnitBytes, 0L), (pool.PendingBytesOf(1), pool.PendingBytesOf(2)));

        Assert.True(pool.TryAllocate(small, 1, out _, out _));

        Assert.Equal((UnitBytes, 0L), (pool.PendingBytesOf(1), pool.PendingBytesOf(2)));
        points.Timelines.Observe(EndOf(1, 1).Timeline, 1);
        pool.Promote();
        Assert.Equal(0, pool.PendingBytesOf(1));
    }

    [Fact]
    public void Bytes_that_wait_for_several_lanes_are_accounted_to_one_of_a_client_that_they_still_wait_for()
    {
        var points = new PointModel();
        var pool = new BlockPool(UnitBytes, UnitBytes, points.Timelines);
        pool.EnsureLane(3);
        var layout = pool.AddLayout(1024);
        var frontier = points.FrontierOf([EndOf(Point.BackgroundLane, 1), EndOf(1, 1), EndOf(2, 1), EndOf(3, 1)]);
        points.Timelines.Observe(EndOf(1, 1).Timeline, 1);
        pool.Free(Allocate(pool, layout), frontier);
        Assert.Equal((0L, 0L, 1024L), (pool.PendingBytesOf(Point.BackgroundLane), pool.PendingBytesOf(1), pool.PendingBytesOf(2)));
        points.Timelines.Observe(EndOf(Point.BackgroundLane, 1).Timeline, 1);
        points.Timelines.Observe(EndOf(2, 1).Timeline, 1);
        points.Timelines.Observe(EndOf(3, 1).Timeline, 1);
        pool.Promote();
        Assert.Equal(0, pool.PendingBytesOf(2));
    }

    [Theory]
    [InlineData(4096, 0)]
    [InlineData(3840, 0)]
    [InlineData(1536, 1)]
    [InlineData(3072, 2)]
    [InlineData(4352, 4)]
    public void A_segment_is_the_smallest_that_loses_no_more_than_a_sixteenth(long blockBytes, int order)
    {
        var pool = new BlockPool(64 * UnitBytes, UnitBytes, new TimelineTable());
        var layout = pool.AddLayout(blockBytes);
        var segment = UnitBytes << pool.SegmentOrder(layout);
        Assert.True((segment - (pool.BlocksPerSegment(layout) * blockBytes)) * 16 <= segment);
        Assert.Equal(order, pool.SegmentOrder(layout));
        for (var smaller = 0; smaller < pool.SegmentOrder(layout); smaller++)
        {
            Assert.True((UnitBytes << smaller) < blockBytes || (UnitBytes << smaller) % blockBytes * 16 > UnitBytes << smaller);
        }
    }

    [Fact]
    public void A_layout_whose_segment_does_not_fit_the_arena_has_no_number() =>
        Assert.Equal(-1, new BlockPool(3 * UnitBytes, UnitBytes, new TimelineTable()).AddLayout(2 * UnitBytes + 1));

    private static Point EndOf(int lane, ulong step) => new(Point.TimelineOf(lane, TimelineKind.End), step);

    private static BlockAddress Allocate(BlockPool pool, int layout)
    {
        Assert.True(pool.TryAllocate(layout, Point.BackgroundLane, out var address, out _));
        return address;
    }

    /// <summary>As the engine does: only a window whose segments it has emptied, and that starts with one.</summary>
    private static void CarveIfEmpty(BlockPool pool, int layout, int start, int lane)
    {
        var end = start + (1 << pool.SegmentOrder(layout));
        for (var unit = start; unit < end; unit += pool.Units[unit].Units)
        {
            var segment = pool.Units[unit];
            if (segment.State == SegmentState.Interior || (segment.State == SegmentState.InUse && (segment.Used > 0 || segment.Layout == layout)))
            {
                return;
            }
        }

        pool.TryCarveWindow(layout, start, lane);
    }
}
