namespace Kvcached.Devices.Sim;

/// <summary>A point that a work waits for.</summary>
internal readonly record struct SimWait(SimTimeline Timeline, ulong Value)
{
    public bool IsReached => Timeline.Reached >= Value;
}

/// <summary>A captured command: memories and kernels by number.</summary>
internal struct SimCommand
{
    public CommandKind Kind;
    public byte FillValue;
    public short Kernel;
    public int Target;
    public int Source;
    public int PayloadOffset;
    public int PayloadBytes;
    public long TargetOffset;
    public long SourceOffset;
    public long Bytes;

    /// <summary>The range gets memory first, or is refused it: a device's own fill.</summary>
    public bool Populates;
}

/// <summary>
/// A submission that has not ended, or a promise (a work without a queue) that none has fulfilled. Pooled: storage stays, so a device
/// in steady use allocates nothing.
/// </summary>
internal sealed class SimWork
{
    private const int MaxPooled = 4096;

    [ThreadStatic]
    private static SimWork? s_pool;

    [ThreadStatic]
    private static int s_pooled;

    public SimQueue? Queue;
    public SimTimeline Signal = null!;
    public ulong Value;
    public uint Tick;

    /// <summary>The actor whose tick it is.</summary>
    public int Actor;

    public SimWait[] Waits = new SimWait[8];
    public int WaitCount;
    public SimCommand[] Commands = new SimCommand[8];
    public int CommandCount;
    public byte[] Payload = new byte[256];

    /// <summary>What the host knew when it submitted.</summary>
    public VectorClock Submitted;

    /// <summary>The neighbours in the queue.</summary>
    public SimWork? Previous;
    public SimWork? Next;

    public bool Started;
    public int Command;
    public long Progress;
    public int KernelSlice;
    public ulong KernelState;

    /// <summary>Mark and way back of the last search that came by.</summary>
    public uint Visit;
    public SimWork? CameFrom;

    /// <summary>The queue's owner; without one, the owner of the timeline that the work signals.</summary>
    public int Owner => Queue is null || Queue.Owner == SimDevice.Unowned ? Signal.Owner : Queue.Owner;

    public ReadOnlySpan<SimWait> WaitSpan => Waits.AsSpan(0, WaitCount);

    /// <summary>Takes a blank work from the thread's pool.</summary>
    public static SimWork Take(SimQueue? queue, SimTimeline signal, ulong value)
    {
        var work = s_pool;
        if (work is null)
        {
            work = new SimWork();
        }
        else
        {
            s_pool = work.Next;
            s_pooled--;
        }

        work.Queue = queue;
        work.Signal = signal;
        work.Value = value;
        work.Previous = work.Next = work.CameFrom = null;
        work.WaitCount = work.CommandCount = work.Command = work.KernelSlice = 0;
        work.Progress = 0;
        work.KernelState = 0;
        work.Visit = 0;
        work.Started = false;
        return work;
    }

    /// <summary>Gives the work back; nobody may hold it any more.</summary>
    public void Return()
    {
        Queue = null;
        Signal = null!;
        Previous = CameFrom = null;
        Waits.AsSpan(0, WaitCount).Clear();
        if (s_pooled < MaxPooled)
        {
            Next = s_pool;
            s_pool = this;
            s_pooled++;
        }
    }

    public void AddWait(SimTimeline timeline, ulong value)
    {
        if (WaitCount == Waits.Length)
        {
            Array.Resize(ref Waits, WaitCount * 2);
        }

        Waits[WaitCount++] = new SimWait(timeline, value);
    }

    public override string ToString() => Queue is null
        ? $"promise of {Signal.Label}:{Value}"
        : $"{Queue.Label}#{Tick} (signals {Signal.Label}:{Value})";
}
