using Kvcached.Daemon;
using Kvcached.Devices.Cpu;
using Xunit;

namespace Kvcached.Tests.Demo;

public class PoolSizeTests
{
    [Theory]
    [InlineData("64MiB..256MiB", 64L << 20, 256L << 20)]
    [InlineData(" 2MiB .. 1TiB ", 2L << 20, 1L << 40)]
    [InlineData("4194304..4MiB", 4L << 20, 4L << 20)]
    [InlineData("128MiB", 128L << 20, 128L << 20)]
    public void Is_a_floor_and_a_ceiling_or_one_size_for_both(string text, long floor, long ceiling) =>
        Assert.Equal(new PoolSize(floor, ceiling), PoolSize.Parse(text));

    [Theory]
    [InlineData("..", "'' is not a size")]
    [InlineData("2MiB..", "'' is not a size")]
    [InlineData("..2MiB", "'' is not a size")]
    [InlineData("2MiB...4MiB", "'.4MiB' is not a size")]
    [InlineData("2MiB..4MiB..8MiB", "'4MiB..8MiB' is not a size")]
    [InlineData("2MiB-4MiB", "'2MiB-4MiB' is not a size")]
    [InlineData("0..4MiB", "--pool: 0B; it must be a multiple of 2MiB, at least 2MiB and at most 1TiB")]
    [InlineData("2MiB..3MiB", "--pool: 3MiB; ")]
    [InlineData("2MiB..2TiB", "--pool: 2TiB; ")]
    [InlineData("4MiB..2MiB", "--pool: 4MiB..2MiB; the floor must not be above the ceiling")]
    public void What_cannot_be_is_named_with_the_limits(string text, string message) =>
        Assert.Contains(message, Assert.Throws<UsageException>(() => PoolSize.Parse(text)).Message, StringComparison.Ordinal);

    [Fact]
    public void Is_written_as_it_is_read()
    {
        Assert.Equal("2MiB..1GiB", new PoolSize(2 << 20, 1 << 30).ToString());
        Assert.Equal("8MiB", PoolSize.Fixed(8 << 20).ToString());
    }

    [Fact]
    public void A_pool_shrinks_at_run_time_once_less_than_half_of_it_is_in_use()
    {
        using var device = new CpuDevice();
        var size = new PoolSize(2 << 20, 16 << 20);
        using var cache = KvCache.OpenEmbedded(device, new KvCacheOptions { PoolBytes = size.CeilingBytes, PoolFloorBytes = size.FloorBytes, ColdBytes = 0 });
        var model = cache.RegisterModel("large", new KvLayout { Layers = 16, Heads = 8, HeadDim = 128 });
        var lane = cache.OpenLane();
        var shrinker = new PoolShrinker(cache);
        var (large, small) = (model.CreateSequence(), model.CreateSequence());
        Step(new KvStepItem(large, 12 * 16), new KvStepItem(small, 16));
        shrinker.Look(cache.GetStatistics());
        var full = cache.GetStatistics().PoolPresentBytes;
        Assert.Equal(full, shrinker.PeakBytes);
        Assert.InRange(full, 13 << 20, size.CeilingBytes);

        large.Free();
        shrinker.Look(cache.GetStatistics());
        Step(new KvStepItem(small, 0));

        Assert.Equal(2 << 20, cache.GetStatistics().PoolPresentBytes);
        Assert.Equal(full, shrinker.PeakBytes);

        void Step(params ReadOnlySpan<KvStepItem> batch)
        {
            var step = lane.Begin(batch);
            // An end counts once its begin has been observed.
            Assert.True(cache.Wait(step.Begin, TimeSpan.FromMinutes(1)));
            step.End.Timeline.Signal(step.End.Value);
            Assert.True(cache.Wait(step.End, TimeSpan.FromMinutes(1)));
        }
    }
}
