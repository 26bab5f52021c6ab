using System.Runtime.InteropServices;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;

namespace Kvcached.Devices.Cuda;

/// <summary>Host memory that the GPU reaches under its host address: pinned, so that copies run by DMA. Thread-safe.</summary>
internal sealed class RegisteredMemory(
    CudaDevice device, Registration registration, SharedMapping mapping, string label, MemoryKind kind, long bytes, SharedAccess access, bool isImported)
    : MappedMemory(device, mapping, label, kind, bytes, access, isImported)
{
    private protected override SafeHandle Handle => registration;

    /// <summary>Pinned pages cannot be given back: zeros are written over them.</summary>
    private protected override unsafe void Empty(long offset, long bytes) => NativeMemory.Clear((byte*)Address + offset, (nuint)bytes);
}

/// <summary>A mapping that is registered with the driver. Owns the mapping. Disposing it may wait for the GPU, so nothing that is still to run may name it. Neither is finalized.</summary>
internal sealed class Registration : SafeHandle
{
    private readonly CudaContext _context;
    private readonly SharedMapping _mapping;

    /// <summary>Registers a mapping.</summary>
    /// <exception cref="OutOfDeviceMemoryException">So much host memory cannot be pinned.</exception>
    /// <exception cref="DeviceUnavailableException">It may only be read, and the driver registers no such memory.</exception>
    internal Registration(CudaContext context, SharedMapping mapping, bool isReadOnly)
        : base(0, ownsHandle: true)
    {
        if (isReadOnly && !context.CanRegisterReadOnly)
        {
            throw new DeviceUnavailableException($"{context.Name} cannot be shared with another process: its driver registers no memory that may only be read, which a client has of its daemon. Use it in one process, or install a later driver.");
        }

        (_context, _mapping) = (context, mapping);
        context.Use();
        Register(mapping.Address, mapping.Bytes, isReadOnly);
        SetHandle(mapping.Address);
#pragma warning disable CA1816 // The driver may wait for the GPU, and what is registered must stay mapped.
        GC.SuppressFinalize(this);
        GC.SuppressFinalize(mapping);
#pragma warning restore CA1816
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>Registers memory under its own address.</summary>
    internal static void Register(nint address, long bytes, bool isReadOnly) => CudaCall.Check(
        LibCuda.MemHostRegister(address, (nuint)bytes, LibCuda.HostRegisterPortable | LibCuda.HostRegisterDeviceMap | (isReadOnly ? LibCuda.HostRegisterReadOnly : 0)),
        "cuMemHostRegister");

    protected override bool ReleaseHandle()
    {
        if (_context.IsAbandoned)
        {
            return true;
        }

        var isGone = _context.TryUse() == CudaResult.Success && LibCuda.MemHostUnregister(handle) == CudaResult.Success;
        _mapping.Dispose();
        return isGone;
    }
}
