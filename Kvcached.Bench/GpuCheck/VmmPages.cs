using System.Diagnostics;
using Kvcached.Bench.Ratios;
using Kvcached.Devices.Cuda;

namespace Kvcached.Bench.GpuCheck;

/// <summary>What the driver's virtual memory calls cost for one page of 2 MiB: create, map, set access; and to undo it: unmap, release. Pages of an address range that is reserved once.</summary>
internal sealed unsafe class VmmPages : IDisposable
{
    public const int PageBytes = 2 << 20;
    private readonly CudaContext _context;
    private readonly ulong[] _handles;
    private readonly ulong _address;

    public VmmPages(CudaContext context, int pages)
    {
        context.Use();
        (_context, _handles) = (context, new ulong[pages]);
        ulong address;
        CudaCall.Check(LibCuda.MemAddressReserve(&address, (nuint)pages * PageBytes, PageBytes, 0, 0), "cuMemAddressReserve");
        _address = address;
    }

    /// <summary>Microseconds a page for each call, and for undoing it.</summary>
    public VmmTimes Run()
    {
        _context.Use();
        var properties = new LibCuda.AllocationProperties { Type = LibCuda.AllocationTypePinned, Location = Here };
        var access = new LibCuda.AccessDescription { Location = Here, Flags = LibCuda.AccessReadWrite };
        return new VmmTimes(
            Each(i =>
            {
                var asked = properties;
                ulong handle;
                CudaCall.Check(LibCuda.MemCreate(&handle, PageBytes, &asked, 0), "cuMemCreate");
                _handles[i] = handle;
            }),
            Each(i => CudaCall.Check(LibCuda.MemMap(At(i), PageBytes, 0, _handles[i], 0), "cuMemMap")),
            Each(i =>
            {
                var given = access;
                CudaCall.Check(LibCuda.MemSetAccess(At(i), PageBytes, &given, 1), "cuMemSetAccess");
            }),
            Each(i => CudaCall.Check(LibCuda.MemUnmap(At(i), PageBytes), "cuMemUnmap")),
            Each(i => CudaCall.Check(LibCuda.MemRelease(_handles[i]), "cuMemRelease")));
    }

    public void Dispose() => _ = LibCuda.MemAddressFree(_address, (nuint)_handles.Length * PageBytes);

    public static GpuFinding Measure(GpuRig rig)
    {
        using var pages = new VmmPages(rig.Context, 64);
        pages.Run();
        var times = Enumerable.Range(0, 9).Select(_ => pages.Run()).ToList();
        double Of(Func<VmmTimes, double> which) => RatioStatistics.Median(times.Select(which));
        return GpuFinding.Answer(
            "vmm_page_cost",
            isSo: null,
            $"Create, map and set access take {Of(t => t.Appear):F1} us for 2 MiB.",
            new ExtraField("create_us", Of(t => t.Create)),
            new ExtraField("map_us", Of(t => t.Map)),
            new ExtraField("set_access_us", Of(t => t.SetAccess)),
            new ExtraField("unmap_us", Of(t => t.Unmap)),
            new ExtraField("release_us", Of(t => t.Release)));
    }

    private LibCuda.Location Here => new() { Type = LibCuda.LocationTypeDevice, Id = _context.Device };

    private ulong At(int page) => _address + ((ulong)page * PageBytes);

    private double Each(Action<int> call)
    {
        var start = Stopwatch.GetTimestamp();
        for (var i = 0; i < _handles.Length; i++)
        {
            call(i);
        }

        return Stopwatch.GetElapsedTime(start).TotalMicroseconds / _handles.Length;
    }
}

/// <summary>Microseconds a page.</summary>
internal readonly record struct VmmTimes(double Create, double Map, double SetAccess, double Unmap, double Release)
{
    /// <summary>Until memory can be used at an address.</summary>
    public double Appear => Create + Map + SetAccess;
}
