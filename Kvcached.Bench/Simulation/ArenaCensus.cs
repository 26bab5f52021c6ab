using Kvcached.Memory;

namespace Kvcached.Bench.Simulation;

/// <summary>Counts what lies in an arena by looking at every block: apart from the arena's own books and searches.</summary>
internal sealed class ArenaCensus(BlockPool pool)
{
    /// <summary>Bytes that had been given back in the free runs for which something is true.</summary>
    public long FreeBytesOf(Predicate<Segment> isCounted)
    {
        var bytes = 0L;
        for (var unit = 0; unit < pool.Units.Count; unit += pool.Units[unit].Units)
        {
            var run = pool.Units[unit];
            bytes += run.State == SegmentState.Free && isCounted(run) ? run.WaitingBytes : 0;
        }

        return bytes;
    }

    /// <summary>Bytes of the blocks, in use or pending, for which something is true.</summary>
    public long BytesOf(Predicate<BlockAddress> isCounted)
    {
        var bytes = 0L;
        for (var unit = 0; unit < pool.Units.Count; unit += pool.Units[unit].Units)
        {
            var run = pool.Units[unit];
            for (var block = 0; IsThere(run, block); block++)
            {
                bytes += IsUsed(run, block) && isCounted(new BlockAddress(unit, block)) ? pool.BlockBytes(run.Layout) : 0;
            }
        }

        return bytes;
    }

    /// <summary>Units of the runs that have a block in use or pending, or for which something is true.</summary>
    public int UnitsOf(Predicate<Segment> isCounted)
    {
        var units = 0;
        for (var unit = 0; unit < pool.Units.Count; unit += pool.Units[unit].Units)
        {
            var run = pool.Units[unit];
            var isKept = isCounted(run);
            for (var block = 0; !isKept && IsThere(run, block); block++)
            {
                isKept = IsUsed(run, block);
            }

            units += isKept ? run.Units : 0;
        }

        return units;
    }

    /// <summary>
    /// Whether blocks certainly fit, wherever they are put: there are windows of units, each of a segment's size, that can be had whole. Of one layout, as many
    /// as its blocks fill; of several, which may each spoil a window of the largest with one block, as many as there are blocks.
    /// </summary>
    /// <param name="demand">How many blocks of each layout.</param>
    /// <param name="isFixed">Whether a block that is in use or pending cannot be had.</param>
    /// <param name="isUnusedFixed">Whether what no block of a run uses cannot be had.</param>
    public bool Fits(Dictionary<int, int> demand, Predicate<BlockAddress> isFixed, Predicate<Segment> isUnusedFixed)
    {
        if (demand.Count == 0)
        {
            return true;
        }

        var windows = demand.Count > 1 ? demand.Values.Sum() : demand.Sum(layout => (layout.Value + pool.BlocksPerSegment(layout.Key) - 1) / pool.BlocksPerSegment(layout.Key));
        return windows <= ClearWindows(demand.Keys.Max(pool.SegmentOrder), isFixed, isUnusedFixed);
    }

    private int ClearWindows(int order, Predicate<BlockAddress> isFixed, Predicate<Segment> isUnusedFixed)
    {
        var isClear = new bool[pool.Units.Count];
        for (var unit = 0; unit < isClear.Length; unit += pool.Units[unit].Units)
        {
            var run = pool.Units[unit];
            isClear.AsSpan(unit, run.Units).Fill(IsClear(run, isFixed, isUnusedFixed));
        }

        return isClear.Chunk(1 << order).Count(window => window.Length == 1 << order && !window.Contains(false));
    }

    private static bool IsClear(Segment run, Predicate<BlockAddress> isFixed, Predicate<Segment> isUnusedFixed)
    {
        var isClear = !isUnusedFixed(run);
        for (var block = 0; isClear && IsThere(run, block); block++)
        {
            isClear = !IsUsed(run, block) || !isFixed(new BlockAddress(run.StartUnit, block));
        }

        return isClear;
    }

    private static bool IsThere(Segment run, int block) => run.State == SegmentState.InUse && block < run.Fresh;

    private static bool IsUsed(Segment run, int block) => run.Uses[block] is var use && (use.IsHeld || use.IsReserved || use.IsPending);
}
