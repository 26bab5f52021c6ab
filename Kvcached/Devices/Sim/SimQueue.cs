namespace Kvcached.Devices.Sim;

/// <summary>A queue of a simulated device: a list of works, of which the first may have started, and the clock of all it has done.</summary>
internal sealed class SimQueue : DeviceQueue
{
    private const int HistoryLength = 1024;

    private readonly SimDevice _device;
    private SubmissionRecord[] _history = new SubmissionRecord[32];

    public SimQueue(SimDevice device, string label, int actor, int owner)
        : base(label)
    {
        _device = device;
        Actor = actor;
        Owner = owner;
    }

    public SimDevice Device => _device;

    public int Actor { get; }

    public int Owner { get; set; }

    public bool IsDisposed { get; set; }

    /// <summary>Whether it was killed, and nobody knows that it does nothing any more.</summary>
    public bool IsKilled { get; set; }

    /// <summary>Whether another may have its place.</summary>
    public bool HasEnded => IsDisposed && !IsKilled && Head is null;

    public bool IsStalled { get; set; }

    public uint LastTick { get; set; }

    /// <summary>Whether the device gives memory by it: no order of it is anyone's to rely on, and nobody disposes it.</summary>
    public bool IsDevices { get; init; }

    /// <summary>The timelines that its submissions have signalled.</summary>
    public List<SimTimeline> Signals { get; } = [];

    /// <summary>What its submissions know of those before them, where some of that is forgotten.</summary>
    public ForgetfulOrder? Forgetful { get; set; }

    public SimWork? Head { get; private set; }

    public SimWork? Tail { get; private set; }

    /// <summary>What has happened before the command that runs, or before the next.</summary>
    public VectorClock Clock;

    public ulong Bit => 1ul << Actor;

    public override void Submit(ReadOnlySpan<WaitPoint> waits, CommandList commands, TimelinePoint signal) =>
        _device.Submit(this, waits, commands, signal);

    public void Enqueue(SimWork work)
    {
        work.Previous = Tail;
        if (Tail is null)
        {
            Head = work;
        }
        else
        {
            Tail.Next = work;
        }

        Tail = work;
    }

    public void Dequeue()
    {
        Head = Head!.Next;
        if (Head is null)
        {
            Tail = null;
        }
        else
        {
            Head.Previous = null;
        }
    }

    public void NoteSignal(SimTimeline timeline)
    {
        if (!Signals.Contains(timeline))
        {
            Signals.Add(timeline);
        }
    }

    /// <summary>Takes the last work away again, for a queue that ends.</summary>
    public SimWork RemoveLast()
    {
        var work = Tail!;
        Tail = work.Previous;
        if (Tail is null)
        {
            Head = null;
        }
        else
        {
            Tail.Next = null;
        }

        return work;
    }

    /// <summary>Keeps what messages say about a submission after it has ended.</summary>
    public void Remember(SimWork work)
    {
        if (work.Tick == _history.Length && work.Tick < HistoryLength)
        {
            Array.Resize(ref _history, _history.Length * 2);
        }

        var kinds = 0;
        for (var i = 0; i < work.CommandCount; i++)
        {
            kinds |= 1 << (int)work.Commands[i].Kind;
        }

        _history[work.Tick & (uint)(_history.Length - 1)] = new SubmissionRecord(work.Tick, kinds, work.Signal, work.Value);
    }

    public string Describe(uint tick)
    {
        var record = _history[tick & (uint)(_history.Length - 1)];
        if (record.Tick != tick || record.Signal is null)
        {
            return $"{Label}#{tick}";
        }

        var kinds = Enum.GetValues<CommandKind>().Where(kind => (record.Kinds & (1 << (int)kind)) != 0);
        return $"{Label}#{tick} ({string.Join('+', kinds)}, signals {record.Signal.Label}:{record.Value})";
    }

    protected override void Dispose(bool disposing) => _device.End(this, finishStarted: true);

    private readonly record struct SubmissionRecord(uint Tick, int Kinds, SimTimeline? Signal, ulong Value);
}
