using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Memory;
using Kvcached.Sequences;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>
/// An engine whose submissions are taken down and never run: a test observes what it likes. Blocks have 1 KiB and 4 tokens unless a model
/// says otherwise, units 4 KiB; rows have 32 entries. The first client's live steps may pin what they like.
/// </summary>
internal sealed class EngineRig
{
    public const int BlockBytes = 1024;
    public const int TokensPerBlock = 4;
    public const int UnitBytes = 4096;
    private const int LanesKept = 16;

    private readonly Recorder _recorder = new();

    public EngineRig(int poolBlocks = 4, int coldBlocks = 64, int rows = 32, int cleanAhead = 0, int maxSequences = 64, long compaction = 0, int? floorBlocks = null, int extentBlocks = 0)
    {
        Pool = new PlainMemory("pool", poolBlocks * BlockBytes, returns: extentBlocks > 0 ? MemoryReturn.Later : MemoryReturn.AtOnce, extentBytes: extentBlocks * BlockBytes);
        _recorder.GivesLater = extentBlocks > 0;
        Entries = new PlainMemory("entries", rows * RowBytes);
        Cold = coldBlocks == 0 ? null : new PlainMemory("cold", coldBlocks * BlockBytes, MemoryKind.Host);
        Engine = new CacheEngine(
            new EngineOptions
            {
                Pool = Pool,
                Entries = Entries,
                Cold = Cold,
                UnitBytes = UnitBytes,
                RowUnitBytes = RowBytes,
                MaxSequences = maxSequences,
                CleanAheadBlocks = cleanAhead,
                CompactionBytes = compaction,
                PoolFloorBytes = floorBlocks * BlockBytes,
            },
            _recorder);
        Client = Engine.OpenClient(long.MaxValue / 2);
        Model = Register(Client, Layout());
    }

    private static int RowBytes => Tables.RowHeap.LineEntries * sizeof(uint);

    public PlainMemory Pool { get; }

    public PlainMemory Entries { get; }

    public PlainMemory? Cold { get; }

    public CacheEngine Engine { get; }

    public ClientState Client { get; }

    public int Model { get; }

    public EngineCounters Counters => Engine.Counters;

    public static KvLayout Layout(int blockBytes = BlockBytes, int tokensPerBlock = TokensPerBlock, int window = 0) => new()
    {
        Planes = 1,
        Layers = 1,
        Heads = 1,
        HeadDim = blockBytes / tokensPerBlock,
        ElementType = KvElementType.Byte,
        TokensPerBlock = tokensPerBlock,
        WindowTokens = window,
    };

    public int Register(ClientState client, params KvLayout[] layouts) =>
        Engine.RegisterModel(client, [.. layouts.Select(layout => layout.ToShape())], [.. layouts.Select(layout => layout.WindowTokens)]);

    public LaneState OpenLane(ClientState? client = null, int depth = 4, int maxBatch = 8, int maxLayouts = 4, bool windows = false)
    {
        Assert.True(Engine.NextLane < LanesKept);
        var bytes = LaneState.RingBytes(depth, maxBatch, maxLayouts);
        return Engine.OpenLane(client ?? Client, new LaneMemory(depth, maxBatch, maxLayouts, new PlainMemory("views", bytes), new PlainMemory("staging", bytes, MemoryKind.Host), Windows: windows ? OpenWindows(depth, maxBatch, maxLayouts) : null));
    }

    private WindowRing OpenWindows(int depth, int maxBatch, int maxLayouts)
    {
        var options = new KvLaneOptions { Depth = depth, MaxBatch = maxBatch, MaxLayouts = maxLayouts };
        var bytes = WindowRing.BytesOf(options);
        return new WindowRing(options, new PlainMemory("windows", bytes), Pool.Address, new PlainKernel("store"), new WindowGathering(new PlainMemory("staged windows", bytes, MemoryKind.Host), new PlainKernel("gather")));
    }

    public SequenceHandle Create(ClientState? client = null, int? model = null) => Engine.Sequences.Create(client ?? Client, model ?? Model);

    public SequenceState StateOf(SequenceHandle sequence) => Engine.State.Sequences[sequence.Index];

