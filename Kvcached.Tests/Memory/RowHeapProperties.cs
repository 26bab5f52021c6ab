using Kvcached.Memory;
using Kvcached.Tables;
using Kvcached.Tests.Engine;
using Xunit;

namespace Kvcached.Tests.Memory;

/// <summary>Invariant I2 for rows of the entry heap.</summary>
public class RowHeapProperties
{
    private const long UnitBytes = 1024;

    [Theory]
    [InlineData(1)]
    [InlineData(16)]
    [InlineData(20)]
    public void Rows_lie_on_lines_apart_from_each_other_and_carry_what_their_bytes_carry(int units) => RandomProgram.CheckAll(60, 300, program =>
    {
        var points = new PointModel();
        var heap = new RowHeap(new PlainMemory("entries", units * UnitBytes), UnitBytes, points.Timelines);
        var model = new PoolModel(heap.Pool, units * UnitBytes, UnitBytes, points);
        while (!program.IsDone)
        {
            if (program.Chance(55))
            {
                Allocate(heap, model, 1 + program.Next(1 << program.Next(int.Log2(heap.MaxEntries) + 1)), program.Next(PointModel.Lanes));
            }
            else if (program.Chance(70) && model.Live > 0)
            {
                model.Free(program.Next(model.Live), points.DrawMany(program));
            }
            else
            {
                points.ObserveSome(program);
                heap.Pool.Promote();
            }
        }
    });

    [Theory]
    [InlineData(1024, 256)]
    [InlineData(4096, 1024)]
    [InlineData(5120, 1024)]
    public void The_longest_row_is_the_one_that_an_empty_heap_can_hand_out(long bytes, int entries)
    {
        var heap = new RowHeap(new PlainMemory("entries", bytes), UnitBytes, new TimelineTable());
        Assert.Equal(entries, heap.MaxEntries);
        Assert.True(heap.TryAllocate(heap.MaxEntries, Point.BackgroundLane, out _, out _));
    }

    [Theory]
    [InlineData(1, 32)]
    [InlineData(32, 32)]
    [InlineData(33, 64)]
    [InlineData(1000, 1024)]
    public void A_row_has_a_power_of_two_of_entries_and_whole_lines(int entries, int capacity) => Assert.Equal(capacity, RowHeap.CapacityFor(entries));

    private static void Allocate(RowHeap heap, PoolModel model, int entries, int lane)
    {
        var capacity = RowHeap.CapacityFor(Math.Min(entries, heap.MaxEntries));
        if (!heap.TryAllocate(capacity, lane, out var row, out var frontier))
        {
            return;
        }

        var start = heap.StartOf(row);
        Assert.Equal(0u, start % RowHeap.LineEntries);
        Assert.True((start + (uint)capacity) * sizeof(uint) <= heap.Memory.Bytes);
        model.Accept(row, heap.Pool.Units[row.Segment].Layout, lane, frontier);
    }
}
