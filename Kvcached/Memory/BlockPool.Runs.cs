namespace Kvcached.Memory;

/// <summary>Blocks that are whole segments of 2^k units: they double and halve where they lie, by buddies.</summary>
internal sealed partial class BlockPool
{
    /// <summary>Whether a block can double in place until it has an order: all units behind it are free, and usable by the lane.</summary>
    public bool CanGrow(BlockAddress address, int order, int lane)
    {
        var segment = Units[address.Segment];
        var end = segment.StartUnit + (1 << order);
        if ((segment.StartUnit & ((1 << order) - 1)) != 0 || end > Units.Count)
        {
            return false;
        }

        for (var unit = segment.StartUnit + segment.Units; unit < end; unit += Units[unit].Units)
        {
            if (!(Units[unit] is { State: SegmentState.Free } or { Used: 0 }) || !IsUsableBy(Units[unit], lane))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Doubles a block in place, if it is its buddy's lower half and all of the upper one is free and usable by the lane.</summary>
    /// <param name="address">The block: it stays where it is.</param>
    /// <param name="layout">The layout of twice its size.</param>
    /// <param name="lane">Who will use the bytes.</param>
    /// <param name="frontier">Gets what must be reached before the bytes that were added may be written.</param>
    public bool TryDouble(BlockAddress address, int layout, int lane, ref Frontier frontier)
    {
        var segment = Units[address.Segment];
        var upperStart = segment.StartUnit + segment.Units;
        if ((segment.StartUnit & segment.Units) != 0 || upperStart + segment.Units > Units.Count || TakeWindow(upperStart, segment.Order, lane) is not { } upper)
        {
            return false;
        }

        Count(segment, -1);
        if (!RuleFaults.Is(RuleFault.GrownWithoutFrontier))
        {
            frontier.Add(upper.Frontier.Points, _timelines);
        }

        segment.Frontier.Add(upper.Frontier.Points, _timelines);
        upper.State = SegmentState.Interior;
        segment.Unscrubbed += NoteUsed(upperStart, segment.Units, _layouts[layout].Tenant);
        segment.Order++;
        segment.Layout = layout;
        Count(segment, 1);
        return true;
    }

    /// <summary>Halves a block in place; the upper half is free with a frontier.</summary>
    /// <param name="address">The block: it stays where it is.</param>
    /// <param name="layout">The layout of half its size.</param>
    /// <param name="frontier">The block's.</param>
    public void Halve(BlockAddress address, int layout, in Frontier frontier)
    {
        var segment = Units[address.Segment];
        Count(segment, -1);
        var upper = Units.Halve(segment);
        upper.Frontier.Clear();
        upper.Frontier.Add(segment.Frontier.Points, _timelines);
        segment.Layout = layout;
        Count(segment, 1);

        upper.Carve(layout, blockCapacity: 1);
        upper.Unscrubbed = NoteUsed(upper.StartUnit, upper.Units, _layouts[layout].Tenant);
        segment.Unscrubbed -= upper.Unscrubbed;
        upper.Used = upper.Fresh = 1;
        Count(upper, 1);
        Free(new BlockAddress(upper.StartUnit, 0), RuleFaults.Is(RuleFault.HalfWithoutFrontier) ? default : frontier);
    }

    /// <summary>Counts a segment that is one block, or no longer does.</summary>
    private void Count(Segment segment, int change)
    {
        ref var layout = ref _layouts[segment.Layout];
        layout.Segments += change;
        layout.Used += change;
        UsedBlocks += change;
        UsedBytes += change * layout.BlockBytes;
        UsedBytesPeak = Math.Max(UsedBytesPeak, UsedBytes);
        _carvedUnits += change * segment.Units;
    }
}