    public KvStepStatus Begin(LaneState lane, params (SequenceHandle Sequence, int NewTokens)[] batch)
    {
        Engine.Turn();
        return Engine.Begin(lane, [.. batch.Select(item => new StepRequest(item.Sequence, item.NewTokens))]);
    }

    /// <summary>Begins a step that must be accepted, and returns what it submitted.</summary>
    public Submitted[] Accept(LaneState lane, params (SequenceHandle Sequence, int NewTokens)[] batch)
    {
        Take();
        Assert.Equal(KvStepStatus.Accepted, Begin(lane, batch));
        return Take();
    }

    public Submitted[] Take() => _recorder.Take();

    /// <summary>Blocks of the pool whose memory has been given back, in the order in which it was.</summary>
    public (long First, long Count)[] DiscardedBlocks => [.. _recorder.Discarded.Select(range => (range.Offset / BlockBytes, range.Bytes / BlockBytes))];

    /// <summary>Blocks of the pool that have been given memory, in the order in which they were.</summary>
    public (long First, long Count)[] PopulatedBlocks => [.. _recorder.Populated.Select(range => (range.Offset / BlockBytes, range.Bytes / BlockBytes))];

    /// <summary>Has the memory arrive that was asked for, or be refused, up to a request.</summary>
    public void Arrive(int request, bool isRefused = false)
    {
        if (isRefused)
        {
            _recorder.Refused.Add((ulong)request);
        }

        Observe(new Point(Point.ArrivalTimeline, (ulong)request));
    }

    /// <summary>Lanes that have been closed, in the order in which they were.</summary>
    public IReadOnlyList<int> ClosedLanes => _recorder.Closed;

    public void Observe(Point point)
    {
        Engine.Observe(point.Timeline, point.Value);
        Engine.Turn();
    }

    /// <summary>Observes all that has been submitted: publishes and transfers, and no ends of steps.</summary>
    public void ObserveTransfers()
    {
        foreach (var (timeline, value) in _recorder.Signals)
        {
            Engine.Observe(timeline, value);
        }

        Engine.Turn();
    }

    /// <summary>Observes that a step has begun and ended.</summary>
    public void ObserveEnd(LaneState lane, ulong step)
    {
        Engine.Observe(lane.BeginOf(step).Timeline, step);
        Observe(lane.EndOf(step));
    }

    /// <summary>Observes all that has been submitted, and the ends of all steps that have been planned.</summary>
    public void ObserveAll()
    {
        foreach (var lane in Engine.State.Lanes.OfType<LaneState>().Where(lane => lane.Planned > 0))
        {
            Engine.Observe(lane.EndOf(1).Timeline, lane.Planned);
        }

        ObserveTransfers();
    }

    /// <summary>The views of a step's layout, as staged.</summary>
    public static SequenceView[] Views(LaneState lane, ulong step, int layout = 0) =>
        MemoryMarshal.Cast<byte, SequenceView>(lane.Staging.HostSpan(lane.StagingOffset(step, layout), lane.StepAt(step).Count * SequenceView.Bytes)).ToArray();

    public BlockState BlockOf(SequenceHandle sequence, int index, int row = 0) => Engine.State.Blocks[StateOf(sequence).Rows[row][index]];

    public bool IsResident(SequenceHandle sequence, int index, int row = 0) => BlockOf(sequence, index, row).IsResident;

    /// <summary>Offset of a block in the pool.</summary>
    public long OffsetOf(SequenceHandle sequence, int index, int row = 0) => Engine.State.Pool.OffsetOf(BlockOf(sequence, index, row).Device);

    public long ColdOffsetOf(SequenceHandle sequence, int index, int row = 0) => Engine.State.Cold.Pool.OffsetOf(BlockOf(sequence, index, row).Cold);

    /// <summary>Everything that a step begun by mistake could have changed.</summary>
    public string Snapshot() => $"{Counters} {Engine.State.Pool.UsedBytes} {Engine.State.Rows.Pool.UsedBytes} {Engine.State.Cold.Pool.UsedBytes} {string.Join(',', Engine.State.Lanes.Select(lane => lane?.Begun))}";
}

/// <summary>A kernel that nothing runs.</summary>
internal sealed class PlainKernel(string name) : DeviceKernel(name);
