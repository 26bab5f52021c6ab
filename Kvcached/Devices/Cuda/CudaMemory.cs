using System.Runtime.InteropServices;

namespace Kvcached.Devices.Cuda;

/// <summary>Memory of the GPU: an allocation of the driver's, which stays. What is discarded is filled with zeros. Thread-safe.</summary>
internal class CudaMemory : DeviceMemory
{
    private readonly CudaDevice _device;
    private readonly CudaAllocation _allocation;
    private readonly bool _isImported;
    private int _disposed;

    internal CudaMemory(CudaDevice device, CudaAllocation allocation, string label, long bytes, bool isImported, bool isReadOnly = false)
        : base(label, MemoryKind.Device, bytes)
    {
        _device = device;
        _allocation = allocation;
        _isImported = isImported;
        IsReadOnly = isReadOnly;
    }

    internal CudaDevice Device => _device;

    public override MemoryReturn Returns => MemoryReturn.Never;

    /// <summary>Whether another process alone may write it; kernels are not kept from it.</summary>
    internal bool IsReadOnly { get; }

    /// <summary>What owns it.</summary>
    internal CudaAllocation Allocation => _allocation;

    public override ulong Address
    {
        get
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
            return _allocation.Address;
        }
    }

    public override Span<byte> HostSpan(long offset, int bytes) =>
        throw new InvalidOperationException($"{Label} is memory of kind {Kind}: the host reaches memory of kind {MemoryKind.Host} alone.");

    protected override void DiscardCore(long offset, long bytes)
    {
        if (_isImported)
        {
            throw new InvalidOperationException($"{Label} cannot be discarded: it is another process's.");
        }

        _device.Clear(Address + (ulong)offset, bytes);
    }

    protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _device.Release(this, _isImported);
            _device.Retire(_allocation);
        }
    }
}

/// <summary>An allocation, given back when disposed: nothing that is still to run may name it. Never finalized into the driver, which may wait then.</summary>
internal abstract class CudaAllocation : SafeHandle
{
    private readonly CudaContext _context;

    private protected CudaAllocation(CudaContext context)
        : base(0, ownsHandle: true)
    {
        _context = context;
#pragma warning disable CA1816 // The driver may wait for the GPU.
        GC.SuppressFinalize(this);
#pragma warning restore CA1816
    }

    public override bool IsInvalid => handle == 0;

    internal ulong Address => (ulong)handle;

    /// <summary>Gives it back; in the context.</summary>
    private protected abstract bool Free();

    protected override bool ReleaseHandle()
    {
        if (_context.IsAbandoned)
        {
            return true;
        }

        return _context.TryUse() == CudaResult.Success && Free();
    }
}

/// <summary>Memory of this process alone, aligned to a page: the driver promises less, so it is asked for more.</summary>
internal sealed unsafe class PlainAllocation : CudaAllocation
{
    private const ulong Alignment = 4096;

    /// <summary>What the driver aligns to, at least (CUDA C++ Programming Guide, device memory accesses).</summary>
    private const ulong DriverAlignment = 256;

    private readonly ulong _allocated;

    /// <summary>Allocates memory; what it holds is undefined.</summary>
    /// <exception cref="OutOfDeviceMemoryException">The GPU has not got that much.</exception>
    internal PlainAllocation(CudaContext context, long bytes)
        : base(context)
    {
        ulong pointer;
        CudaCall.Check(LibCuda.MemAlloc(&pointer, (nuint)bytes + (nuint)(Alignment - DriverAlignment)), "cuMemAlloc");
        _allocated = pointer;
        SetHandle((nint)((pointer + Alignment - 1) & ~(Alignment - 1)));
    }

    private protected override bool Free() => LibCuda.MemFree(_allocated) == CudaResult.Success;
}
