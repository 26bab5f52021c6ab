using Microsoft.Win32.SafeHandles;

namespace Kvcached.Devices.Cuda;

/// <summary>
/// Memory that processes share: physical memory of the driver's under a file descriptor, mapped at an address of this process. Whoever has the descriptor maps it for reading
/// and writing: the driver has no other way, so what is read-only on the cpu device is so by agreement here (docs/protocol.md).
/// </summary>
internal sealed unsafe class SharedAllocation : CudaAllocation
{
    private readonly nuint _bytes;
    private readonly ulong _physical;

    private SharedAllocation(CudaContext context, ulong physical, nuint bytes, SafeFileHandle? descriptor)
        : base(context)
    {
        (_physical, _bytes, Descriptor) = (physical, bytes, descriptor);
        try
        {
            Map(context);
        }
        catch
        {
            _ = LibCuda.MemRelease(physical);
            descriptor?.Dispose();
            throw;
        }
    }

    /// <summary>What another process imports; null where this one did.</summary>
    internal SafeFileHandle? Descriptor { get; }

    /// <summary>Allocates memory and exports it.</summary>
    /// <exception cref="OutOfDeviceMemoryException">The GPU has not got that much.</exception>
    internal static SharedAllocation Create(CudaContext context, long bytes)
    {
        var properties = Properties(context);
        var size = Round(bytes, &properties);
        ulong physical;
        CudaCall.Check(LibCuda.MemCreate(&physical, size, &properties, 0), "cuMemCreate");
        int descriptor;
        var result = LibCuda.MemExportToShareableHandle(&descriptor, physical, LibCuda.HandleTypePosixFileDescriptor, 0);
        if (result != CudaResult.Success)
        {
            _ = LibCuda.MemRelease(physical);
            throw CudaCall.Failure(result, "cuMemExportToShareableHandle");
        }

        return new SharedAllocation(context, physical, size, new SafeFileHandle(descriptor, ownsHandle: true));
    }

    /// <summary>Maps memory that another process has exported. Takes the descriptor over, also when it throws.</summary>
    /// <exception cref="ArgumentException">It is no such memory, or smaller.</exception>
    internal static SharedAllocation Import(CudaContext context, SafeFileHandle descriptor, long bytes)
    {
        using (descriptor)
        {
            try
            {
                var properties = Properties(context);
                var size = Round(bytes, &properties);
                ulong physical;
                CudaCall.Check(LibCuda.MemImportFromShareableHandle(&physical, descriptor.DangerousGetHandle(), LibCuda.HandleTypePosixFileDescriptor), "cuMemImportFromShareableHandle");
                return new SharedAllocation(context, physical, size, null);
            }
            catch (CudaException error)
            {
                throw new ArgumentException($"The descriptor is not that of {bytes} bytes of this GPU's memory: {error.Message}", nameof(descriptor), error);
            }
        }
    }

    private protected override bool Free()
    {
        Descriptor?.Dispose();
        return LibCuda.MemUnmap(Address, _bytes) == CudaResult.Success
            & LibCuda.MemAddressFree(Address, _bytes) == CudaResult.Success
            & LibCuda.MemRelease(_physical) == CudaResult.Success;
    }

    private static LibCuda.AllocationProperties Properties(CudaContext context) => new()
    {
        Type = LibCuda.AllocationTypePinned,
        RequestedHandleTypes = LibCuda.HandleTypePosixFileDescriptor,
        Location = new LibCuda.Location { Type = LibCuda.LocationTypeDevice, Id = context.Device },
    };

    private static nuint Round(long bytes, LibCuda.AllocationProperties* properties)
    {
        nuint granularity;
        CudaCall.Check(LibCuda.MemGetAllocationGranularity(&granularity, properties, LibCuda.GranularityMinimum), "cuMemGetAllocationGranularity");
        return ((nuint)bytes + granularity - 1) / granularity * granularity;
    }

    private void Map(CudaContext context)
    {
        ulong address;
        CudaCall.Check(LibCuda.MemAddressReserve(&address, _bytes, 0, 0, 0), "cuMemAddressReserve");
        var result = LibCuda.MemMap(address, _bytes, 0, _physical, 0);
        if (result != CudaResult.Success)
        {
            _ = LibCuda.MemAddressFree(address, _bytes);
            throw CudaCall.Failure(result, "cuMemMap");
        }

        var access = new LibCuda.AccessDescription { Location = new LibCuda.Location { Type = LibCuda.LocationTypeDevice, Id = context.Device }, Flags = LibCuda.AccessReadWrite };
        result = LibCuda.MemSetAccess(address, _bytes, &access, 1);
        if (result != CudaResult.Success)
        {
            _ = LibCuda.MemUnmap(address, _bytes);
            _ = LibCuda.MemAddressFree(address, _bytes);
            throw CudaCall.Failure(result, "cuMemSetAccess");
        }

        SetHandle((nint)address);
    }
}
