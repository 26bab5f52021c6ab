using Kvcached.Devices;
using Kvcached.Devices.Cuda;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>Memory of a GPU that comes and goes in extents: how much of it there is, and what a GPU does that has no more.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaElasticMemoryTests : IDisposable
{
    private const long Extent = 2 << 20;
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);
    private readonly CudaDevice _device = new(new CudaDeviceOptions { ExtentBytes = Extent });

    public void Dispose() => _device.Dispose();

    [CudaFact]
    public void An_extent_goes_with_the_last_of_it_and_comes_with_the_first()
    {
        using var memory = _device.AllocateElastic(8 * Extent, (3 * Extent) / 2, "elastic");
        Assert.Equal((MemoryReturn.Later, Extent, 2 * Extent), (memory.Returns, memory.ExtentBytes, memory.PhysicalBytes));

        memory.Discard(Extent, Extent / 4);
        Assert.True(Settle(memory));
        Assert.Equal(2 * Extent, memory.PhysicalBytes);
        memory.Discard(Extent + (Extent / 4), Extent / 4);
        Assert.True(Settle(memory));
        Assert.Equal(Extent, memory.PhysicalBytes);

        Assert.True(Comes(memory, 4 * Extent, 4096));
        Assert.Equal(2 * Extent, memory.PhysicalBytes);
    }

    [CudaFact]
    public void What_the_GPU_has_not_got_is_refused_whole_and_can_be_asked_for_again()
    {
        var all = CudaDevice.List()[0].Bytes / Extent * Extent;
        using var memory = _device.AllocateElastic(2 * all, Extent, "elastic");
        var extent = memory.ExtentBytes;

        Assert.False(Comes(memory, extent, (2 * all) - extent));
        Assert.Equal(extent, memory.PhysicalBytes);

        Assert.True(Comes(memory, extent, extent));
        Assert.Equal(2 * extent, memory.PhysicalBytes);
    }

    [CudaFact]
    public void Where_there_is_not_enough_for_the_first_part_nothing_is_allocated()
    {
        var all = CudaDevice.List()[0].Bytes / Extent * Extent;
        Assert.Throws<OutOfDeviceMemoryException>(() => _device.AllocateElastic(4 * all, 2 * all, "too much"));
        using var memory = _device.AllocateElastic(all / 2, all / 2, "enough");
        Assert.Equal(all / 2, memory.PhysicalBytes);
    }

    [CudaFact]
    public void A_large_memory_has_larger_extents()
    {
        using var memory = _device.AllocateElastic(600 * Extent, Extent, "large");
        Assert.Equal(4 * Extent, memory.ExtentBytes);
    }

    private static bool Comes(DeviceMemory memory, long offset, long bytes)
    {
        var arrival = memory.Populate(offset, bytes);
        Assert.True(memory.Arrivals!.WaitOnHost(arrival, _patience));
        return !memory.IsRefused(arrival);
    }

    /// <summary>Waits until all has been done that was asked for: requests are done in their order.</summary>
    private static bool Settle(DeviceMemory memory) => Comes(memory, memory.Bytes - Extent, 0);
}
