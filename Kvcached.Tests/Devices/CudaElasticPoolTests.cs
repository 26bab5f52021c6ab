using System.Diagnostics;
using Kvcached.Devices;
using Kvcached.Devices.Cuda;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>An embedded cache whose pool comes and goes in extents of a GPU's memory.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaElasticPoolTests : IDisposable
{
    private const long Extent = 4 << 20;
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);
    private readonly CudaDevice _device = new(new CudaDeviceOptions { ExtentBytes = Extent });

    public void Dispose() => _device.Dispose();

    [CudaFact]
    public void A_pool_grows_with_need_is_trimmed_to_its_floor_and_grows_again()
    {
        using var cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = 8 * Extent, PoolFloorBytes = Extent, ColdBytes = 0 });
        var model = cache.RegisterModel("large", new KvLayout { Layers = 16, Heads = 8, HeadDim = 128 });
        var lane = cache.OpenLane();
        for (var round = 1; round <= 2; round++)
        {
            // Blocks of a mebibyte: 20 of them are more than four extents.
            var sequence = model.CreateSequence();
            Step(cache, lane, new KvStepItem(sequence, 20 * 16));
            var grown = cache.GetStatistics();
            Assert.InRange(cache.PoolPhysicalBytes, 5 * Extent, 8 * Extent);
            Assert.Equal((grown.PoolPresentBytes, 0, 0), (cache.PoolPhysicalBytes, grown.EvictedBlocks, grown.PoolGrowthsRefused));

            sequence.Free();
            cache.Trim();
            Await(cache, () => cache.PoolPhysicalBytes == Extent);
            Assert.Equal(Extent, cache.GetStatistics().PoolPresentBytes);
        }
    }

    [CudaFact]
    public void Where_the_GPU_has_no_more_steps_evict()
    {
        var all = CudaDevice.List()[0].Bytes;
        using var cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = 2 * all / Extent * Extent, PoolFloorBytes = Extent, ColdBytes = 64 << 20, TableBytes = 1 << 20 });
        var extent = cache.PoolPhysicalBytes;
        LeaveTo(bytes: (extent * 3) / 2, all);
        var model = cache.RegisterModel("large", new KvLayout { Layers = 16, Heads = 8, HeadDim = 128 });
        var lane = cache.OpenLane();
        var blocks = (int)(extent >> 20);
        for (var i = 0; i < 4; i++)
        {
            Step(cache, lane, new KvStepItem(model.CreateSequence(), blocks * 16));
        }

        var statistics = cache.GetStatistics();
        Assert.True(statistics is { PoolGrowthsRefused: > 0, EvictedBlocks: > 0 }, statistics.ToString());
    }

    /// <summary>Takes all of the GPU's memory but so much, about.</summary>
    private void LeaveTo(long bytes, long all)
    {
        var taken = new Stack<DeviceMemory>();
        for (var chunk = all / 2; chunk >= 1 << 20; chunk /= 2)
        {
            try
            {
                taken.Push(_device.Allocate(chunk, MemoryKind.Device, "what others have"));
            }
            catch (OutOfDeviceMemoryException)
            {
            }
        }

        for (var left = 0L; left < bytes;)
        {
            left += taken.Peek().Bytes;
            taken.Pop().Dispose();
        }
    }

    private static void Step(KvCache cache, KvLane lane, params KvStepItem[] batch)
    {
        var step = lane.Begin(batch);
        Await(cache, () => lane.StatusOf(step.Number) != KvStepStatus.Busy);
        Assert.Equal(KvStepStatus.Accepted, lane.StatusOf(step.Number));
        Assert.True(cache.Wait(step.Begin, _patience));
        step.End.Timeline.Signal(step.End.Value);
        cache.Pump();
    }

    private static void Await(KvCache cache, Func<bool> isSo)
    {
        for (var start = Stopwatch.GetTimestamp(); !isSo(); Thread.Sleep(1))
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < _patience, cache.GetStatistics().ToString());
            cache.Pump();
        }
    }
}
