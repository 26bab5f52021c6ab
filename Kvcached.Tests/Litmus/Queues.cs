using Kvcached.Bench.Ratios;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Kvcached.Kernels;

namespace Kvcached.Tests.Litmus;

/// <summary>A queue that copies. Timelines are given by the addresses of their words.</summary>
internal interface ILitmusQueue : IDisposable
{
    /// <summary>Submits a copy.</summary>
    void Submit(in CopySubmission submission);
}

/// <summary>Wait for a point (none where the timeline is 0), copy, signal a point.</summary>
internal readonly record struct CopySubmission(nint Gate, ulong GateValue, nint Source, nint Target, int Bytes, nint Done, ulong DoneValue);

/// <summary>The library's.</summary>
internal sealed unsafe class OwnQueue : ILitmusQueue
{
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 1, InlineBytes = 0, Kernels = [new CpuKernel("litmus pin", &OneItem, &Pin)] });
    private readonly MappedMemory _memory;
    private readonly nint _address;
    private readonly DeviceQueue _queue;
    private readonly Dictionary<nint, HostTimeline> _timelines = [];
    private readonly CommandList _commands = new();

    internal OwnQueue(SharedMapping mapping, int processor)
    {
        _memory = new MappedMemory(_device, mapping, "litmus", MemoryKind.Device, mapping.Bytes);
        _address = mapping.Address;
        _queue = _device.CreateQueue("litmus");
        _commands.Launch(_device.LoadKernel("litmus pin"), processor);
        _queue.Submit([], _commands, new TimelinePoint(_device.CreateTimeline("litmus pin"), 1));
    }

    public void Submit(in CopySubmission s)
    {
        _commands.Clear();
        _commands.Copy(_memory, s.Target - _address, _memory, s.Source - _address, s.Bytes);
        WaitPoint[] waits = s.Gate == 0 ? [] : [new WaitPoint(TimelineAt(s.Gate), s.GateValue)];
        _queue.Submit(waits, _commands, new TimelinePoint(TimelineAt(s.Done), s.DoneValue));
    }

    public void Dispose() => _device.Dispose();

    private static int OneItem(void* arguments) => 1;

    private static void Pin(void* arguments, int item, int worker) => ThreadPin.PinCurrent(*(int*)arguments);

    private HostTimeline TimelineAt(nint address)
    {
        if (!_timelines.TryGetValue(address, out var timeline))
        {
            _timelines[address] = timeline = new OwnTimeline(_device, address).Timeline;
        }

        return timeline;
    }
}

/// <summary>A copy of the library's, in steps that a fault can replace. Chain, bell and timelines are the library's.</summary>
internal unsafe class QueueCopy : ILitmusQueue
{
    private readonly SubmissionChain _chain = new();
    private readonly nint[] _bellWords = GC.AllocateArray<nint>(8, pinned: true);
    private readonly ILitmusBell _bell;
    private readonly Thread _thread;
    private volatile bool _stop;
    private nint _waitingOn;

    /// <summary>Starts it.</summary>
    /// <param name="processor">Where its thread runs.</param>
    /// <param name="bell">Made for the bell's address; the library's own without it.</param>
    internal QueueCopy(int processor, Func<nint, ILitmusBell>? bell = null)
    {
        var address = (nint)System.Runtime.CompilerServices.Unsafe.AsPointer(ref _bellWords[0]);
        _bell = bell?.Invoke(address) ?? new OwnBell(address);
        _thread = new Thread(() => Run(processor)) { IsBackground = true };
        _thread.Start();
    }

    public void Submit(in CopySubmission s)
    {
        var bytes = SubmissionRecord.Measure(1, 1, 0);
        var record = _chain.Reserve(bytes);
        record->Waits = s.Gate == 0 ? 0 : 1;
        record->Commands = 1;
        record->SignalSlot = (TimelineSlot*)s.Done;
        record->SignalValue = s.DoneValue;
        *SubmissionRecord.WaitsOf(record) = new WaitRecord((TimelineSlot*)s.Gate, s.GateValue, BellAccess.Own);
        *SubmissionRecord.CommandsOf(record) = new CommandRecord { Source = (byte*)s.Source, Target = (byte*)s.Target, Length = s.Bytes };
        HandOver(() => _chain.Publish(bytes), _bell.Ring);
    }

    public void Dispose()
    {
        _stop = true;
        do
        {
            _bell.Ring();
            var slot = (TimelineSlot*)Volatile.Read(ref _waitingOn);
            if (slot != null)
            {
                slot->Bell.Ring();
            }
        }
        while (!_thread.Join(1));

        _chain.Free();
    }

    protected virtual void HandOver(Action publish, Action ring)
    {
        publish();
        ring();
    }

    protected virtual void AwaitPoint(Func<bool> reachedOrStopped, ILitmusBell bell) => bell.Await(reachedOrStopped, TimeSpan.FromDays(1));

    protected virtual void CopyAndSignal(Action copy, Action signal)
    {
        copy();
        signal();
    }

    private void Run(int processor)
    {
        ThreadPin.PinCurrent(processor);
        while (true)
        {
            SubmissionRecord* record = null;
            _bell.Await(() => (record = _chain.Peek()) != null || _stop, TimeSpan.FromDays(1));
            if (_stop)
            {
                return;
            }

            if (record->Waits > 0)
            {
                var wait = SubmissionRecord.WaitsOf(record);
                Volatile.Write(ref _waitingOn, (nint)wait->Slot);
                AwaitPoint(() => wait->Slot->Value >= wait->Value || _stop, new OwnBell((nint)wait->Slot + TimelineCopy.BellOffset));
                Volatile.Write(ref _waitingOn, 0);
            }

            var command = SubmissionRecord.CommandsOf(record);
            CopyAndSignal(
                () => Buffer.MemoryCopy(command->Source, command->Target, command->Length, command->Length),
                () => record->SignalSlot->Signal(record->SignalValue));
            _chain.Advance();
        }
    }
}

