using Kvcached.Devices.Linux;

namespace Kvcached.Devices.Host;

/// <summary>
/// A queue with a thread of its own, which takes submissions in order and waits for their points, so that a device is given only what it can do at once.
/// <code>
///   Submit (one thread at a time)            the queue's thread
///   check, capture, publish, ring   ─────→   peek → wait all → start
/// </code>
/// Stopping: the stop flag is set, and then the bell that the thread may be asleep on is rung. The thread names that bell before it
/// awaits it and looks at the flag after, so one of the two sees the other; what others may write, or this process only read, is looked at again anyhow.
/// </summary>
internal abstract unsafe partial class HostQueue : DeviceQueue
{
    private readonly Thread _thread;

    /// <summary>Element 0 of a pinned array: rung when a submission is published, or the queue stops.</summary>
    private readonly Doorbell[] _bell = GC.AllocateArray<Doorbell>(16, pinned: true);

    /// <summary>The slot that the thread waits on, or 0; its <see cref="BellAccess"/> is in the low bits, which are 0 in every slot's address.</summary>
    private nint _waitingOn;
    private volatile bool _stop;
    private volatile bool _ended;
    private int _disposed;

    private protected HostQueue(MappedDevice device, string label)
        : base(label)
    {
        Device = device;
        _thread = new Thread(Run) { IsBackground = true, Name = $"kvcached queue {label}" };
    }

    /// <summary>Submissions accepted so far.</summary>
    internal long Accepted => Chain.Published;

    private protected MappedDevice Device { get; }

    private protected SubmissionChain Chain { get; } = new();

    /// <summary>Whether no more commands may run: what follows a failed one must neither run nor be signalled.</summary>
    private protected bool IsEnding => _stop || Device.IsLost;

    /// <summary>Whether nothing of it runs any more, nor will.</summary>
    private protected bool HasEnded => _ended;

    internal void Start() => _thread.Start();

    public override void Submit(ReadOnlySpan<WaitPoint> waits, CommandList commands, TimelinePoint signal)
    {
        ArgumentNullException.ThrowIfNull(commands);
        ObjectDisposedException.ThrowIf(_disposed != 0, this);
        Device.ThrowIfLost();

        // Whatever throws here leaves a reserved record that was never published.
        var list = commands.Commands;
        var payload = commands.Payload;
        var bytes = SubmissionRecord.Measure(waits.Length, list.Length, payload.Length) + MeasureMore(list);
        var record = Chain.Reserve(bytes);
        record->Waits = waits.Length;
        record->Commands = list.Length;
        CaptureSignal(signal, record);
        CaptureWaits(waits, SubmissionRecord.WaitsOf(record));
        payload.CopyTo(new Span<byte>(SubmissionRecord.PayloadOf(record), payload.Length));
        CaptureCommands(list, SubmissionRecord.CommandsOf(record), SubmissionRecord.PayloadOf(record), payload.Length);
        if (!_stop && TryRunAtOnce(record))
        {
            return;
        }

        Chain.Publish(bytes);
        _bell[0].Ring();
    }

    /// <summary>Makes the thread end soon, without waiting for it.</summary>
    internal void RequestStop()
    {
        _stop = true;
        _bell[0].Ring();
        var waitingOn = Volatile.Read(ref _waitingOn);
        if (waitingOn != 0)
        {
            var access = waitingOn & (TimelineSlot.Bytes - 1);
            ((TimelineSlot*)(waitingOn - access))->Bell.Rouse((BellAccess)access);
        }
    }

    /// <summary>Whether so many submissions have been run and signalled, so that nothing that they name is needed any more; or none of them ever will.</summary>
    internal virtual bool IsPast(long accepted) => _ended || Chain.Consumed >= accepted;

    protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        Device.RequestStop(this);
#pragma warning disable RS0030 // Teardown: the records that the thread reads are freed next. It is past every wait, and ends with the command that it is in.
        _thread.Join();
#pragma warning restore RS0030
        End();
        _ended = true;
        Device.Release(this);
        Chain.Free();
    }

    /// <summary>Runs a record that is reserved and not published on the thread that submits it, if that does no harm and saves something.</summary>
    private protected virtual bool TryRunAtOnce(SubmissionRecord* record) => false;

    /// <summary>Whether a submission that waits for the point may be started.</summary>
    private protected virtual bool IsReady(in WaitRecord wait) => wait.Slot->Value >= wait.Value;

    /// <summary>The oldest record that was not started; null if there is none.</summary>
    private protected abstract SubmissionRecord* PeekNext();

    /// <summary>Starts what all points have been reached for; the queue's thread. False to end the queue.</summary>
    private protected abstract bool StartNext(SubmissionRecord* record);

    /// <summary>The thread has ended: waits until nothing reads a record any more, and gives back what it took.</summary>
    private protected virtual void End()
    {
    }

    private protected static void SignalEnd(SubmissionRecord* record)
    {
        record->SignalSlot->Signal(record->SignalValue);
        record->SignalBell.Ring();
    }

    private protected static bool AreReached(SubmissionRecord* record)
    {
        var waits = SubmissionRecord.WaitsOf(record);
        for (var i = 0; i < record->Waits; i++)
        {
            if (waits[i].Slot->Value < waits[i].Value)
            {
                return false;
            }
        }

        return true;
    }

    private void Run()
    {
        while (AwaitSubmission(out var record) && AwaitPoints(record) && StartNext(record))
        {
        }
    }

    private bool AwaitSubmission(out SubmissionRecord* record)
    {
        var submitted = new Submitted(this);
        _bell[0].Await(ref submitted, HostTimeline.SpinTicks);
        record = submitted.Record;
        return !_stop;
    }

    private bool AwaitPoints(SubmissionRecord* record)
    {
        var waits = SubmissionRecord.WaitsOf(record);
        for (var i = 0; i < record->Waits; i++)
        {
            if (!IsReady(in waits[i]) && !AwaitPoint(in waits[i]))
            {
                return false;
            }
        }

        return true;
    }

    private bool AwaitPoint(in WaitRecord wait)
    {
        var reached = new ReadyOrStopped(this, wait);
        Volatile.Write(ref _waitingOn, (nint)wait.Slot | (nint)wait.Access);
        wait.Slot->Bell.Await(
            ref reached,
            wait.Access == BellAccess.ReadOnly ? HostTimeline.PeerSpinTicks : HostTimeline.SpinTicks,
            access: wait.IsForeign && Device.SignalsSilently ? BellAccess.Silent : wait.Access);
        Volatile.Write(ref _waitingOn, 0);
        return !_stop;
    }

    private struct Submitted(HostQueue queue) : ICondition
    {
        internal SubmissionRecord* Record;

        public bool Holds()
        {
            Record = queue.PeekNext();
            return Record != null || queue._stop;
        }
    }

    private readonly struct ReadyOrStopped(HostQueue queue, WaitRecord wait) : ICondition
    {
        public bool Holds() => queue.IsReady(in wait) || queue._stop;
    }
}
