using Kvcached.Devices;
using Kvcached.Kernels;
using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>How far the end of a client has come (I9): one way, step by step.</summary>
internal enum ClientLife
{
    /// <summary>Its commands are accepted.</summary>
    Alive,

    /// <summary>No more of them are: it has died, or is to. Its live steps may go on writing.</summary>
    Condemned,

    /// <summary>It has been proved that no kernel of it can write any more. The host signals its ends in its place; its transfers are still to come to theirs.</summary>
    Gone,

    /// <summary>Nothing is left of it, and its numbers are others' to have.</summary>
    Reclaimed,
}

/// <summary>A client: who owns lanes and sequences, and what its live steps may pin, in bytes of the pool and of the entry heap (I10).</summary>
internal sealed class ClientState(int number, TenantState tenant, long maxPinnedBytes, long maxPinnedRowBytes)
{
    public readonly int Number = number;
    public readonly TenantState Tenant = tenant;
    public readonly long MaxPinnedBytes = maxPinnedBytes;
    public readonly long MaxPinnedRowBytes = maxPinnedRowBytes;
    public readonly List<LaneState> Lanes = [];

    /// <summary>How far its end has come.</summary>
    public ClientLife Life;

    /// <summary>Bytes on the device of sequences that live steps use, and of others while transfers into them are on their way.</summary>
    public long LiveBytes;

    /// <summary>Bytes of the rows of sequences that live steps use.</summary>
    public long LiveRowBytes;

