using System.Runtime.CompilerServices;
using Kvcached.Devices.Host;
using Kvcached.Kernels;

namespace Kvcached.Devices.Cpu;

/// <summary>
/// The device's persistent workers. A launch is run by its queue's own thread, which is worker 0 of it, and by whichever of the helpers
/// 1, 2, … are free; they claim items one by one until none is left. Several queues may launch at once. Worker numbers are unique within a
/// launch, not between launches.
/// <para>
/// The hand-off of a launch is one ring and, where helpers are awake, no system call: a helper that has run out of items looks for a new
/// launch for <see cref="CpuDeviceOptions.WorkerSpinMicroseconds"/> before it sleeps.
/// </para>
/// </summary>
internal sealed unsafe class WorkerTeam
{
    private readonly CpuDevice _device;
    private readonly long _spinTicks;
    private readonly Thread[] _helpers;

    /// <summary>Element 0 of a pinned array: rung when a launch is opened, or the team stops.</summary>
    private readonly Doorbell[] _bell = GC.AllocateArray<Doorbell>(16, pinned: true);

    /// <summary>Every launch ever made, replaced as a whole, by one thread at a time. They are pinned, and never freed while helpers run.</summary>
    private KernelLaunch[][] _launches = [];
    private readonly Stack<KernelLaunch[]> _returned = new();
    private volatile bool _stop;

    internal WorkerTeam(CpuDevice device, int workers, double spinMicroseconds)
    {
        _device = device;
        _spinTicks = SpinBudget.TicksOf(spinMicroseconds);
        _helpers = new Thread[workers - 1];
        for (var i = 0; i < _helpers.Length; i++)
        {
            var worker = i + 1;
            _helpers[i] = new Thread(() => Help(worker)) { IsBackground = true, Name = $"kvcached worker {worker}" };
            _helpers[i].Start();
        }
    }

    /// <summary>A launch for a queue's use. Called by one thread at a time.</summary>
    internal KernelLaunch[] AcquireLaunch()
    {
        if (_returned.TryPop(out var launch))
        {
            return launch;
        }

        launch = GC.AllocateArray<KernelLaunch>(1, pinned: true);
        launch[0].Prepare();
        Volatile.Write(ref _launches, [.. _launches, launch]);
        return launch;
    }

    /// <summary>Takes a queue's launch back. Called by one thread at a time.</summary>
    internal void ReleaseLaunch(KernelLaunch[] launch) => _returned.Push(launch);

    /// <summary>Runs all items of a launch; returns when the last has returned. <paramref name="launch"/> is the calling queue's.</summary>
    internal void Run(ref KernelLaunch launch, in CpuKernel kernel, int index, void* arguments, int items)
    {
        if (items == 1 || _helpers.Length == 0)
        {
            for (var i = 0; i < items; i++)
            {
                kernel.Run(arguments, i, 0);
            }

            return;
        }

        launch.Open(kernel, index, arguments, items);
        _bell[0].Ring(Math.Min(items - 1, _helpers.Length));
        var mine = Participate(ref launch, worker: 0);
        if (launch.Completed + mine < items)
        {
            var counted = new Counted((KernelLaunch*)Unsafe.AsPointer(ref launch), items - mine);
            launch.Finished.Await(ref counted, _spinTicks);
        }

        launch.Close();
    }

    /// <summary>Ends the helpers and waits for them; no launch may be running.</summary>
    internal void Stop()
    {
        _stop = true;
        _bell[0].Ring();
        foreach (var helper in _helpers)
        {
#pragma warning disable RS0030 // Teardown: memory that helpers read is freed next. Helpers never wait for device progress, so this ends at once.
            helper.Join();
#pragma warning restore RS0030
        }
    }

    private void Help(int worker)
    {
        while (true)
        {
            // Heard before the look at the launches: one that is opened afterwards changes it.
            var heard = _bell[0].Hear();
            if (_stop)
            {
                return;
            }

            if (!HelpAll(worker))
            {
                var rung = new Rung((Doorbell*)Unsafe.AsPointer(ref _bell[0]), heard);
                _bell[0].Await(ref rung, _spinTicks);
            }
        }
    }

    private bool HelpAll(int worker)
    {
        var helped = false;
        foreach (var launch in Volatile.Read(ref _launches))
        {
            var done = Participate(ref launch[0], worker);
            if (done > 0)
            {
                launch[0].Complete(done);
                helped = true;
            }
        }

        return helped;
    }

    private int Participate(ref KernelLaunch launch, int worker)
    {
        var done = 0;
        while (launch.TryClaim(out var item))
        {
            RunItem(item, worker);
            done++;
        }

        return done;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void RunItem(LaunchItem item, int worker)
    {
        // Items of a launch that has failed count as run, so that its owner comes to an end.
        if (_device.IsLost)
        {
            return;
        }

        try
        {
            item.Run(item.Arguments, item.Item, worker);
        }
        catch (Exception e)
        {
            _device.Lose(item.Kernel, e);
        }
    }

    private readonly struct Counted(KernelLaunch* launch, int items) : ICondition
    {
        public bool Holds() => launch->Completed == items;
    }

    private readonly struct Rung(Doorbell* bell, uint heard) : ICondition
    {
        public bool Holds() => bell->Hear() != heard;
    }
}
