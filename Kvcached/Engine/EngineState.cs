using Kvcached.Kernels;
using Kvcached.Memory;
using Kvcached.Sequences;
using Kvcached.Tables;
using Kvcached.Tiers;

namespace Kvcached.Engine;

/// <summary>All that an engine knows: owned by <see cref="CacheEngine"/>, shared by its parts, touched by one thread at a time.</summary>
internal sealed class EngineState
{
    /// <summary>Places that a list of what is under way has from the start, so that the first step that is Busy allocates none: three a lane.</summary>
    public const int UsualPoints = 48;

    public EngineState(EngineOptions options, ISubmitter submitter)
    {
        Options = options;
        Submitter = submitter;
        PoolMemory = new PoolMemory(options, submitter);
        Pool = new BlockPool(options.Pool.Bytes, options.UnitBytes, Timelines, options.PoolFloorBytes, PoolMemory);
        Rows = new RowHeap(options.Entries, options.RowUnitBytes, Timelines);
        Cold = new ColdTier(options.Cold, options.UnitBytes, Timelines);
        Sequences = new SequenceTable(options.MaxSequences);
        Policy = new LeastRecentlyUsed(Sequences);
        Tracker = new AccessTracker(Timelines);
        Background = new Submission(Point.BackgroundLane, isOut: false, Timelines);
        Reservation = new RoomReservation(this);
        Runs = new BlockRuns(Pool, Blocks);
        Tenants = new TenantTable(this);
    }

    public EngineOptions Options { get; }

    public ISubmitter Submitter { get; }

    public TimelineTable Timelines { get; } = new();

    public PoolMemory PoolMemory { get; }

    public BlockPool Pool { get; }

    public RowHeap Rows { get; }

    public ColdTier Cold { get; }

    public BlockTable Blocks { get; } = new();

    public BlockRuns Runs { get; }

    public SequenceTable Sequences { get; }

    public IEvictionPolicy Policy { get; }

    public AccessTracker Tracker { get; }

    public RoomReservation Reservation { get; }

    /// <summary>Submission of the background queue, which waits on no lane.</summary>
    public Submission Background { get; }

    public ulong BackgroundValue { get; private set; }

    public TenantTable Tenants { get; }

    /// <summary>Clients by number: those that have ended too, until another has the number.</summary>
    public NumberedList<ClientState> Clients { get; } = new();

    public NumberedList<ModelState> Models { get; } = new();

    /// <summary>Lanes by number; number 0 is the background's and has no lane, nor has a number that is free.</summary>
    public NumberedList<LaneState?> Lanes { get; } = new([null]);

    /// <summary>Clients that are condemned or gone, and not reclaimed.</summary>
    public List<ClientState> Dying { get; } = [];

    public EngineCounters Counters;

    /// <summary>Contiguous windows that have bytes of the pool, and how many bytes.</summary>
    public int Windows;
    public long WindowBytes;

    /// <summary>Layouts of the pool that are there for windows alone.</summary>
    public int WindowLayouts;

    /// <summary>Counts plans, so that a plan can mark the sequences that it is for.</summary>
    public ulong Plan;

    public Submission OpenBackground()
    {
        if (!Background.IsOpen)
        {
            Background.Open(new Point(Point.TimelineOf(Point.BackgroundLane, TimelineKind.In), ++BackgroundValue));
        }

        return Background;
    }

    public ref readonly ModelLayout LayoutOf(SequenceState sequence, int row) => ref Models[sequence.Model].Layouts[row];

    /// <summary>What the kernels of a step's windows need to know, but for where these lie.</summary>
    public WindowArguments WindowArgumentsOf(LaneState lane, StepRecord step, int row)
    {
        ref readonly var layout = ref Models[step.Model].Layouts[row];
        return new WindowArguments
        {
            Views = lane.ViewRing.Address + (ulong)lane.ViewOffset(step.Number, row),
            Entries = Rows.Memory.Address,
            Pool = Options.Pool.Address,
            Block = layout.Shape,
            Window = layout.Window,
            Batch = (uint)step.Count,
        };
    }