/// <summary>Rings, and then publishes what it rang for.</summary>
internal sealed class RingsBeforePublishing(int processor) : QueueCopy(processor)
{
    protected override void HandOver(Action publish, Action ring)
    {
        ring();
        publish();
    }
}

/// <summary>Signals, and then runs what it signalled.</summary>
internal sealed class SignalsBeforeRunning(int processor) : QueueCopy(processor)
{
    protected override void CopyAndSignal(Action copy, Action signal)
    {
        signal();
        copy();
    }
}

/// <summary>Waits for a ring of the timeline, and takes it for the point.</summary>
internal sealed class RunsAtAnyRing(int processor) : QueueCopy(processor)
{
    protected override void AwaitPoint(Func<bool> reachedOrStopped, ILitmusBell bell)
    {
        var looks = 0;
        bell.Await(() => reachedOrStopped() || ++looks == 3, TimeSpan.FromDays(1));
    }
}

/// <summary>
/// One thread submits, and waits for what it submitted: the queue's thread, on another processor, is woken for each submission, runs them
/// in order, and signals when it has. The ring of records lies in one process, and so do both threads.
/// </summary>
internal sealed unsafe class SubmitAndRun() : LitmusTest<ILitmusQueue>(
    "submit and run",
    1,
    (party, _) => new OwnQueue(party.Mapping, party.ProcessorOf(1)),
    new Fault<ILitmusQueue>(nameof(RingsBeforePublishing), (party, _) => new RingsBeforePublishing(party.ProcessorOf(1))),
    new Fault<ILitmusQueue>(nameof(SignalsBeforeRunning), (party, _) => new SignalsBeforeRunning(party.ProcessorOf(1))),
    new Fault<ILitmusQueue>(nameof(HearsLate), (party, _) => new QueueCopy(party.ProcessorOf(1), bell => new HearsLate(bell))))
{
    private const int Words = 128;
    private const int Bytes = Words * sizeof(long);
    private const int Hops = 3;
    private const int Looks = 10_000;
    private const int FirstPlace = 4096;

    internal override bool IsShared => false;

    protected override void Run(LitmusParty party, Func<int, ILitmusQueue> make)
    {
        using var queue = make(0);
        var done = party.At(0);
        var timeline = new OwnTimeline(party.Device, done);
        for (var round = 1L; party.Begins(round); round++)
        {
            new Span<long>((void*)Place(party, 0), Words).Fill(round);

            // Each copies what the one before it has written.
            for (var hop = 0; hop < Hops; hop++)
            {
                // Often just as the queue, done with the one before, falls asleep.
                for (var looks = party.Next(2) * Looks; looks > 0 && hop > 0 && timeline.Value < (ulong)((round * Hops) + hop - 1); looks--)
                {
                }

                party.Pause();
                queue.Submit(new CopySubmission(0, 0, Place(party, hop), Place(party, hop + 1), Bytes, done, (ulong)((round * Hops) + hop)));
            }

            if (!party.Await(timeline, (ulong)((round * Hops) + Hops - 1), mustCome: true))
            {
                return;
            }

            if (new Span<long>((void*)Place(party, Hops), Words).ContainsAnyExcept(round))
            {
                party.Violate("what was signalled as copied was not all there");
                return;
            }
        }
    }

    private static nint Place(LitmusParty party, int hop) => party.At(FirstPlace + (hop * Bytes));
}

/// <summary>
/// A queue of party 0 waits for a point that party 1 signals, another thread or another process, copies what that wrote before, and
/// signals it back. The queue's thread runs beside party 0, on another processor than party 1.
/// </summary>
internal sealed unsafe class WaitAndCopy() : LitmusTest<ILitmusQueue>(
    "wait and copy",
    2,
    (party, _) => new OwnQueue(party.Mapping, party.ProcessorOf(0)),
    new Fault<ILitmusQueue>(nameof(RunsAtAnyRing), (party, _) => new RunsAtAnyRing(party.ProcessorOf(0))),
    new Fault<ILitmusQueue>(nameof(SignalsBeforeRunning), (party, _) => new SignalsBeforeRunning(party.ProcessorOf(0))))
{
    private const int Words = 128;
    private const int Bytes = Words * sizeof(long);
    private const int DoneOffset = 64;
    private const int SourceOffset = 4096;
    private const int TargetOffset = 8192;

    protected override void Run(LitmusParty party, Func<int, ILitmusQueue> make)
    {
        using var queue = party.Index == 0 ? make(0) : null;
        var gate = new OwnTimeline(party.Device, party.At(0));
        var done = new OwnTimeline(party.Device, party.At(DoneOffset));
        var source = new Span<long>((void*)party.At(SourceOffset), Words);
        var target = new Span<long>((void*)party.At(TargetOffset), Words);
        for (var round = 1L; party.Begins(round); round++)
        {
            var value = 2 * (ulong)round;
            if (queue is not null)
            {
                queue.Submit(new CopySubmission(party.At(0), value, party.At(SourceOffset), party.At(TargetOffset), Bytes, party.At(DoneOffset), value));
            }
            else
            {
                // An odd value says nothing but rings.
                party.Pause(LitmusParty.LongPause);
                gate.Signal(value - 1);
                party.Pause(LitmusParty.LongPause);
                source.Fill(round);
                gate.Signal(value);
            }

            if (!party.Await(gate, value) || !party.Await(done, value, mustCome: true))
            {
                return;
            }

            if (target.ContainsAnyExcept(round))
            {
                party.Violate("what was signalled as copied was not all there");
                return;
            }
        }
    }
}
