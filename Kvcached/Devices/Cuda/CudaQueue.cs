using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Devices.Cuda;

/// <summary>
/// A queue of the cuda device: a stream, and a thread that hands it submissions, so that nobody who submits waits for the driver.
/// <code>
///   Submit          the queue's thread                                                        the stream
///   capture ──→     until each point is reached, or may be waited for in a stream
///                   until there is room in the stream
///                   cuStreamWaitValue64 of the points, commands, cuStreamWriteValue64   ──→   wait → commands → signal
/// </code>
/// A stream that waits may hold up others that share its hardware channel, of other lanes too. So what may be waited for there is
/// <list type="bullet">
/// <item>a point that this process signals, once its signal is in a stream;</item>
/// <item>a point of a timeline that another process has and this one may only read, at once: in a client that is the begin of a step, and its kernels start with no host in between. Who has such a
/// timeline answers for its signals, and a client that is held up holds up its own streams alone.</item>
/// </list>
/// A point that other processes signal in this one's memory, in a daemon the ends of its clients' steps, is waited for by the thread until it is reached: a client that stalls holds up no
/// stream of the daemon's (I3).
/// <para>A timeline's device signals are plain writes, so they come from one queue at a time, in the order of their values; the host signals one only where no signal of it is in a stream.</para>
/// </summary>
internal sealed unsafe partial class CudaQueue : HostQueue
{
    /// <summary>Submissions in the stream at a time: few enough that the driver never lets a launch wait for room.</summary>
    private const int Window = 32;

    /// <summary>cuStreamBatchMemOp takes fewer than 256.</summary>
    private const int UpdatesAtOnce = 255;

    /// <summary>How long a queue that ends waits for what is in its stream: far longer than commands take that wait for nobody else.</summary>
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(2);

    private readonly CudaDevice _device;
    private readonly nint _stream;
    private readonly SlabTimeline _progress;

    /// <summary>That of <see cref="_progress"/>: there as long as the device is, so that any thread may look at it at any time.</summary>
    private readonly TimelineSlot* _done;
    private readonly EventBell* _bells = (EventBell*)NativeMemory.AllocZeroed(Window, (nuint)sizeof(EventBell));
    private ulong _issued;

    internal CudaQueue(CudaDevice device, nint stream, SlabTimeline progress, string label)
        : base(device, label)
    {
        (_device, _stream, _progress) = (device, stream, progress);
        _done = progress.Slot;
    }

    public override nint NativeHandle => _stream;

    internal override bool IsPast(long accepted) => HasEnded || (Chain.Consumed >= accepted && _done->Value >= (ulong)accepted);

    private protected override int MeasureMore(ReadOnlySpan<Command> commands)
    {
        var launches = 0;
        foreach (ref readonly var command in commands)
        {
            launches += command.Kind == CommandKind.Launch ? 1 : 0;
        }

        return launches * SubmissionRecord.Align(sizeof(GpuLaunch));
    }

    private protected override byte* AddressOf(DeviceMemory? memory, out bool isReadOnly)
    {
        switch (memory)
        {
            case MappedMemory own when own.Device == _device:
                isReadOnly = own.IsReadOnly;
                return (byte*)own.Address;
            case CudaMemory own when own.Device == _device:
                isReadOnly = own.IsReadOnly;
                return (byte*)own.Address;
            default:
                throw Foreign("memory", memory?.Label);
        }
    }

    private protected override void CaptureLaunch(ref readonly Command command, ref CommandRecord record, ref byte* more)
    {
        var kernel = command.Kernel is CudaKernel own && own.Device == _device ? own : throw Foreign("kernel", command.Kernel?.Name);
        record.Kernel = kernel.Index;
        record.More = more;
        *(GpuLaunch*)more = kernel.Kernel.Spread(new ReadOnlySpan<byte>(record.Payload, (int)record.Length), _device.ComputeUnits);
        more += SubmissionRecord.Align(sizeof(GpuLaunch));
    }

    private protected override SubmissionRecord* PeekNext() => Chain.Peek();

    /// <summary>Whether a point is reached, or may be waited for in the stream.</summary>
    private protected override bool IsReady(in WaitRecord wait) =>
        wait.Slot->Value >= wait.Value || (wait.IsForeign ? wait.Access == BellAccess.ReadOnly : wait.Slot->Issued >= wait.Value);

    private protected override bool StartNext(SubmissionRecord* record)
    {
        if (!AwaitRoom())
        {
            return false;
        }

        try
        {
            _device.Context.Use();
            EnqueueWaits(record);
            var commands = SubmissionRecord.CommandsOf(record);
            for (var i = 0; i < record->Commands; i++)
            {
                Enqueue(in commands[i]);
            }

            EnqueueBatch();
            EnqueueSignal(record);
        }
        catch (Exception e)
        {
            _device.Lose($"a submission to the queue {Label}", e);
            return false;
        }

        Chain.Advance();
        return true;
    }

    private protected override void End()
    {
        // What the stream still has will never end if a point of another process that it waits for is never reached: then it goes with the context, and what it names stays.
        var ended = new Past(this, _issued, orEnding: false);
        if (!_device.IsAbandoned && _done->Bell.Await(ref ended, HostTimeline.SpinTicks, _patience, BellAccess.Silent))
        {
            _ = _device.Context.TryUse();
            _ = LibCuda.StreamDestroy(_stream);
            _progress.Dispose();
            NativeMemory.Free(_bells);
            NativeMemory.Free(_batch);
        }
        else
        {
            _device.Abandon();
        }
    }

