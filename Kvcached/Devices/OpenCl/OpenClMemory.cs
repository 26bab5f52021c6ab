using System.Runtime.InteropServices;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;

namespace Kvcached.Devices.OpenCl;

/// <summary>Memory of an OpenCL device.</summary>
internal interface IOpenClMemory
{
    /// <summary>The memory object, or 0 for memory of the host that the device cannot use.</summary>
    nint Buffer { get; }
}

/// <summary>A memory object, and the mapping that it lies over, if it does: released in that order.</summary>
internal sealed class OpenClBuffer : SafeHandle
{
    private readonly SharedMapping? _mapping;

    internal OpenClBuffer(nint buffer, SharedMapping? mapping = null)
        : base(0, ownsHandle: true)
    {
        _mapping = mapping;
        SetHandle(buffer);
    }

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        var code = Cl.ReleaseMemObject(handle);
        _mapping?.Dispose();
        return code == Cl.Success;
    }
}

/// <summary>Memory of the host that the device uses in place (or, without a memory object, that only its copies can name). Thread-safe.</summary>
internal sealed class OpenClHostMemory(OpenClDevice device, SharedMapping mapping, OpenClBuffer? buffer, string label, MemoryKind kind, long bytes, SharedAccess access, bool isImported)
    : MappedMemory(device, mapping, label, kind, bytes, access, isImported), IOpenClMemory
{
    public nint Buffer => buffer?.DangerousGetHandle() ?? 0;

    private protected override SafeHandle Handle => buffer ?? base.Handle;

    protected override void Dispose(bool disposing)
    {
        device.Forget(this);
        base.Dispose(disposing);
    }
}

/// <summary>Memory of a device that has its own: it has no address there that the host knows, and gets a range that nothing else has. Thread-safe.</summary>
internal sealed class OpenClDeviceMemory(OpenClDevice device, OpenClBuffer buffer, ulong address, string label, long bytes)
    : DeviceMemory(label, MemoryKind.Device, bytes), IOpenClMemory
{
    private int _disposed;

    public nint Buffer => buffer.DangerousGetHandle();

    public override ulong Address
    {
        get
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
            return address;
        }
    }

    internal OpenClDevice Device { get; } = device;

    public override MemoryReturn Returns => MemoryReturn.Never;

    public override Span<byte> HostSpan(long offset, int bytes) =>
        throw new InvalidOperationException($"{Label} is memory of kind {Kind}: the host reaches memory of kind {MemoryKind.Host} alone.");

    /// <summary>The device keeps the memory: it is zeroed, and that is waited for.</summary>
    protected override void DiscardCore(long offset, long bytes)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
        Device.Zero(Buffer, offset, bytes);
    }

    protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            Device.Forget(this);
            Device.Release(this, isImported: false);
            buffer.Dispose();
        }
    }
}
