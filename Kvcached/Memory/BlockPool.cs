namespace Kvcached.Memory;

/// <summary>
/// An arena shared by layouts of different block size: the device pool, the cold tier and the entry heap are each one. Blocks are handed out
/// in O(1), from the fullest segment first, and every free block is that block plus its frontier (I2): what has been observed goes to
/// anyone, what has not to the one lane whose points are outstanding, in this order:
/// <code>
///   free block of a carved segment → new segment → block pending on the lane's own points → segment pending on them
/// </code>
/// Single-threaded; steady state allocates nothing.
/// </summary>
internal sealed partial class BlockPool
{
    private readonly TimelineTable _timelines;
    private readonly PendingBlocks _pending;
    private readonly long _unitBytes;
    private PoolLayout[] _layouts = [];
    private int _lanes = 1;
    private int _emptySegments;
    private int _carvedUnits;

    /// <summary>Makes an arena.</summary>
    /// <param name="bytes">Addresses that there are.</param>
    /// <param name="unitBytes">Bytes of a unit.</param>
    /// <param name="timelines">What has been observed.</param>
    /// <param name="presentBytes">How many of the addresses have memory from the start; null for all.</param>
    /// <param name="memory">Gives memory to units that have none; null where all have some.</param>
    public BlockPool(long bytes, long unitBytes, TimelineTable timelines, long? presentBytes = null, IUnitMemory? memory = null)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes / unitBytes, BlockAddress.MaxUnits, nameof(bytes));
        _timelines = timelines;
        _unitBytes = unitBytes;
        _pending = new PendingBlocks(timelines);
        _owners = new int[bytes / unitBytes];
        _owners.AsSpan().Fill(Nobody);
        Units = new UnitMap((int)(bytes / unitBytes), (int)((presentBytes ?? bytes) / unitBytes), timelines, memory);
    }

    public UnitMap Units { get; }

    public int PendingCount => _pending.Count;

    /// <summary>Whether bytes are free that some point not yet observed keeps from being used.</summary>
    public bool HasPending => _pending.Count > 0 || Units.HasWaiting;

    public long UsedBytes { get; private set; }

    public long UsedBytesPeak { get; private set; }

    public long UsedBlocks { get; private set; }

    public int Layouts => _layouts.Length;

    /// <summary>Units that are carved for no layout.</summary>
    public int FreeUnits => Units.Count - _carvedUnits;

    /// <summary>Bytes of segments that are carved for a layout.</summary>
    public long CarvedBytes => _carvedUnits * _unitBytes;

    /// <summary>Bytes that have memory behind them.</summary>
    public long PresentBytes => Units.Present * _unitBytes;

    /// <summary>Whether memory comes: what waits for room waits for that before anything is evicted.</summary>
    public bool IsGrowing => Units.Coming > 0;

    /// <summary>Units that would be free if each layout's blocks lay in as few segments as they fit.</summary>
    public int WastedUnits
    {
        get
        {
            var wasted = 0;
            foreach (ref readonly var layout in _layouts.AsSpan())
            {
                wasted += (layout.Segments - ((layout.Used + layout.Capacity - 1) / layout.Capacity)) << layout.Order;
            }

            return wasted;
        }
    }

    /// <summary>Those of the wasted units that blocks must move for: what nobody holds a block of waits for points alone.</summary>
    public int SparseUnits
    {
        get
        {
            var sparse = WastedUnits;
            foreach (ref readonly var layout in _layouts.AsSpan())
            {
                sparse -= layout.EmptySegments << layout.Order;
            }

            return sparse;
        }
    }

    /// <summary>Blocks of a layout's segments that nobody holds.</summary>
    public int FreeBlocks(int layout) => (_layouts[layout].Segments * _layouts[layout].Capacity) - _layouts[layout].Used;

    public int TenantOf(int layout) => _layouts[layout].Tenant;

    public long BlockBytes(int layout) => _layouts[layout].BlockBytes;

    public int SegmentOrder(int layout) => _layouts[layout].Order;

    public int BlocksPerSegment(int layout) => _layouts[layout].Capacity;

    /// <summary>Bytes that were given back and wait for points of a lane: as blocks, or in runs of units that segments of such have become.</summary>
    public long PendingBytesOf(int lane) => _pending.BytesOf(lane) + (RuleFaults.Is(RuleFault.WaitingRunNotPinned) ? 0 : Units.WaitingBytesOf(lane));

    public void EnsureLane(int lane)
    {
        _lanes = Math.Max(_lanes, lane + 1);
        _pending.EnsureSize(_layouts.Length, _lanes);
        Units.EnsureLane(lane);
    }

    /// <summary>Whether a tenant has had blocks of a size.</summary>
    public bool HasLayout(long blockBytes, int tenant) => Array.Exists(_layouts, layout => layout.BlockBytes == blockBytes && layout.Tenant == tenant);

    /// <summary>Adds a block size of a tenant, or finds it: a tenant's blocks of one size share segments, and no other tenant's do. Returns its number.</summary>
    /// <returns>−1 if no segment of it fits the arena.</returns>
    public int AddLayout(long blockBytes, int tenant = 0)
    {
        var known = Array.FindIndex(_layouts, layout => layout.BlockBytes == blockBytes && (layout.Tenant == tenant || RuleFaults.Is(RuleFault.SegmentShared)));
        if (known >= 0)
        {
            return known;
        }

        var layout = new PoolLayout(blockBytes, tenant, _unitBytes);
        if (1L << layout.Order > Units.Count)
        {
            return -1;
        }

        Array.Resize(ref _layouts, _layouts.Length + 1);
        _layouts[^1] = layout;
        _pending.EnsureSize(_layouts.Length, _lanes);
        _pending.EnsureNodes((long)(Units.Count >> layout.Order) * layout.Capacity);
        for (var unit = 0; unit < Units.Count; unit += 1 << layout.Order)
        {
            Units[unit].EnsureCapacity(layout.Capacity);
        }

        return _layouts.Length - 1;
    }

    public long OffsetOf(BlockAddress address)
    {
        var segment = Units[address.Segment];
        return (segment.StartUnit * _unitBytes) + (address.Block * _layouts[segment.Layout].BlockBytes);
    }

    /// <summary>Bytes of the block that lies at an address.</summary>
    public long BlockBytesOf(BlockAddress address) => _layouts[Units[address.Segment].Layout].BlockBytes;

    /// <summary>Who holds a block, as <see cref="SetHolder"/> was told; −1 for nobody.</summary>
    public int HolderOf(BlockAddress address) => Units[address.Segment].Uses[address.Block] is { IsHeld: true } use ? use.Holder : -1;

    /// <summary>Tells who holds a block that has been handed out: the reverse map.</summary>
    public void SetHolder(BlockAddress address, int holder) => Units[address.Segment].Uses[address.Block] = BlockUse.HeldBy(holder);

    /// <summary>
    /// Hands out a block to a lane (lane 0: the background queue). <paramref name="frontier"/> gets the points that the first use must wait for.
    /// </summary>
    /// <returns>False if no block is free that the lane may use now.</returns>
    public bool TryAllocate(int layout, int lane, out BlockAddress address, out Frontier frontier)
    {
        frontier = default;
        ref var l = ref _layouts[layout];
        if (TryTakeListed(ref l, Point.BackgroundLane, ahead: false, out address, ref frontier) || TryCarve(layout, Units.Take(l.Order), out address, ref frontier))
        {
            return true;
        }

        if (_emptySegments > l.EmptySegments && ReleaseEmptySegments(layout, lane) && TryCarve(layout, Units.Take(l.Order), out address, ref frontier))
        {
            return true;
        }

        if (_pending.TryTake(layout, lane, out var segment, out var block, out frontier))
        {
            address = Claim(segment, block);
            return true;
        }

        return TryTakeListed(ref l, lane, ahead: true, out address, ref frontier) || TryCarve(layout, Units.TakeAhead(l.Order, lane), out address, ref frontier);
    }

    /// <summary>
    /// Hands out a block of a segment outside a window of units to the background queue, where the window's blocks move: of the fullest segment, of
    /// none that holds less than <paramref name="leastUsed"/>, and of none that a plan (0: none) may want to empty.
    /// </summary>
    public bool TryAllocateOutside(int layout, int start, int units, int leastUsed, ulong plan, out BlockAddress address, out Frontier frontier)
    {
        frontier = default;
        ref var l = ref _layouts[layout];
        for (var segment = l.Free.Fullest; segment is not null; segment = l.Free.NextSparser(segment))
        {
            if (segment.Used >= leastUsed && (plan == 0 || segment.EmptiedBy != plan) && (uint)(segment.StartUnit - start) >= (uint)units && TryTake(segment, Point.BackgroundLane, ahead: false, out address, ref frontier))
            {
                return true;
            }
        }

        address = default;
        return false;
    }

    /// <summary>Takes a block back with its frontier.</summary>
    public void Free(BlockAddress address, in Frontier frontier)
    {
        var segment = Units[address.Segment];
        segment.Used--;
        UsedBlocks--;
        _layouts[segment.Layout].Used--;
        UsedBytes -= _layouts[segment.Layout].BlockBytes;
        if (segment.Used == 0)
        {
            CountEmpty(segment, 1);
        }

        var home = FrontierHome.Of(frontier.Points, _timelines);
        if (home.IsObserved)
        {
            MakeFree(segment, address.Block);
        }
        else
        {
            _pending.Add(segment, address.Block, frontier, home, _layouts[segment.Layout].BlockBytes);
        }
    }

    /// <summary>Makes free for everyone what points have been observed for. Call after observing.</summary>
    public void Promote()
    {
        _pending.Promote(this);
        Units.Promote();
    }

    internal void MakeFree(Segment segment, int block)
    {
        segment.PushFree(block);
        _layouts[segment.Layout].Free.Relist(segment);
    }

    private bool TryTakeListed(ref PoolLayout layout, int lane, bool ahead, out BlockAddress address, ref Frontier frontier)
    {
        for (var segment = layout.Free.Fullest; segment is not null; segment = layout.Free.NextSparser(segment))
        {
            if (TryTake(segment, lane, ahead, out address, ref frontier))
            {
                return true;
            }
        }

        address = default;
        return false;
    }

    private bool TryTake(Segment segment, int lane, bool ahead, out BlockAddress address, ref Frontier frontier)
    {
        if (segment.FreeCount > 0)
        {
            address = Claim(segment, segment.PopFree());
        }
        else if (segment.Frontier.Prune(_timelines) || (ahead && FrontierHome.Of(segment.Frontier.Points, _timelines).IsUsableBy(lane)))
        {
            frontier.Add(RuleFaults.Is(RuleFault.CarvedFrontierForgotten) ? [] : segment.Frontier.Points, _timelines);
            address = Claim(segment, segment.Fresh++);
        }
        else
        {
            address = default;
            return false;
        }

        _layouts[segment.Layout].Free.Relist(segment);
        return true;
    }

    private bool TryCarve(int layout, Segment? run, out BlockAddress address, ref Frontier frontier)
    {
        if (run is null)
        {
            address = default;
            return false;
        }

        Carve(layout, run);
        frontier.Add(run.Frontier.Points, _timelines);
        address = Claim(run, run.Fresh++);
        _layouts[run.Layout].Free.Relist(run);
        return true;
    }

    private void Carve(int layout, Segment run)
    {
        ref var l = ref _layouts[layout];
        run.Carve(layout, l.Capacity);
        NoteCarved(run, in l);
        l.Segments++;
        _carvedUnits += run.Units;
        CountEmpty(run, 1);
        _layouts[run.Layout].Free.Relist(run);
    }

    private BlockAddress Claim(Segment segment, int block)
    {
        if (segment.Used++ == 0)
        {
            CountEmpty(segment, -1);
        }

        UsedBlocks++;
        _layouts[segment.Layout].Used++;
        UsedBytes += _layouts[segment.Layout].BlockBytes;
        UsedBytesPeak = Math.Max(UsedBytesPeak, UsedBytes);
        segment.Uses[block] = BlockUse.Reserved;
        return new BlockAddress(segment.StartUnit, block);
    }

    /// <summary>What must be reached before a block that is pending may be used; nothing for one that is not.</summary>
    public ReadOnlySpan<Point> FrontierOf(BlockAddress address) =>
        Units[address.Segment] is var segment && segment.Uses[address.Block].IsPending ? _pending.FrontierOf(segment, address.Block).Points : [];

    private void CountEmpty(Segment segment, int change)
    {
        _emptySegments += change;
        _layouts[segment.Layout].EmptySegments += change;
    }
}