    /// <summary>Waits until few enough submissions are in the stream. False where the queue is to end.</summary>
    private bool AwaitRoom()
    {
        var room = new Past(this, _issued < Window ? 0 : _issued - Window + 1, orEnding: true);
        _done->Bell.Await(ref room, HostTimeline.SpinTicks, access: BellAccess.Silent);
        return !IsEnding;
    }

    private void EnqueueWaits(SubmissionRecord* record)
    {
        var waits = SubmissionRecord.WaitsOf(record);
        for (var i = 0; i < record->Waits; i++)
        {
            if (waits[i].Slot->Value < waits[i].Value)
            {
                CudaCall.Check(LibCuda.StreamWaitValue64(_stream, (ulong)waits[i].Slot, waits[i].Value, LibCuda.WaitValueGreaterOrEqual), "cuStreamWaitValue64");
            }
        }
    }

    private void Enqueue(in CommandRecord command)
    {
        if (command.Kind == CommandKind.Copy && command.Kernel != ByEngine)
        {
            AddToBatch(in command);
            return;
        }

        EnqueueBatch();
        switch (command.Kind)
        {
            case CommandKind.Copy:
                CudaCall.Check(LibCuda.MemcpyAsync((ulong)command.Target, (ulong)command.Source, (nuint)command.Length, _stream), "cuMemcpyAsync");
                break;
            case CommandKind.Fill:
                CudaCall.Check(LibCuda.MemsetD8Async((ulong)command.Target, command.FillValue, (nuint)command.Length, _stream), "cuMemsetD8Async");
                break;
            case CommandKind.UpdateTable:
                EnqueueUpdates((ulong)command.Target, new ReadOnlySpan<TableEntry>(command.Payload, (int)command.Length / Unsafe.SizeOf<TableEntry>()));
                break;
            case CommandKind.Launch:
                EnqueueLaunch(_device.Kernels[command.Kernel], command.Payload, command.Length, in *(GpuLaunch*)command.More);
                break;
        }
    }

    /// <summary>Writes of the stream's own, whose values it captures: they need no kernel, so other processes' kernels are not interrupted for one.</summary>
    private void EnqueueUpdates(ulong table, ReadOnlySpan<TableEntry> entries)
    {
        var operations = stackalloc LibCuda.BatchOperation[UpdatesAtOnce];
        while (!entries.IsEmpty)
        {
            var count = Math.Min(entries.Length, UpdatesAtOnce);
            for (var i = 0; i < count; i++)
            {
                operations[i] = new LibCuda.BatchOperation { Operation = LibCuda.BatchWriteValue32, Address = table + ((ulong)entries[i].Index * sizeof(uint)), Value = entries[i].Value };
            }

            CudaCall.Check(LibCuda.StreamBatchMemOp(_stream, (uint)count, operations, 0), "cuStreamBatchMemOp");
            entries = entries[count..];
        }
    }

    private void EnqueueLaunch(CudaKernel kernel, void* arguments, long argumentBytes, in GpuLaunch launch)
    {
        if (launch.IsEmpty)
        {
            return;
        }

        var bytes = (nuint)argumentBytes;
        var extra = stackalloc nint[] { LibCuda.LaunchParameterBuffer, (nint)arguments, LibCuda.LaunchParameterBytes, (nint)(&bytes), LibCuda.LaunchParameterEnd };
        var result = LibCuda.LaunchKernel(kernel.Functions[launch.EntryPoint], launch.GroupsX, launch.GroupsY, launch.GroupsZ, launch.GroupSize, 1, 1, 0, _stream, null, extra);
        if (result != CudaResult.Success)
        {
            throw CudaCall.Failure(result, $"cuLaunchKernel of {kernel.Name}");
        }
    }

    private void EnqueueSignal(SubmissionRecord* record)
    {
        // Signalling a value that has been passed changes nothing.
        var slot = record->SignalSlot;
        if (slot->Value < record->SignalValue && slot->Issued < record->SignalValue)
        {
            CudaCall.Check(LibCuda.StreamWriteValue64(_stream, (ulong)slot, record->SignalValue, LibCuda.WriteValueDefault), "cuStreamWriteValue64");
            slot->Issue(record->SignalValue);
        }

        if (record->SignalBell.IsSet)
        {
            _bells[_issued % Window] = record->SignalBell;
            CudaCall.Check(LibCuda.LaunchHostFunc(_stream, &RingBell, &_bells[_issued % Window]), "cuLaunchHostFunc");
        }

        _issued++;
        CudaCall.Check(LibCuda.StreamWriteValue64(_stream, (ulong)_done, _issued, LibCuda.WriteValueDefault), "cuStreamWriteValue64");
    }

    [UnmanagedCallersOnly]
    private static void RingBell(void* bell) => ((EventBell*)bell)->Ring();

    /// <summary>So many submissions have run, or none will any more; or the queue is to end, where that is asked for too.</summary>
    private readonly struct Past(CudaQueue queue, ulong least, bool orEnding) : ICondition
    {
        public bool Holds()
        {
            if (queue._done->Value >= least)
            {
                return true;
            }

            queue._device.Look();
            return orEnding ? queue.IsEnding : queue._device.IsLost;
        }
    }
}
