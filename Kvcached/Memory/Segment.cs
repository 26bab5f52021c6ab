using System.Numerics;

namespace Kvcached.Memory;

internal enum SegmentState : byte
{
    /// <summary>Inside a run that starts at a lower unit.</summary>
    Interior,

    /// <summary>A free run.</summary>
    Free,

    /// <summary>Carved for a layout.</summary>
    InUse,
}

/// <summary>
/// A buddy-aligned run of units, free or carved into blocks of one layout. There is one object for each unit, used while a run starts at
/// that unit, so carving and releasing allocate nothing once the arrays have grown. Owned by <see cref="UnitMap"/> while free and by
/// <see cref="BlockPool"/> while in use.
/// </summary>
internal sealed class Segment(int startUnit)
{
    public readonly int StartUnit = startUnit;
    public SegmentState State;
    public int Order;

    /// <summary>Points to be reached before bytes of the run that nobody has used since it was freed may be overwritten.</summary>
    public PointSet Frontier = new();

    /// <summary>The lane that a free run is accounted to while it waits for points, and the bytes of it that were accounted to a client before it was free.</summary>
    public int WaitingLane;
    public long WaitingBytes;

    /// <summary>The arrival of its memory that a free run waits for, while it does.</summary>
    public Point Arrival;

    /// <summary>Neighbours in the one list that the run is on.</summary>
    public Segment? Previous;
    public Segment? Next;

    public int Layout;
    public int BlockCapacity;
    public int Used;

    /// <summary>The bucket that lists the segment, or −1.</summary>
    public int Bucket = -1;

    /// <summary>Blocks from here on have not been used since the segment was carved.</summary>
    public int Fresh;

    /// <summary>Free blocks below <see cref="Fresh"/>.</summary>
    public int FreeCount;

    /// <summary>The last plan that may want to empty the segment: it moves no blocks into it while there is room elsewhere.</summary>
    public ulong EmptiedBy;

    /// <summary>The last search for what other tenants may lose that looked at the window of units which begins here.</summary>
    public ulong LookedAtBy;

    /// <summary>Blocks that may hold another tenant's bytes; of a block that is the whole segment, units.</summary>
    public int Unscrubbed;

    /// <summary>What each block is used for.</summary>
    public BlockUse[] Uses = [];

    /// <summary>A bit for each free block below <see cref="Fresh"/>; no word before the lowest has any.</summary>
    private ulong[] _free = [];
    private int _lowestWord;

    /// <summary>A bit for each block that has not been scrubbed, where any has not.</summary>
    private ulong[] _unscrubbed = [];

    /// <summary>Blocks that can be handed out as far as this segment knows.</summary>
    public int Available => FreeCount + BlockCapacity - Fresh;

    public int Units => 1 << Order;

    public void Carve(int layout, int blockCapacity)
    {
        State = SegmentState.InUse;
        WaitingBytes = 0;
        Layout = layout;
        BlockCapacity = blockCapacity;
        Used = 0;
        Fresh = 0;
        Unscrubbed = 0;
        FreeCount = _lowestWord = 0;
        _free.AsSpan().Clear();
        Uses.AsSpan(0, blockCapacity).Fill(BlockUse.Free);
    }

    /// <summary>Makes room for so many blocks: when a layout is added, so that carving allocates nothing.</summary>
    public void EnsureCapacity(int blockCapacity)
    {
        if (Uses.Length < blockCapacity)
        {
            Array.Resize(ref Uses, blockCapacity);
            Array.Resize(ref _free, (blockCapacity + 63) >> 6);
            Array.Resize(ref _unscrubbed, _free.Length);
        }
    }

    /// <summary>No block has been scrubbed.</summary>
    public void SetUnscrubbed()
    {
        _unscrubbed.AsSpan().Fill(ulong.MaxValue);
        Unscrubbed = BlockCapacity;
    }

    /// <summary>A block is scrubbed, or overwritten. False if it has been before.</summary>
    public bool TakeUnscrubbed(int block)
    {
        if ((_unscrubbed[block >> 6] >> block & 1) == 0)
        {
            return false;
        }

        _unscrubbed[block >> 6] &= ~(1UL << block);
        Unscrubbed--;
        return true;
    }

    public bool IsFree(int block) => (_free[block >> 6] >> block & 1) != 0;

    public void PushFree(int block)
    {
        Uses[block] = BlockUse.Free;
        _free[block >> 6] |= 1UL << block;
        _lowestWord = Math.Min(_lowestWord, block >> 6);
        FreeCount++;
    }

    /// <summary>Takes the lowest free block: what is freed in any order is handed out in the order of addresses, so that runs come about.</summary>
    public int PopFree()
    {
        while (_free[_lowestWord] == 0)
        {
            _lowestWord++;
        }

        var block = (_lowestWord << 6) + BitOperations.TrailingZeroCount(_free[_lowestWord]);
        TakeFree(block);
        return block;
    }

    /// <summary>Takes a block that is free.</summary>
    public void TakeFree(int block)
    {
        _free[block >> 6] &= ~(1UL << block);
        FreeCount--;
    }
}

/// <summary>An intrusive list of segments.</summary>
internal struct SegmentList
{
    public Segment? Head;

    public void Add(Segment segment)
    {
        segment.Previous = null;
        segment.Next = Head;
        if (Head is not null)
        {
            Head.Previous = segment;
        }

        Head = segment;
    }

    public void Remove(Segment segment)
    {
        if (segment.Previous is null)
        {
            Head = segment.Next;
        }
        else
        {
            segment.Previous.Next = segment.Next;
        }

        if (segment.Next is not null)
        {
            segment.Next.Previous = segment.Previous;
        }

        segment.Previous = null;
        segment.Next = null;
    }
}
