using Xunit;

namespace Kvcached.Tests.Client;

/// <summary>Steps begun while no step before them has ended: the device runs nothing.</summary>
public sealed class StepAheadTests : IDisposable
{
    private readonly IdleDevice _device = new();
    private readonly KvCache _cache;
    private readonly KvModel _model;

    public StepAheadTests()
    {
        _cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = KvCacheOptions.UnitBytes, ColdBytes = 2 * KvCacheOptions.UnitBytes });
        _model = _cache.RegisterModel("m", CacheRig.Layout);
    }

    [Fact]
    public void Without_a_pinned_limit_a_step_is_accepted_over_the_bytes_of_the_one_before()
    {
        // 20 of 32 blocks each.
        var lane = _cache.OpenLane();
        Assert.Equal(KvStepStatus.Accepted, lane.Begin([new KvStepItem(_model.CreateSequence(), 20 * 16)]).Status);
        Assert.Equal(KvStepStatus.Accepted, lane.Begin([new KvStepItem(_model.CreateSequence(), 20 * 16)]).Status);
        Assert.Equal(8, _cache.GetStatistics().EvictedBlocks);
    }

    [Fact]
    public void A_step_that_was_not_begun_has_no_points_and_no_views_and_says_why()
    {
        var lane = _cache.OpenLane(new KvLaneOptions { Depth = 1, MaxBatch = 1, MaxLayouts = 1 });
        var sequence = _model.CreateSequence();
        Assert.Equal(KvStepStatus.Accepted, lane.Begin([new KvStepItem(sequence, 1)]).Status);

        var step = lane.Begin([new KvStepItem(sequence, 1)]);

        Assert.Equal((KvStepStatus.TooManySteps, 0ul), (step.Status, step.Number));
        foreach (var use in (Action[])[() => _ = step.Begin, () => _ = step.End, () => step.ViewsAddress()])
        {
            var exception = Assert.Throws<KvException>(use);
            Assert.Equal(KvError.InvalidArgument, exception.Error);
            Assert.Contains("TooManySteps", exception.Message, StringComparison.Ordinal);
        }
    }

    public void Dispose()
    {
        _cache.Dispose();
        _device.Dispose();
    }
}
