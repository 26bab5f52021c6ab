namespace Kvcached.Memory;

/// <summary>Places that lie one behind the other in a segment, and that the background queue may write now: where a run of blocks can go.</summary>
internal sealed partial class BlockPool
{
    /// <summary>Segments of a layout looked at for such places.</summary>
    private const int SegmentBudget = 32;

    /// <summary>Places behind a block in its segment.</summary>
    public int PlacesBehind(BlockAddress address)
    {
        var segment = Units[address.Segment];
        return PlacesFrom(segment, address.Block + 1, segment.BlockCapacity);
    }

    /// <summary>
    /// Finds as many places as are wanted, or the most there are together: in the segments with the most free blocks, else in a new one, which then is the
    /// layout's. The caller takes them at once.
    /// </summary>
    public int FindPlaces(int layout, int wanted, out BlockAddress first)
    {
        first = default;
        var most = 0;
        var budget = SegmentBudget;
        for (var segment = Sparsest(layout, after: null); segment is not null && most < wanted && budget-- > 0; segment = Sparsest(layout, segment))
        {
            for (var block = 0; block < segment.BlockCapacity && most < wanted; block++)
            {
                var places = PlacesFrom(segment, block, wanted);
                if (places > most)
                {
                    (most, first) = (places, new BlockAddress(segment.StartUnit, block));
                }

                block += places;
            }
        }

        if (most < wanted && Units.Take(_layouts[layout].Order) is { } run)
        {
            Carve(layout, run);
            (most, first) = (wanted, new BlockAddress(run.StartUnit, 0));
        }

        return most;
    }

    /// <summary>Hands out a place that has been found. Those behind a segment's last used block go in their order.</summary>
    public void TakePlace(BlockAddress address)
    {
        var segment = Units[address.Segment];
        if (RuleFaults.Is(RuleFault.RunIntoUnobserved) && segment.Uses[address.Block].IsPending)
        {
            _pending.Remove(segment, address.Block);
        }
        else if (address.Block < segment.Fresh)
        {
            segment.TakeFree(address.Block);
        }
        else
        {
            System.Diagnostics.Debug.Assert(address.Block == segment.Fresh);
            segment.Fresh++;
        }

        Claim(segment, address.Block);
        _layouts[segment.Layout].Free.Relist(segment);
    }

    private int PlacesFrom(Segment segment, int block, int most)
    {
        var places = 0;
        while (places < most && block < segment.Fresh && (segment.IsFree(block) || (RuleFaults.Is(RuleFault.RunIntoUnobserved) && segment.Uses[block].IsPending)))
        {
            places++;
            block++;
        }

        return block >= segment.Fresh && segment.Frontier.Prune(_timelines)
            ? Math.Min(most, places + segment.BlockCapacity - block)
            : places;
    }
}