    public TenantState TenantOf(SequenceState sequence) => Clients[sequence.Client].Tenant;

    /// <summary>Adds to (or takes from) what a sequence holds on the device.</summary>
    public void AddResident(SequenceState sequence, long bytes)
    {
        var client = Clients[sequence.Client];
        sequence.ResidentBytes += bytes;
        client.Tenant.ResidentBytes += bytes;
        if (sequence.IsLive)
        {
            client.LiveBytes += bytes;
        }
    }

    /// <summary>Fills what of a block, or of a window, may be another tenant's with zeros (I8). Returns whether there was anything.</summary>
    public bool Scrub(Submission publish, BlockAddress bytes)
    {
        var isScrubbed = false;
        while (Pool.TryTakeUnscrubbed(bytes, out var offset, out var count))
        {
            if (!RuleFaults.Is(RuleFault.NotScrubbed))
            {
                publish.Commands.Fill(Options.Pool, offset, count, value: 0);
            }

            Counters.BytesScrubbed += count;
            isScrubbed = true;
        }

        return isScrubbed;
    }

    /// <summary>Takes a block's cold slot from it. The slot is the caller's to give back, or to use.</summary>
    public BlockAddress TakeSlot(ref BlockState block)
    {
        var slot = block.Cold;
        block.Cold = default;
        TenantOf(Sequences[block.Sequence]).ColdBytes -= Cold.Pool.BlockBytesOf(slot);
        return slot;
    }

    /// <summary>Adds to (or takes from) what a sequence holds of the entry heap.</summary>
    public void AddRow(SequenceState sequence, long bytes)
    {
        sequence.RowBytes += bytes;
        if (sequence.IsLive)
        {
            Clients[sequence.Client].LiveRowBytes += bytes;
        }
    }

    /// <summary>Marks a sequence as used by a live step, or as used by none: what it holds is pinned, or is not.</summary>
    public void SetLive(SequenceState sequence, bool isLive)
    {
        if (sequence.IsLive != isLive)
        {
            sequence.IsLive = isLive;
            var client = Clients[sequence.Client];
            client.LiveBytes += isLive ? sequence.ResidentBytes : -sequence.ResidentBytes;
            client.LiveRowBytes += isLive ? sequence.RowBytes : -sequence.RowBytes;
        }
    }

    /// <summary>Whether a client may keep so many more bytes from others.</summary>
    public bool CanPin(ClientState client, long bytes, long rowBytes = 0)
    {
        foreach (var lane in client.Lanes)
        {
            bytes += Pool.PendingBytesOf(lane.Number);
            rowBytes += Rows.Pool.PendingBytesOf(lane.Number);
        }

        return RuleFaults.Is(RuleFault.PinnedLimitNotApplied)
            || (bytes <= client.MaxPinnedBytes - client.LiveBytes && rowBytes <= client.MaxPinnedRowBytes - client.LiveRowBytes);
    }

    /// <summary>
    /// Notes bytes that a transfer on a queue of the lane reads or writes: it may stand behind the lane's live steps, and until it has been observed its bytes
    /// are pinned too.
    /// </summary>
    public void PinTransfer(LaneState lane, Point signal, long bytes)
    {
        lane.Client.LiveBytes += bytes;
        lane.PinnedTransfers.Enqueue((signal, bytes));
    }

    /// <summary>Lets go of what observed transfers pinned.</summary>
    public void UnpinTransfers(LaneState lane)
    {
        while (lane.PinnedTransfers.TryPeek(out var transfer) && Timelines.IsObserved(transfer.Signal))
        {
            lane.PinnedTransfers.Dequeue();
            lane.Client.LiveBytes -= transfer.Bytes;
        }
    }

