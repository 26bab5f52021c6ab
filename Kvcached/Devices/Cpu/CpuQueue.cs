using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Kvcached.Devices.Cpu;

/// <summary>
/// A queue of the cpu device: a thread that takes submissions in order, waits for their points, runs their commands and signals.
/// <code>
///   Submit (one thread at a time)            the queue's thread
///   check, capture, publish, ring   ─────→   peek → wait all → run → signal → advance
/// </code>
/// Waking the thread costs more than a few small commands do. A submission that finds the chain empty, its points reached and its commands small is run by the submitting thread, and never
/// published: the thread is then past everything that was, having signalled it, and begins nothing before the next record is published, which only the submitter does.
/// Stopping: the stop flag is set, and then the bell that the thread may be asleep on is rung. The thread names that bell before it
/// awaits it and looks at the flag after, so one of the two sees the other; what others may write, or this process only read, is looked at again anyhow.
/// </summary>
internal sealed unsafe class CpuQueue : DeviceQueue
{
    private readonly CpuDevice _device;
    private readonly SubmissionChain _chain = new();
    private readonly Thread _thread;

    /// <summary>Element 0 of a pinned array: rung when a submission is published, or the queue stops.</summary>
    private readonly Doorbell[] _bell = GC.AllocateArray<Doorbell>(16, pinned: true);

    /// <summary>The slot that the thread waits on, or 0; its <see cref="BellAccess"/> is in the low bits, which are 0 in every slot's address.</summary>
    private nint _waitingOn;
    private volatile bool _stop;
    private volatile bool _ended;
    private int _disposed;
    private KernelLaunch[]? _launch;

    internal CpuQueue(CpuDevice device, string label)
        : base(label)
    {
        _device = device;
        _thread = new Thread(Run) { IsBackground = true, Name = $"kvcached queue {label}" };
    }

    /// <summary>Whether no more commands may run: a lost device's helpers skip items, so what follows them must neither run nor be signalled.</summary>
    private bool IsEnding => _stop || _device.IsLost;

    /// <summary>Submissions accepted so far.</summary>
    internal long Accepted => _chain.Published;

    internal void Start() => _thread.Start();

    public override void Submit(ReadOnlySpan<WaitPoint> waits, CommandList commands, TimelinePoint signal)
    {
        ArgumentNullException.ThrowIfNull(commands);
        ObjectDisposedException.ThrowIf(_disposed != 0, this);
        _device.ThrowIfLost();

        // Whatever throws here leaves a reserved record that was never published.
        var list = commands.Commands;
        var payload = commands.Payload;
        var bytes = SubmissionRecord.Measure(waits.Length, list.Length, payload.Length);
        var record = _chain.Reserve(bytes);
        record->Waits = waits.Length;
        record->Commands = list.Length;
        CaptureSignal(signal, record);
        CaptureWaits(waits, SubmissionRecord.WaitsOf(record));
        CaptureCommands(list, SubmissionRecord.CommandsOf(record), SubmissionRecord.PayloadOf(record));
        payload.CopyTo(new Span<byte>(SubmissionRecord.PayloadOf(record), payload.Length));
        if (_chain.IsEmpty && IsSmall(record) && AreReached(record) && !_stop)
        {
            if (RunCommands(record))
            {
                SignalEnd(record);
            }

            return;
        }

        _chain.Publish(bytes);
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
    internal bool IsPast(long accepted) => _ended || _chain.Consumed >= accepted;

    protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        _device.RequestStop(this);
#pragma warning disable RS0030 // Teardown: the records that the thread reads are freed next. It is past every wait, and ends with the command that it is in.
        _thread.Join();
#pragma warning restore RS0030
        _ended = true;
        _device.Release(this, _launch);
        _chain.Free();
    }

    private void CaptureSignal(TimelinePoint signal, SubmissionRecord* record)
    {
        var timeline = Own(signal.Timeline);
        timeline.CheckSignal(signal.Value);
        record->SignalSlot = timeline.Slot;
        record->SignalValue = signal.Value;
        record->SignalBell = timeline.Bell?.Capture() ?? default;
    }

    private void CaptureWaits(ReadOnlySpan<WaitPoint> waits, WaitRecord* records)
    {
        for (var i = 0; i < waits.Length; i++)
        {
            ref readonly var wait = ref waits[i];
            var timeline = Own(wait.Timeline);
            CpuTimeline.CheckValue(wait.Value);
            records[i] = new WaitRecord(timeline.Slot, wait.Value, timeline.Access);
        }
    }

    private void CaptureCommands(ReadOnlySpan<Command> commands, CommandRecord* records, byte* payload)
    {
        for (var i = 0; i < commands.Length; i++)
        {
            ref readonly var command = ref commands[i];
            var record = new CommandRecord { Kind = command.Kind };
            switch (command.Kind)
            {
                case CommandKind.Copy:
                    record.Target = TargetOf(command.Target) + command.TargetOffset;
                    record.Source = AddressOf(command.Source) + command.SourceOffset;
                    record.Length = command.Bytes;
                    break;
                case CommandKind.Fill:
                    record.Target = TargetOf(command.Target) + command.TargetOffset;
                    record.Length = command.Bytes;
                    record.FillValue = command.FillValue;
                    break;
                case CommandKind.UpdateTable:
                    record.Target = TargetOf(command.Target);
                    record.Payload = payload + command.PayloadOffset;
                    record.Length = command.PayloadBytes;
                    break;
                case CommandKind.Launch:
                    record.Kernel = IndexOf(command.Kernel);
                    record.Payload = payload + command.PayloadOffset;
                    record.Length = command.PayloadBytes;
                    break;
                default:
                    throw new ArgumentException($"There is no command of kind {command.Kind}.", nameof(commands));
            }

            records[i] = record;
        }
    }

