using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Kvcached.Devices.Sim;

/// <summary>
/// A kernel for the simulated device. It reads and writes simulated memory through its context alone, when its slices run, so that
/// every access is checked. One object serves all launches: what a launch keeps between slices lies in
/// <see cref="SimKernelContext.State"/>.
/// </summary>
public abstract class SimKernel(string name)
{
    /// <summary>Name by which the kernel is loaded.</summary>
    public string Name { get; } = name;

    /// <summary>Runs one slice of a launch; other queues run between slices.</summary>
    /// <param name="context">Arguments and memory.</param>
    /// <param name="slice">0 for the launch's first slice, then 1, …</param>
    /// <returns>Whether the launch is done.</returns>
    public abstract bool Run(ref SimKernelContext context, int slice);
}

/// <summary>A kernel of one slice, from a delegate.</summary>
public sealed class SimDelegateKernel(string name, SimDelegateKernel.Body body) : SimKernel(name)
{
    /// <summary>What a launch does; returns whether it is done.</summary>
    public delegate bool Body(ref SimKernelContext context, int slice);

    /// <inheritdoc/>
    public override bool Run(ref SimKernelContext context, int slice) => body(ref context, slice);
}

/// <summary>What a kernel sees during a slice.</summary>
public readonly ref struct SimKernelContext
{
    private readonly SimDevice _device;
    private readonly SimQueue _queue;
    private readonly SimWork _work;

    internal SimKernelContext(SimDevice device, SimQueue queue, SimWork work, ReadOnlySpan<byte> arguments)
    {
        _device = device;
        _queue = queue;
        _work = work;
        Arguments = arguments;
    }

    /// <summary>The launch's arguments, as captured at submit.</summary>
    public ReadOnlySpan<byte> Arguments { get; }

    /// <summary>64 bits that stay from slice to slice of one launch; 0 at first.</summary>
    public ref ulong State => ref _work.KernelState;

    /// <summary>The arguments as the type that was launched with.</summary>
    public ref readonly T ArgumentsAs<T>()
        where T : unmanaged => ref MemoryMarshal.AsRef<T>(Arguments);

    /// <summary>Reads a range that lies in one memory. The span shows the bytes until the slice ends.</summary>
    public ReadOnlySpan<byte> Read(ulong address, int bytes) => _device.Access(_queue, address, bytes, write: false);

    /// <summary>Reads one value.</summary>
    public T Read<T>(ulong address)
        where T : unmanaged => MemoryMarshal.Read<T>(Read(address, Unsafe.SizeOf<T>()));

    /// <summary>Writes a range that lies in one memory.</summary>
    public void Write(ulong address, ReadOnlySpan<byte> bytes) => bytes.CopyTo(WriteSpan(address, bytes.Length));

    /// <summary>Writes one value.</summary>
    public void Write<T>(ulong address, in T value)
        where T : unmanaged => MemoryMarshal.Write(WriteSpan(address, Unsafe.SizeOf<T>()), value);

    /// <summary>A range that the kernel is about to write, to be filled before the slice ends.</summary>
    public Span<byte> WriteSpan(ulong address, int bytes) => _device.Access(_queue, address, bytes, write: true);

    /// <summary>Reports that what the kernel read is wrong: ends the run.</summary>
    [DoesNotReturn]
    public void Fail(string message) => _device.FailContent(_queue, _work, message);
}

/// <summary>A kernel that a simulated device has loaded.</summary>
internal sealed class SimLoadedKernel(SimDevice device, SimKernel kernel, short number) : DeviceKernel(kernel.Name)
{
    public SimDevice Device { get; } = device;

    public SimKernel Kernel { get; } = kernel;

    public short Number { get; } = number;
}
