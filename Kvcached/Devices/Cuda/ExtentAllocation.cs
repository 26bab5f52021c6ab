namespace Kvcached.Devices.Cuda;

/// <summary>
/// A range of addresses whose physical memory comes and goes in extents: each is an allocation of its own, mapped at its place. The addresses stay. One thread at a time maps and unmaps.
/// </summary>
internal sealed unsafe class ExtentAllocation : CudaAllocation
{
    private readonly CudaContext _context;

    /// <summary>The driver's handle of each extent that is mapped; 0 for one that is not.</summary>
    private readonly ulong[] _handles;

    private int _mapped;

    /// <summary>Reserves addresses. Nothing is mapped.</summary>
    /// <param name="context">Where.</param>
    /// <param name="extents">Extents.</param>
    /// <param name="extentBytes">Bytes of each: a multiple of <see cref="LeastExtentBytes"/>.</param>
    internal ExtentAllocation(CudaContext context, int extents, long extentBytes)
        : base(context)
    {
        (_context, _handles, ExtentBytes) = (context, new ulong[extents], extentBytes);
        ulong address;
        CudaCall.Check(LibCuda.MemAddressReserve(&address, Bytes, 0, 0, 0), "cuMemAddressReserve");
        SetHandle((nint)address);
    }

    internal int Extents => _handles.Length;

    internal long ExtentBytes { get; }

    /// <summary>Extents that are mapped. Any thread.</summary>
    internal int Mapped => Volatile.Read(ref _mapped);

    private nuint Bytes => (nuint)(_handles.Length * ExtentBytes);

    /// <summary>What the size of an extent must be a multiple of.</summary>
    internal static long LeastExtentBytes(CudaContext context)
    {
        var properties = Properties(context);
        nuint bytes;
        CudaCall.Check(LibCuda.MemGetAllocationGranularity(&bytes, &properties, LibCuda.GranularityMinimum), "cuMemGetAllocationGranularity");
        return (long)bytes;
    }

    internal bool IsMapped(int extent) => _handles[extent] != 0;

    /// <summary>Gives an extent memory; what it holds is undefined.</summary>
    /// <exception cref="OutOfDeviceMemoryException">The GPU has not got that much now.</exception>
    internal void Map(int extent)
    {
        var properties = Properties(_context);
        ulong physical;
        CudaCall.Check(LibCuda.MemCreate(&physical, (nuint)ExtentBytes, &properties, 0), "cuMemCreate");
        var isMapped = false;
        try
        {
            CudaCall.Check(LibCuda.MemMap(AddressOf(extent), (nuint)ExtentBytes, 0, physical, 0), "cuMemMap");
            isMapped = true;
            var access = new LibCuda.AccessDescription { Location = properties.Location, Flags = LibCuda.AccessReadWrite };
            CudaCall.Check(LibCuda.MemSetAccess(AddressOf(extent), (nuint)ExtentBytes, &access, 1), "cuMemSetAccess");
        }
        catch
        {
            _ = isMapped ? LibCuda.MemUnmap(AddressOf(extent), (nuint)ExtentBytes) : CudaResult.Success;
            _ = LibCuda.MemRelease(physical);
            throw;
        }

        _handles[extent] = physical;
        _mapped++;
    }

    /// <summary>Takes an extent's memory. Nothing in the GPU touches it any more.</summary>
    internal void Unmap(int extent)
    {
        CudaCall.Check(LibCuda.MemUnmap(AddressOf(extent), (nuint)ExtentBytes), "cuMemUnmap");
        CudaCall.Check(LibCuda.MemRelease(_handles[extent]), "cuMemRelease");
        _handles[extent] = 0;
        _mapped--;
    }

    private protected override bool Free()
    {
        var isFree = true;
        for (var extent = 0; extent < _handles.Length; extent++)
        {
            if (_handles[extent] != 0)
            {
                isFree &= LibCuda.MemUnmap(AddressOf(extent), (nuint)ExtentBytes) == CudaResult.Success & LibCuda.MemRelease(_handles[extent]) == CudaResult.Success;
            }
        }

        return isFree & LibCuda.MemAddressFree(Address, Bytes) == CudaResult.Success;
    }

    private static LibCuda.AllocationProperties Properties(CudaContext context) => new()
    {
        Type = LibCuda.AllocationTypePinned,
        Location = new LibCuda.Location { Type = LibCuda.LocationTypeDevice, Id = context.Device },
    };

    private ulong AddressOf(int extent) => Address + (ulong)(extent * ExtentBytes);
}