    private CpuTimeline Own(DeviceTimeline timeline)
    {
        ArgumentNullException.ThrowIfNull(timeline);
        return timeline is CpuTimeline own && own.Device == _device ? own : throw Foreign("timeline", timeline.Label);
    }

    private byte* AddressOf(DeviceMemory? memory) =>
        memory is CpuMemory own && own.Device == _device ? (byte*)own.Address : throw Foreign("memory", memory?.Label);

    private byte* TargetOf(DeviceMemory? memory) => memory is CpuMemory { IsReadOnly: true }
        ? throw new InvalidOperationException($"The memory {memory.Label} is another process's, which alone can write it.")
        : AddressOf(memory);

    private int IndexOf(DeviceKernel? kernel) =>
        kernel is CpuDeviceKernel own && own.Device == _device ? own.Index : throw Foreign("kernel", kernel?.Name);

    private ArgumentException Foreign(string what, string? name) =>
        new($"The {what} {name} is not of the device that the queue {Label} is of ({_device.Name}).");

    private void Run()
    {
        while (AwaitSubmission(out var record) && AwaitPoints(record) && RunCommands(record))
        {
            SignalEnd(record);
            _chain.Advance();
        }
    }

    private static void SignalEnd(SubmissionRecord* record)
    {
        record->SignalSlot->Signal(record->SignalValue);
        record->SignalBell.Ring();
    }

    /// <summary>Whether the commands are so few bytes' work that whoever submits them does not notice.</summary>
    private bool IsSmall(SubmissionRecord* record)
    {
        var left = (long)_device.InlineBytes;
        var commands = SubmissionRecord.CommandsOf(record);
        for (var i = 0; i < record->Commands && left >= 0; i++)
        {
            left = commands[i].Kind == CommandKind.Launch ? -1 : left - commands[i].Length - CommandRecord.Bytes;
        }

        return left >= 0 && _device.InlineBytes > 0;
    }

    private static bool AreReached(SubmissionRecord* record)
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

    private bool AwaitSubmission(out SubmissionRecord* record)
    {
        var submitted = new Submitted(this);
        _bell[0].Await(ref submitted, CpuTimeline.SpinTicks);
        record = submitted.Record;
        return !_stop;
    }

    private bool AwaitPoints(SubmissionRecord* record)
    {
        var waits = SubmissionRecord.WaitsOf(record);
        for (var i = 0; i < record->Waits; i++)
        {
            if (waits[i].Slot->Value < waits[i].Value && !AwaitPoint(in waits[i]))
            {
                return false;
            }
        }

        return true;
    }

    private bool AwaitPoint(in WaitRecord wait)
    {
        var reached = new ReachedOrStopped(this, wait.Slot, wait.Value);
        Volatile.Write(ref _waitingOn, (nint)wait.Slot | (nint)wait.Access);
        wait.Slot->Bell.Await(ref reached, wait.Access == BellAccess.ReadOnly ? CpuTimeline.PeerSpinTicks : CpuTimeline.SpinTicks, access: wait.Access);
        Volatile.Write(ref _waitingOn, 0);
        return !_stop;
    }

    private bool RunCommands(SubmissionRecord* record)
    {
        var commands = SubmissionRecord.CommandsOf(record);
        for (var i = 0; i < record->Commands && !IsEnding; i++)
        {
            ref var command = ref commands[i];
            switch (command.Kind)
            {
                case CommandKind.Copy:
                    Buffer.MemoryCopy(command.Source, command.Target, command.Length, command.Length);
                    break;
                case CommandKind.Fill:
                    NativeMemory.Fill(command.Target, (nuint)command.Length, command.FillValue);
                    break;
                case CommandKind.UpdateTable:
                    UpdateTable((uint*)command.Target, (TableEntry*)command.Payload, command.Length / Unsafe.SizeOf<TableEntry>());
                    break;
                case CommandKind.Launch:
                    Launch(command.Kernel, command.Payload);
                    break;
            }
        }

        return !IsEnding;
    }

    private static void UpdateTable(uint* table, TableEntry* entries, long count)
    {
        for (var i = 0L; i < count; i++)
        {
            table[entries[i].Index] = entries[i].Value;
        }
    }

    private void Launch(int index, byte* arguments)
    {
        ref readonly var kernel = ref _device.Kernels[index];
        try
        {
            var items = kernel.Items(arguments);
            ArgumentOutOfRangeException.ThrowIfNegative(items);
            if (items > 0)
            {
                _launch ??= _device.AcquireLaunch();
                _device.Team.Run(ref _launch[0], kernel, index, arguments, items);
            }
        }
        catch (Exception e)
        {
            _device.Lose(index, e);
        }
    }

    private struct Submitted(CpuQueue queue) : ICondition
    {
        internal SubmissionRecord* Record;

        public bool Holds()
        {
            Record = queue._chain.Peek();
            return Record != null || queue._stop;
        }
    }

    private readonly struct ReachedOrStopped(CpuQueue queue, TimelineSlot* slot, ulong value) : ICondition
    {
        public bool Holds() => slot->Value >= value || queue._stop;
    }
}
