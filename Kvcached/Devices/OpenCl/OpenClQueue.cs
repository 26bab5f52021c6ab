using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Devices.Host;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Devices.OpenCl;

/// <summary>
/// A queue of an OpenCL device.
/// <code>
///   Submit               the queue's thread                              a thread of the driver
///   capture, publish →   peek ahead → wait all → enqueue, marker   →     completed: signal → advance
/// </code>
/// What is enqueued can run at once: points are awaited before, on the host. Drivers differ in what becomes of commands behind one that failed or never starts (in PoCL
/// they run), so a wait that may have to be given up must not be the driver's. Signals are given in the queue's order: driver threads may come for a later
/// marker first.
/// </summary>
internal sealed unsafe partial class OpenClQueue : HostQueue
{
    private readonly OpenClDevice _device;
    private readonly nint _queue;
    private readonly GCHandle _self;
    private readonly Lock _completing = new();

    /// <summary>Records whose completion the driver will tell; the queue's thread.</summary>
    private long _underWay;

    /// <summary>Element 0 of a pinned array: rung when a record has been completed.</summary>
    private readonly Doorbell[] _completed = GC.AllocateArray<Doorbell>(16, pinned: true);

    internal OpenClQueue(OpenClDevice device, string label)
        : base(device, label)
    {
        _device = device;
        _queue = device.CreateNativeQueue();
        _kernels = new nint[device.Functions.Count];
        _self = GCHandle.Alloc(this);
    }

    /// <summary>The <c>cl_command_queue</c>. What has been submitted is enqueued there once its points have been reached, and not before.</summary>
    public override nint NativeHandle => _queue;

    private protected override SubmissionRecord* PeekNext() => Chain.PeekAhead();

    private protected override bool StartNext(SubmissionRecord* record)
    {
        if (IsEnding)
        {
            return false;
        }

        var commands = SubmissionRecord.CommandsOf(record);
        var what = "a marker";
        try
        {
            for (var i = 0; i < record->Commands; i++)
            {
                what = Describe(in commands[i]);
                Enqueue(ref commands[i]);
            }

            what = "a marker";
            EnqueueSignal(record);
            return true;
        }
        catch (Exception e)
        {
            _device.Lose($"{what} in the queue {Label}", e);
            return false;
        }
    }

    private protected override void End()
    {
        // Nothing that is enqueued waits for anything but what is enqueued before it, so this takes no longer than the commands do.
        _ = Cl.Finish(_queue);
        var all = new AllCompleted(this);
        _completed[0].Await(ref all, HostTimeline.SpinTicks);
        lock (_completing)
        {
            // Whoever completed the last record has left it.
        }

        _self.Free();
        foreach (var kernel in _kernels)
        {
            if (kernel != 0)
            {
                _ = Cl.ReleaseKernel(kernel);
            }
        }

        _staging?.Dispose();
        _ = Cl.ReleaseCommandQueue(_queue);
    }

    [UnmanagedCallersOnly]
    private static void OnCompleted(nint ended, int status, void* data)
    {
        var record = (SubmissionRecord*)data;
        ((OpenClQueue)GCHandle.FromIntPtr(Completion.Of(record)->Queue).Target!).Complete(record, status);
    }

    /// <summary>Signals what has been completed, up to the first record that has not.</summary>
    private void Complete(SubmissionRecord* record, int status)
    {
        if (status < 0)
        {
            _device.Lose($"a submission to the queue {Label}", new OpenClException("its execution", status));
        }

        lock (_completing)
        {
            Completion.Of(record)->IsDone = true;
            while (Chain.Consumed < Chain.Started)
            {
                var oldest = Chain.Peek();
                if (!Completion.Of(oldest)->IsDone)
                {
                    break;
                }

                if (!_device.IsLost)
                {
                    SignalEnd(oldest);
                }

                Chain.Advance();
            }

            _completed[0].Ring();
        }
    }

    private void EnqueueSignal(SubmissionRecord* record)
    {
        nint marker;
        OpenClException.Check(Cl.EnqueueMarkerWithWaitList(_queue, 0, null, &marker), "clEnqueueMarkerWithWaitList");

        // From here on the record may be done with at any time.
        Chain.Start();
        var code = Cl.SetEventCallback(marker, Cl.Complete, &OnCompleted, record);
        _underWay += code == Cl.Success ? 1 : 0;
        _ = Cl.ReleaseEvent(marker);
        OpenClException.Check(code, "clSetEventCallback");
        OpenClException.Check(Cl.Flush(_queue), "clFlush");
    }

    private string Describe(ref readonly CommandRecord command) => command.Kind == CommandKind.Launch
        ? _device.Functions[command.Kernel].Name
        : NameOf(command.Kind);

    private static string NameOf(CommandKind kind) => kind switch
    {
        CommandKind.Copy => "a copy",
        CommandKind.Fill => "a fill",
        _ => "a table update",
    };

    private readonly struct AllCompleted(OpenClQueue queue) : ICondition
    {
        public bool Holds() => queue.Chain.Consumed >= queue._underWay;
    }
}
