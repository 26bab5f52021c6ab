using Kvcached.Devices;
using Xunit;

namespace Kvcached.Tests.Client;

/// <summary>How long an application waits on the host for a point.</summary>
public sealed class HostWaitTests : IDisposable
{
    private readonly IdleDevice _device = new();
    private readonly KvCache _cache;

    public HostWaitTests() => _cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = KvCacheOptions.UnitBytes, ColdBytes = 0 });

    [Fact]
    public void A_wait_without_a_timeout_lasts_until_the_point_is_reached()
    {
        using var timeline = new LateTimeline(waits: 3);
        Assert.True(_cache.Wait(new TimelinePoint(timeline, 1), Timeout.InfiniteTimeSpan));
        Assert.Equal(0, timeline.WaitsLeft);
    }

    [Fact]
    public void A_wait_whose_timeout_passes_says_so()
    {
        using var timeline = new LateTimeline(waits: int.MaxValue);
        Assert.False(_cache.Wait(new TimelinePoint(timeline, 1), TimeSpan.Zero));
    }

    public void Dispose()
    {
        _cache.Dispose();
        _device.Dispose();
    }

    /// <summary>Reaches any point once it has been waited for so often.</summary>
    private sealed class LateTimeline(int waits) : DeviceTimeline("late")
    {
        public int WaitsLeft { get; private set; } = waits;

        public override ulong Value => WaitsLeft == 0 ? ulong.MaxValue : 0;

        public override void Signal(ulong value)
        {
        }

        public override bool WaitOnHost(ulong value, TimeSpan timeout) => --WaitsLeft == 0;

        protected override void Dispose(bool disposing)
        {
        }
    }
}