    /// <summary>Whether a step of the client has not been observed as ended.</summary>
    public bool HasLive
    {
        get
        {
            foreach (var lane in Lanes)
            {
                if (lane.HasLive)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>What every command of a client begins with.</summary>
    /// <exception cref="KvException">No more commands of it are accepted.</exception>
    public void ThrowIfCondemned()
    {
        if (Life != ClientLife.Alive)
        {
            throw new KvException(KvError.Disconnected, $"Client {Number} has been disconnected: no command of it is accepted any more.");
        }
    }
}

/// <summary>One layout of a model as the engine knows it.</summary>
internal readonly record struct ModelLayout(KvShape Shape, int WindowTokens, int PoolLayout, int ColdLayout)
{
    public bool HasPageTable => Shape.PageShift != 0;

    /// <summary>Strides of contiguous windows.</summary>
    public KvShape Window { get; } = WindowShape.Of(Shape);

    public int TokensPerBlock => 1 << (int)Shape.TokensPerBlockShift;

    public long BlockBytes => (long)Shape.BlockBytes;

    public int BlocksFor(int tokens) => (int)(((uint)tokens + (1u << (int)Shape.TokensPerBlockShift) - 1) >> (int)Shape.TokensPerBlockShift);

    /// <summary>First block that the queries of a step may see.</summary>
    public int FirstVisibleBlock(int tokensBefore, int newTokens)
    {
        if (WindowTokens == 0)
        {
            return 0;
        }

        var firstQuery = newTokens > 0 ? tokensBefore : tokensBefore - 1;
        return Math.Max(0, firstQuery + 1 - WindowTokens) >> (int)Shape.TokensPerBlockShift;
    }
}

/// <summary>A registered model.</summary>
internal sealed class ModelState(int client, ModelLayout[] layouts)
{
    /// <summary>Most layouts that a model has: a bit for each fits in a word.</summary>
    public const int MaxLayouts = 64;

    /// <summary>Has the place of a model whose client has ended: it is nobody's.</summary>
    public static readonly ModelState None = new(-1, []);

    public readonly int Client = client;
    public readonly ModelLayout[] Layouts = layouts;
}

/// <summary>One sequence of a step that has been begun.</summary>
internal struct StepItemState
{
    public SequenceHandle Sequence;
    public int NewTokens;

    /// <summary>A truncate that the client called after this step and before the next of the sequence, while the step waited; −1 for none.</summary>
    public int TruncateAfter;
    public bool FreeAfter;

    /// <summary>Layouts, one bit for each, whose windows were open when the step was begun: it uses them.</summary>
    public ulong Windows;
}

/// <summary>A step that has been begun: its batch and what became of it. Reused every depth steps.</summary>
internal sealed class StepRecord(int maxBatch)
{
    public readonly StepItemState[] Items = new StepItemState[maxBatch];
    public int Count;
    public int Model;

    /// <summary>Whether a sequence of the batch has a window.</summary>
    public bool HasWindows;
    public ulong Number;
    public KvStepStatus Status;

    public Span<StepItemState> Batch => Items.AsSpan(0, Count);
}

/// <summary>
/// A lane: an ordered flow of steps of one client, with transfer queues, view slots and staging of its own.
/// <code>
///   ended ≤ planned ≤ begun ≤ ended + depth
/// </code>
/// A lane whose number another has had goes on from that one's values: points of that one, wherever they are still kept, stay observed.
/// </summary>
internal sealed class LaneState
{
    public readonly int Number;
    public readonly ClientState Client;
    public readonly int Depth;
    public readonly int MaxBatch;
    public readonly int MaxLayouts;
    public readonly DeviceMemory ViewRing;
    public readonly DeviceMemory Staging;
    public readonly PageTableRing? PageTables;
    public readonly WindowRing? Windows;
    public readonly Submission Out;
    public readonly Submission Transfers;
    public readonly Submission Publish;
    private readonly StepRecord[] _steps;

    public LaneState(int number, ClientState client, LaneMemory memory, TimelineTable timelines)
    {
        Number = number;
        Client = client;
        (Depth, MaxBatch, MaxLayouts) = (memory.Depth, memory.MaxBatch, memory.MaxLayouts);
        (ViewRing, Staging, PageTables, Windows) = (memory.ViewRing, memory.Staging, memory.PageTables, memory.Windows);
        Out = new Submission(number, isOut: true, timelines);
        Transfers = new Submission(number, isOut: false, timelines);
        Publish = new Submission(number, isOut: false, timelines);
        _steps = new StepRecord[Depth + 1];
        for (var i = 0; i < _steps.Length; i++)
        {
            _steps[i] = new StepRecord(MaxBatch);
        }

        if (!RuleFaults.Is(RuleFault.ReusedLaneBeginsAtZero))
        {
            Begun = Planned = timelines.Observed(Point.TimelineOf(number, TimelineKind.Begin));
            Ended = Signalled = timelines.Observed(Point.TimelineOf(number, TimelineKind.End));
            (InValue, OutValue) = (timelines.Observed(Point.TimelineOf(number, TimelineKind.In)), timelines.Observed(Point.TimelineOf(number, TimelineKind.Out)));
        }
    }

    /// <summary>Last step begun, last one planned (accepted or refused), last one observed as ended.</summary>
    public ulong Begun;
    public ulong Planned;
    public ulong Ended;

    /// <summary>For how long its oldest live step has been held.</summary>
    public readonly StepLease Lease = new();

    /// <summary>Last end that the client was seen to signal: it may run ahead of the steps that have ended.</summary>
    public ulong Signalled;

    /// <summary>Last values that <c>out</c> and <c>in</c> have been told to signal.</summary>
    public ulong OutValue;
    public ulong InValue;

    /// <summary>Transfers that no step asked for: the point that ends them, and the bytes that they pin until then.</summary>
    public readonly Queue<(Point Signal, long Bytes)> PinnedTransfers = new(capacity: 64);

    /// <summary>When the lane's first waiting step began to wait: orders the lanes that wait.</summary>
    public ulong WaitingSince;

    public bool HasWaiting => Begun > Planned;

    public bool HasLive => Planned > Ended;

    public ref StepRecord StepAt(ulong number) => ref _steps[number % (ulong)_steps.Length];

    public Point BeginOf(ulong step) => new(Point.TimelineOf(Number, TimelineKind.Begin), step);

    public Point EndOf(ulong step) => new(Point.TimelineOf(Number, TimelineKind.End), step);

    public Submission OpenOut()
    {
        if (!Out.IsOpen)
        {
            Out.Open(new Point(Point.TimelineOf(Number, TimelineKind.Out), ++OutValue));
        }

        return Out;
    }

    public Submission OpenTransfers()
    {
        if (!Transfers.IsOpen)
        {
            Transfers.Open(new Point(Point.TimelineOf(Number, TimelineKind.In), ++InValue));
        }

        return Transfers;
    }

    /// <summary>Byte of a layout's views in the view ring: steps take slots in turn.</summary>
    public long ViewOffset(ulong step, int layout)
    {
        var slots = RuleFaults.Is(RuleFault.ViewSlotReusedEarly) ? 1 : Depth;
        return RingOffset(step, layout, slots, MaxBatch, MaxLayouts);
    }

    /// <summary>Byte of a layout's views in staging, which has as many slots.</summary>
    public long StagingOffset(ulong step, int layout)
    {
        var slots = RuleFaults.Is(RuleFault.StagingReusedEarly) ? 1 : Depth;
        return RingOffset(step, layout, slots, MaxBatch, MaxLayouts);
    }

    /// <summary>Byte of a layout's views in a ring of so many slots.</summary>
    public static long RingOffset(ulong step, int layout, int slots, int maxBatch, int maxLayouts) => (((long)(step % (ulong)slots) * maxLayouts) + layout) * maxBatch * SequenceView.Bytes;

    public static long RingBytes(int depth, int maxBatch, int maxLayouts) => (long)depth * maxBatch * maxLayouts * SequenceView.Bytes;
}

/// <summary>Memory and sizes of a lane that is being opened.</summary>
internal readonly record struct LaneMemory(int Depth, int MaxBatch, int MaxLayouts, DeviceMemory ViewRing, DeviceMemory Staging, PageTableRing? PageTables = null, WindowRing? Windows = null);
