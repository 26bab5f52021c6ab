using Kvcached.Daemon.Demo;
using Kvcached.Devices;
using Kvcached.Devices.OpenCl;
using Kvcached.Kernels;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Tests.Kernels;

/// <summary>Where a suite's kernels run, and what memory they take. Used by one thread.</summary>
public abstract class KernelMachine : IDisposable
{
    /// <summary>Largest head dimension that attention takes here.</summary>
    internal abstract int MaxHeadDim { get; }

    /// <summary>Zeroed memory for <paramref name="length"/> elements.</summary>
    internal abstract NativeArray<T> Array<T>(long length)
        where T : unmanaged;

    /// <summary>Runs a kernel to its end.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="arguments">What it is given: addresses are those of arrays made here.</param>
    /// <param name="workers">How many run it, where that can be said.</param>
    internal abstract void Run<T>(string name, in T arguments, int workers = 1)
        where T : unmanaged;

    public virtual void Dispose() => GC.SuppressFinalize(this);

    /// <summary>Memory with these elements.</summary>
    internal NativeArray<T> Array<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        var array = Array<T>(values.Length);
        values.CopyTo(array.Span);
        return array;
    }
}

/// <summary>The kernels of <c>Kvcached.Kernels.Cpu</c> and those of the demo, without a device.</summary>
internal sealed class CpuMachine : KernelMachine
{
    internal override int MaxHeadDim => AttentionArguments.MaxHeadDim;

    internal override NativeArray<T> Array<T>(long length) => new(length);

    internal override void Run<T>(string name, in T arguments, int workers = 1) => KernelRunner.Run(name, arguments, workers);
}

/// <summary>
/// A device's kernels. Each array is memory of the device, of which the host has a copy: all are copied in before a kernel and back behind it.
/// </summary>
internal class DeviceMachine(IDevice device, int maxHeadDim) : KernelMachine
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly DeviceQueue _queue = device.CreateQueue("kernels");
    private readonly DeviceTimeline _done = device.CreateTimeline("kernels");
    private readonly CommandList _commands = new();
    private readonly HashSet<(DeviceMemory Host, DeviceMemory Device)> _arrays = [];
    private ulong _runs;

    internal override int MaxHeadDim => maxHeadDim;

    internal override NativeArray<T> Array<T>(long length)
    {
        var bytes = long.Max(length, 1) * System.Runtime.CompilerServices.Unsafe.SizeOf<T>();
        var pair = (device.Allocate(bytes, MemoryKind.Host, "array"), device.Allocate(bytes, MemoryKind.Device, "array"));
        _arrays.Add(pair);
        return new NativeArray<T>(length, pair.Item1, pair.Item2, () => _arrays.Remove(pair));
    }

    internal override void Run<T>(string name, in T arguments, int workers = 1)
    {
        _commands.Clear();
        foreach (var (host, own) in _arrays)
        {
            _commands.Copy(own, 0, host, 0, host.Bytes);
        }

        _commands.Launch(device.LoadKernel(name), arguments);
        foreach (var (host, own) in _arrays)
        {
            _commands.Copy(host, 0, own, 0, host.Bytes);
        }

        _queue.Submit([], _commands, new TimelinePoint(_done, ++_runs));
        Xunit.Assert.True(_done.WaitOnHost(_runs, Patience), $"{name} did not end.");
    }

    public override void Dispose()
    {
        _queue.Dispose();
        _done.Dispose();
        base.Dispose();
    }
}

/// <summary>An OpenCL device, opened once for all suites: building its kernels takes longer than they do.</summary>
/// <param name="lanes">Lanes that a work-item does the work of.</param>
internal sealed class OpenClMachine(uint lanes = GpuLaunch.CpuLanes) : DeviceMachine((lanes == 1 ? OneLane : Vectors).Value, (int)AttentionLaunches.MaxHeadDim)
{
    private static readonly Lazy<OpenClDevice> Vectors = new(() => Open(GpuLaunch.CpuLanes));

    /// <summary>What GPUs run.</summary>
    private static readonly Lazy<OpenClDevice> OneLane = new(() => Open(1));

    private static OpenClDevice Open(uint lanes) => new(new OpenClDeviceOptions { Kernels = Transformer.GpuKernels, Lanes = lanes });
}
