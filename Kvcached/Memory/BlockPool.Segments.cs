namespace Kvcached.Memory;

/// <summary>Segments that nobody holds a block of go back to the arena, to other layouts and to the system.</summary>
internal sealed partial class BlockPool
{
    /// <summary>The segment of a layout with the most free blocks, or the one after it in that order (to a factor of two), among those that have any.</summary>
    public Segment? Sparsest(int layout, Segment? after) => _layouts[layout].Free.Sparsest(after);

    /// <summary>Carves a window of units that has been emptied, if all of it is usable by the lane.</summary>
    public bool TryCarveWindow(int layout, int start, int lane)
    {
        if (TakeWindow(start, _layouts[layout].Order, lane) is not { } window)
        {
            return false;
        }

        Carve(layout, window);
        return true;
    }

    /// <summary>
    /// Takes the memory from a run of what nobody uses and whose frontiers have been observed, where more than so many bytes have some; the caller gives
    /// it back. Call until there is none.
    /// </summary>
    public bool TryTrim(long keepBytes, out long offset, out long bytes)
    {
        ReleaseEmpty();
        var found = Units.TryTrim((int)Math.Min(keepBytes / _unitBytes, Units.Count), out var unit, out var units);
        (offset, bytes) = (unit * _unitBytes, units * _unitBytes);
        _owners.AsSpan(unit, units).Fill(Nobody);
        return found;
    }

    /// <summary>Gives segments that nobody holds a block of back to the arena, but those that wait for points of lanes.</summary>
    public void ReleaseEmpty()
    {
        if (_emptySegments > 0)
        {
            ReleaseEmptySegments(exceptLayout: -1, Point.BackgroundLane);
        }
    }

    /// <summary>Asks for memory for so many blocks of a layout, those included that memory comes for already.</summary>
    public void Ask(int layout, int blocks)
    {
        ref readonly var l = ref _layouts[layout];
        Units.Ask(l.Order, ((blocks + l.Capacity - 1) / l.Capacity) << l.Order);
    }

    /// <summary>Whether a lane may use all of a segment's bytes that nobody holds: what was freed of them, what was not used, and what has no memory and can have some.</summary>
    public bool IsUsableBy(Segment segment, int lane)
    {
        if (Units.IsRefused && Units.IsAbsent(segment))
        {
            return false;
        }

        if (!FrontierHome.Of(segment.Frontier.Points, _timelines).IsUsableBy(lane))
        {
            return false;
        }

        for (var block = 0; segment.State == SegmentState.InUse && block < segment.Fresh; block++)
        {
            if (segment.Uses[block].IsPending && !FrontierHome.Of(_pending.FrontierOf(segment, block).Points, _timelines).IsUsableBy(lane))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Takes a window of units if all of it is free, or of segments that nobody holds a block of, and usable by the lane.</summary>
    private Segment? TakeWindow(int start, int order, int lane)
    {
        for (var unit = start; unit < start + (1 << order); unit += Units[unit].Units)
        {
            var segment = Units[unit];
            if (segment.State == SegmentState.InUse && segment.Used == 0)
            {
                ReleaseSegment(segment);
            }
        }

        return Units.TakeWindow(start, order, lane);
    }

    /// <summary>Gives segments that other layouts do not use back to the arena, where the lane may use them.</summary>
    private bool ReleaseEmptySegments(int exceptLayout, int lane)
    {
        var released = false;
        for (var unit = 0; unit < Units.Count; unit += Math.Max(1, Units[unit].Units))
        {
            var segment = Units[unit];
            if (segment.State == SegmentState.InUse && segment.Used == 0 && segment.Layout != exceptLayout && IsUsableBy(segment, lane))
            {
                ReleaseSegment(segment);
                released = true;
            }
        }

        return released;
    }

    /// <summary>Returns an unused segment's units; they carry the union of its blocks' frontiers (I2).</summary>
    private void ReleaseSegment(Segment segment)
    {
        _layouts[segment.Layout].Free.Unlist(segment);
        CountEmpty(segment, -1);
        _layouts[segment.Layout].Segments--;
        _carvedUnits -= segment.Units;
        for (var block = 0; block < segment.Fresh; block++)
        {
            if (segment.Uses[block].IsPending)
            {
                if (!RuleFaults.Is(RuleFault.SegmentWithoutUnion))
                {
                    segment.Frontier.Add(_pending.FrontierOf(segment, block).Points, _timelines);
                }

                segment.WaitingBytes += _pending.Remove(segment, block);
            }
        }

        NoteReleased(segment, in _layouts[segment.Layout]);
        Units.Release(segment);
    }
}
