using Kvcached.Devices;
using Kvcached.Memory;
using Kvcached.Sequences;
using Kvcached.Tables;
using Kvcached.Tiers;

namespace Kvcached.Engine;

/// <summary>Sizes and memory of an engine.</summary>
internal sealed record EngineOptions
{
    /// <summary>The pool.</summary>
    public required DeviceMemory Pool { get; init; }

    /// <summary>The entry heap.</summary>
    public required DeviceMemory Entries { get; init; }

    /// <summary>The cold tier, if there is one.</summary>
    public DeviceMemory? Cold { get; init; }

    /// <summary>Bytes of a unit of pool and cold tier. 2 MiB; simulations use less.</summary>
    public required long UnitBytes { get; init; }

    /// <summary>Bytes of the heap that serve one size of row at a time.</summary>
    public required long RowUnitBytes { get; init; }

    public required int MaxSequences { get; init; }

    /// <summary>Blocks that one turn may clean ahead of need while the background queue is idle; 0 for none.</summary>
    public required int CleanAheadBlocks { get; init; }
}

/// <summary>What the engine has done.</summary>
internal struct EngineCounters
{
    public long Steps;
    public long RefusedSteps;
    public long BusySteps;
    public long CleanedBlocks;
    public long EvictedBlocks;
    public long ReloadedBlocks;
    public long MovedBlocks;
    public long BytesOut;
    public long BytesIn;
    public long BytesMoved;
}

/// <summary>All that an engine knows: owned by <see cref="CacheEngine"/>, shared by its parts, touched by one thread at a time.</summary>
internal sealed class EngineState
{
    public EngineState(EngineOptions options, ISubmitter submitter)
    {
        Options = options;
        Submitter = submitter;
        Pool = new BlockPool(options.Pool.Bytes, options.UnitBytes, Timelines);
        Rows = new RowHeap(options.Entries, options.RowUnitBytes, Timelines);
        Cold = new ColdTier(options.Cold, options.UnitBytes, Timelines);
        Sequences = new SequenceTable(options.MaxSequences);
        Policy = new LeastRecentlyUsed(Sequences);
        Tracker = new AccessTracker(Timelines);
        Background = new Submission(Point.BackgroundLane, isOut: false, Timelines);
    }

    public EngineOptions Options { get; }

    public ISubmitter Submitter { get; }

    public TimelineTable Timelines { get; } = new();

    public BlockPool Pool { get; }

    public RowHeap Rows { get; }

    public ColdTier Cold { get; }

    public BlockTable Blocks { get; } = new();

    public SequenceTable Sequences { get; }

    public IEvictionPolicy Policy { get; }

    public AccessTracker Tracker { get; }

    /// <summary>Submission of the background queue, which waits on no lane.</summary>
    public Submission Background { get; }

    public ulong BackgroundValue { get; private set; }

    public List<ClientState> Clients { get; } = [];

    public List<ModelState> Models { get; } = [];

    /// <summary>Lanes by number; number 0 is the background's and has no lane.</summary>
    public List<LaneState?> Lanes { get; } = [null];

    public EngineCounters Counters;

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

    public ModelLayout LayoutOf(SequenceState sequence, int row) => Models[sequence.Model].Layouts[row];

    /// <summary>Adds to (or takes from) what a sequence holds on the device.</summary>
    public void AddResident(SequenceState sequence, long bytes)
    {
        sequence.ResidentBytes += bytes;
        if (sequence.IsLive)
        {
            Clients[sequence.Client].LiveBytes += bytes;
        }
    }

    /// <summary>Bytes that a client's live steps keep from others.</summary>
    public long PinnedBytes(ClientState client)
    {
        var bytes = client.LiveBytes;
        foreach (var lane in client.Lanes)
        {
            bytes += Pool.PendingBytesOf(lane.Number);
        }

        return bytes;
    }

    /// <summary>Whether something is under way that, once observed, may make room.</summary>
    public bool IsAnythingUnderWay()
    {
        if (Pool.HasPending || Cold.Pool.HasPending || Rows.Pool.HasPending || !IsObserved(Point.BackgroundLane, TimelineKind.In, BackgroundValue))
        {
            return true;
        }

        foreach (var lane in Lanes)
        {
            if (lane is not null && (lane.HasLive || !IsObserved(lane.Number, TimelineKind.Out, lane.OutValue) || !IsObserved(lane.Number, TimelineKind.In, lane.InValue)))
            {
                return true;
            }
        }

        return false;
    }

    public bool IsBackgroundIdle => !Background.IsOpen && IsObserved(Point.BackgroundLane, TimelineKind.In, BackgroundValue);

    private bool IsObserved(int lane, TimelineKind kind, ulong value) => Timelines.Observed(Point.TimelineOf(lane, kind)) >= value;
}