    /// <summary>Makes free for everyone, in all arenas, what points have been observed for.</summary>
    public void Promote()
    {
        foreach (var arena in (ReadOnlySpan<BlockPool>)[Pool, Rows.Pool, Cold.Pool])
        {
            if (arena.HasPending)
            {
                arena.Promote();
            }
        }
    }

    /// <summary>Whether all that a lane has submitted has been observed: transfers and publishes.</summary>
    public bool IsDrained(LaneState lane) =>
        IsObserved(lane.Number, TimelineKind.In, lane.InValue) && IsObserved(lane.Number, TimelineKind.Out, lane.OutValue) && IsObserved(lane.Number, TimelineKind.Begin, lane.Planned);

    /// <summary>Lists what is under way: a point for each timeline that has not been observed up to the last value enqueued.</summary>
    public void ListOutstanding(List<Point> points)
    {
        points.Clear();
        AddOutstanding(points, Point.BackgroundLane, TimelineKind.In, BackgroundValue);
        if (Pool.Units.LastArrival is var arrival && !Timelines.IsObserved(arrival))
        {
            points.Add(arrival);
        }

        foreach (var lane in Lanes)
        {
            if (lane is not null)
            {
                AddOutstanding(points, lane.Number, TimelineKind.In, lane.InValue);
                AddOutstanding(points, lane.Number, TimelineKind.Out, lane.OutValue);
                AddOutstanding(points, lane.Number, TimelineKind.End, lane.Planned);
            }
        }
    }

    /// <summary>Whether something is under way that, once observed, may make room: transfers, steps that pin anything, and what waits for them.</summary>
    public bool IsAnythingUnderWay()
    {
        if (Pool.HasPending || Cold.Pool.HasPending || Rows.Pool.HasPending || !IsBackgroundIdle)
        {
            return true;
        }

        foreach (var client in Clients)
        {
            if (IsAnythingUnderWay(client))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether something of a client is under way that, once observed, may make it pin less.</summary>
    public bool IsAnythingUnderWay(ClientState client)
    {
        // What has been proved gone is reclaimed as soon as its transfers are over; what is condemned alone may stay so.
        if (client.Life == ClientLife.Gone || client.LiveBytes + client.LiveRowBytes > 0 || (RuleFaults.Is(RuleFault.LiveStepAwaitedForNothing) && client.HasLive))
        {
            return true;
        }

        foreach (var lane in client.Lanes)
        {
            if (Pool.PendingBytesOf(lane.Number) + Rows.Pool.PendingBytesOf(lane.Number) > 0
                || !IsObserved(lane.Number, TimelineKind.In, lane.InValue)
                || !IsObserved(lane.Number, TimelineKind.Out, lane.OutValue))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether a transfer on some lane's queue in has not been observed.</summary>
    public bool IsAnyReloadUnderWay()
    {
        foreach (var lane in Lanes)
        {
            if (lane is not null && !IsObserved(lane.Number, TimelineKind.In, lane.InValue))
            {
                return true;
            }
        }

        return false;
    }

    public bool IsBackgroundIdle => !Background.IsOpen && IsObserved(Point.BackgroundLane, TimelineKind.In, BackgroundValue);

    /// <summary>Whether something of a tenant's clients is under way that, once observed, may make it hold less.</summary>
    public bool IsAnythingUnderWay(TenantState tenant)
    {
        foreach (var client in Clients)
        {
            if (client.Tenant == tenant && IsAnythingUnderWay(client))
            {
                return true;
            }
        }

        return false;
    }

    private bool IsObserved(int lane, TimelineKind kind, ulong value) => Timelines.Observed(Point.TimelineOf(lane, kind)) >= value;

    private void AddOutstanding(List<Point> points, int lane, TimelineKind kind, ulong value)
    {
        if (!IsObserved(lane, kind, value))
        {
            points.Add(new Point(Point.TimelineOf(lane, kind), value));
        }
    }
}
