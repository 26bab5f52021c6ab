using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Xunit;

namespace Kvcached.Tests.Client;

/// <summary>Every entry point with input that breaks its contract: a typed error that says what was wrong, and nothing has changed.</summary>
public sealed class BadInputTests : IDisposable
{
    private const long Unit = KvCacheOptions.UnitBytes;

    private readonly CacheRig _rig = new(cleanAhead: false, maxSequences: 8);
    private readonly CacheRig _other = new();
    private readonly PatternLane _lane;
    private readonly PatternSequence _good;

    public BadInputTests()
    {
        _lane = _rig.OpenLane();
        _good = _lane.Create();
        _lane.Begin(20, _good);
        _lane.Wait();
    }

    public static TheoryData<string, object> ImpossibleOptions => new()
    {
        { "PoolBytes is 0; it must be 2097152 to 1099511627776", Options with { PoolBytes = 0 } },
        { "PoolBytes is -2097152", Options with { PoolBytes = -Unit } },
        { "PoolBytes is 2097153", Options with { PoolBytes = Unit + 1 } },
        { "PoolBytes is 1099513724928", Options with { PoolBytes = KvCacheOptions.MaxPoolBytes + Unit } },
        { "PoolBytes is 9223372036854775807", Options with { PoolBytes = long.MaxValue } },
        { "ColdBytes is -1", Options with { ColdBytes = -1 } },
        { "ColdBytes is 4096; it must be 0 to 1099511627776 and a multiple of 2097152", Options with { ColdBytes = 4096 } },
        { "TableBytes is 0; it must be 16384", Options with { TableBytes = 0 } },
        { "TableBytes is 16385", Options with { TableBytes = KvCacheOptions.TableUnitBytes + 1 } },
        { "TableBytes is 8589934592", Options with { TableBytes = 1L << 33 } },
        { "MaxSequences is 0; it must be 1 to 16777216", Options with { MaxSequences = 0 } },
        { "MaxSequences is 16777217", Options with { MaxSequences = (1 << 24) + 1 } },
        { "MaxPinnedBytes is 0; it must be 1 to 2097152", Options with { MaxPinnedBytes = 0 } },
        { "MaxPinnedBytes is 2097153", Options with { MaxPinnedBytes = Unit + 1 } },
    };

    public static TheoryData<string, object> ImpossibleLanes => new()
    {
        { "Depth is 0; it must be 1 to 1024", new KvLaneOptions { Depth = 0 } },
        { "Depth is -1", new KvLaneOptions { Depth = -1 } },
        { "Depth is 1025", new KvLaneOptions { Depth = 1025 } },
        { "MaxBatch is 0; it must be 1 to 65536", new KvLaneOptions { MaxBatch = 0 } },
        { "MaxBatch is 65537", new KvLaneOptions { MaxBatch = 65537 } },
        { "MaxLayouts is 0; it must be 1 to 64", new KvLaneOptions { MaxLayouts = 0 } },
        { "MaxLayouts is 65", new KvLaneOptions { MaxLayouts = 65 } },
        { "MaxPages is -1; it must be 0 to 8388607", new KvLaneOptions { MaxPages = -1 } },
        { "MaxPages is 536870912; it must be 0 to 536870911", new KvLaneOptions { MaxBatch = 4, MaxPages = 1 << 29 } },
    };

    public static TheoryData<string, KvLayout[]> ImpossibleModels => new()
    {
        { "layouts is 0; it must be 1 to 64", [] },
        { "layouts is 65", [.. Enumerable.Repeat(CacheRig.Layout, 65)] },
        { "Planes is 0; it must be between 1 and 16", [CacheRig.Layout with { Planes = 0 }] },
        { "Planes is 17", [CacheRig.Layout with { Planes = 17 }] },
        { "Layers is 0", [CacheRig.Layout with { Layers = 0 }] },
        { "Layers is 1025", [CacheRig.Layout with { Layers = 1025 }] },
        { "Heads is 0", [CacheRig.Layout with { Heads = 0 }] },
        { "Heads is -3", [CacheRig.Layout with { Heads = -3 }] },
        { "HeadDim is 0", [CacheRig.Layout with { HeadDim = 0 }] },
        { "HeadDim is 2147483647", [CacheRig.Layout with { HeadDim = int.MaxValue }] },
        { "TokensPerBlock is 0", [CacheRig.Layout with { TokensPerBlock = 0 }] },
        { "TokensPerBlock is 24; it must be a power of two", [CacheRig.Layout with { TokensPerBlock = 24 }] },
        { "TokensPerBlock is 2048", [CacheRig.Layout with { TokensPerBlock = 2048 }] },
        { "WindowTokens is -1", [CacheRig.Layout with { WindowTokens = -1 }] },
        { "ElementType 99 is not defined", [CacheRig.Layout with { ElementType = (KvElementType)99 }] },
        { "AxisOrder 99 is not defined", [CacheRig.Layout with { AxisOrder = (KvAxisOrder)99 }] },
        { "bytes; the limit is 1073741824", [CacheRig.Layout with { Layers = 1024, Heads = 1024, HeadDim = 16384, TokensPerBlock = 1024, Planes = 16, ElementType = KvElementType.Float32 }] },
        { "A block has 2162688 bytes; the pool has 2097152", [CacheRig.Layout, CacheRig.Layout with { Layers = 66 }] },
        { "No segment for blocks of 1376256 bytes fits the pool of 2097152", [CacheRig.Layout with { Layers = 42 }] },
    };

    [Theory]
    [MemberData(nameof(ImpossibleOptions))]
    public void A_cache_of_an_impossible_size_is_not_opened(string message, object options)
    {
        using var device = new CpuDevice();
        Assert.Contains(message, Rejects(KvError.InvalidArgument, () => KvCache.OpenEmbedded(device, (KvCacheOptions)options)), StringComparison.Ordinal);
    }

    [Fact]
    public void A_cache_larger_than_the_devices_memory_is_not_opened_and_leaves_nothing_there()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { MaxBytes = 6 * Unit });
        for (var i = 0; i < 3; i++)
        {
            Assert.Throws<OutOfDeviceMemoryException>(() => KvCache.OpenEmbedded(device, Options with { PoolBytes = 4 * Unit, ColdBytes = 4 * Unit }));
        }

        KvCache.OpenEmbedded(device, Options with { PoolBytes = 4 * Unit, ColdBytes = Unit }).Dispose();
    }

    [Fact]
    public void A_lane_that_the_device_has_no_memory_for_is_not_opened_and_leaves_nothing_there()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { MaxBytes = 6 * Unit });
        using var cache = KvCache.OpenEmbedded(device, Options);
        var before = cache.GetStatistics();
        for (var i = 0; i < 3; i++)
        {
            // One of its two rings fits.
            Assert.Throws<OutOfDeviceMemoryException>(() => cache.OpenLane(new KvLaneOptions { Depth = 4, MaxBatch = 16384, MaxLayouts = 2 }));
        }

        Assert.Equal(before, cache.GetStatistics());
        cache.OpenLane(new KvLaneOptions { Depth = 3, MaxBatch = 16384, MaxLayouts = 2 });
    }

    [Theory]
    [MemberData(nameof(ImpossibleLanes))]
    public void A_lane_of_an_impossible_size_is_not_opened(string message, object options) =>
        Assert.Contains(message, Rejects(KvError.InvalidArgument, () => _rig.Cache.OpenLane((KvLaneOptions)options)), StringComparison.Ordinal);

    [Theory]
    [MemberData(nameof(ImpossibleModels))]
    public void A_model_of_an_impossible_shape_is_not_registered(string message, KvLayout[] layouts) =>
        Assert.Contains(message, Rejects(KvError.InvalidArgument, () => _rig.Cache.RegisterModel("bad", layouts)), StringComparison.Ordinal);

    [Fact]
    public async Task Null_is_named()
    {
        using var device = new CpuDevice();
        Assert.Throws<ArgumentNullException>("device", () => KvCache.OpenEmbedded(null!, Options));
        Assert.Throws<ArgumentNullException>("options", () => KvCache.OpenEmbedded(device, null!));
        Assert.Throws<ArgumentNullException>("name", () => _rig.Cache.RegisterModel(null!, CacheRig.Layout));
        Assert.Throws<ArgumentNullException>("layouts", () => _rig.Cache.RegisterModel("m", CacheRig.Layout, null!));
        Assert.Throws<ArgumentNullException>("lane", () => _good.Sequence.Clean(null!));
        Assert.Throws<ArgumentNullException>("lane", () => _good.Sequence.Evict(null!));
        Assert.Throws<ArgumentNullException>("lane", () => _good.Sequence.Prefetch(null!));
        Assert.Throws<ArgumentNullException>("lane", () => _good.Sequence.Move(null!, 1));
        Assert.Throws<ArgumentNullException>("lane", () => _good.Sequence.RestoreOrder(null!));
        Assert.Throws<ArgumentNullException>("point", () => _rig.Cache.Wait(default, CacheRig.Limit));
        await Assert.ThrowsAsync<ArgumentNullException>("point", () => _rig.Cache.WaitAsync(default));
        Assert.Equal(1, _rig.Cache.GetStatistics().HostWaits);
        ExpectANormalStep();
    }

    [Fact]
    public void A_batch_that_breaks_the_contract_begins_no_step()
    {
        var second = _rig.Cache.RegisterModel("second", CacheRig.Layout).CreateSequence();
        var wide = _rig.Cache.RegisterModel("wide", [.. Enumerable.Repeat(CacheRig.Layout, 5)]).CreateSequence();
        var many = Enumerable.Range(0, 9).Select(_ => _good.Sequence).ToArray();
        Rejects(KvError.InvalidArgument, () => Begin(), "A batch of 0 sequences; it must have 1 to 8.");
        Rejects(KvError.InvalidArgument, () => Begin(many), "A batch of 9 sequences; it must have 1 to 8.");
        Rejects(KvError.InvalidArgument, () => Begin([.. Enumerable.Repeat(_good.Sequence, 1000)]), "The batch is 1000; it must be 1 to 8.");
        Rejects(KvError.InvalidArgument, () => Begin(default(KvSequence)), "default sequence handle");
        Rejects(KvError.InvalidArgument, () => Begin(_good.Sequence, _good.Sequence), "stands twice in the batch");
        Rejects(KvError.InvalidArgument, () => Begin(_good.Sequence, second), "another model");
        Rejects(KvError.InvalidArgument, () => Begin(wide), "The model has 5 layouts; the lane has views for 4.");
        Rejects(KvError.ForeignHandle, () => Begin(_good.Sequence, _other.Model.CreateSequence()), "another cache's");
        Rejects(KvError.InvalidArgument, () => _lane.Lane.Begin([new KvStepItem(_good.Sequence, -1)]), "-1 new tokens");
        Rejects(KvError.InvalidArgument, () => _lane.Lane.Begin([new KvStepItem(_good.Sequence, int.MaxValue)]), "2147483647 new tokens for a sequence of 20");
        Rejects(KvError.InvalidArgument, () => _lane.Lane.Begin([new KvStepItem(_good.Sequence, (int.MaxValue / 2) - 19)]), "a sequence holds 0 to 1073741823");
    }

    [Fact]
    public void A_step_past_what_was_begun_is_unknown_and_a_default_step_is_no_step()
    {
        foreach (var number in (ulong[])[0, 2, 1000, ulong.MaxValue])
        {
            Assert.Equal(KvStepStatus.Unknown, _lane.Lane.StatusOf(number));
        }

        Assert.Equal(KvStepStatus.Accepted, _lane.Lane.StatusOf(1));
        Rejects(KvError.InvalidArgument, () => _ = default(KvStep).Begin);
        Rejects(KvError.InvalidArgument, () => _ = default(KvStep).End);
        Rejects(KvError.InvalidArgument, () => _ = default(KvStep).ViewsAddress());
    }

    [Fact]
    public void A_layout_that_is_not_there_has_no_views_and_no_shape()
    {
        Rejects(KvError.InvalidArgument, () => _lane.Step.ViewsAddress(-1), "layout is -1; it must be 0 to 3.");
        Rejects(KvError.InvalidArgument, () => _lane.Step.ViewsAddress(4), "layout is 4; it must be 0 to 3.");
        Rejects(KvError.InvalidArgument, () => _rig.Model.Shape(-1), "layout is -1; it must be 0 to 0.");
        Rejects(KvError.InvalidArgument, () => _rig.Model.Shape(1), "layout is 1; it must be 0 to 0.");
    }

    [Fact]
    public void A_sequence_refuses_what_it_does_not_have()
    {
        Rejects(KvError.InvalidArgument, () => _good.Sequence.Truncate(-1), "Cannot keep -1 tokens of a sequence that has 20.");
        Rejects(KvError.InvalidArgument, () => _good.Sequence.Truncate(21), "Cannot keep 21 tokens of a sequence that has 20.");
        Rejects(KvError.InvalidArgument, () => _good.Sequence.Commit(new int[21]), "21 token ids");
        Rejects(KvError.InvalidArgument, () => _good.Sequence.Move(_lane.Lane, -1), "maxBlocks is -1");
        var foreign = _other.OpenLane().Lane;
        Rejects(KvError.ForeignHandle, () => _good.Sequence.Clean(foreign));
        Rejects(KvError.ForeignHandle, () => _good.Sequence.Evict(foreign));
        Rejects(KvError.ForeignHandle, () => _good.Sequence.Prefetch(foreign));
        Rejects(KvError.ForeignHandle, () => _good.Sequence.Move(foreign, 1));
        Rejects(KvError.ForeignHandle, () => _good.Sequence.RestoreOrder(foreign));
    }

    [Fact]
    public void Token_ids_are_told_once_and_again_after_a_truncate()
    {
        _good.Sequence.Commit(new int[15]);
        Rejects(KvError.InvalidArgument, () => _good.Sequence.Commit(new int[6]), "only 5 of the sequence's 20 tokens have not been committed");
        _good.Sequence.Commit(new int[5]);
        _good.Truncate(10);
        Rejects(KvError.InvalidArgument, () => _good.Sequence.Commit(new int[1]));
        _lane.Begin(2, _good);
        _good.Sequence.Commit(new int[2]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_freed_sequences_handle_is_stale_also_when_its_place_is_taken(bool taken)
    {
        var freed = _rig.Model.CreateSequence();
        freed.Free();
        var successor = taken ? _rig.Model.CreateSequence() : default;
        foreach (var use in Uses(freed))
        {
            Rejects(KvError.StaleHandle, use);
        }

        if (taken)
        {
            Assert.NotEqual(freed, successor);
            Assert.NotEqual(freed.Id, successor.Id);
            Assert.Equal(0, successor.TokenCount);
        }
    }

    [Fact]
    public void A_default_sequence_is_no_sequence()
    {
        foreach (var use in Uses(default))
        {
            Rejects(KvError.InvalidArgument, use);
        }
    }

    [Fact]
    public void Sequences_and_lanes_past_the_limit_are_not_created()
    {
        var more = Enumerable.Range(0, 7).Select(_ => _rig.Model.CreateSequence()).ToArray();
        Rejects(KvError.CapacityExceeded, () => _rig.Model.CreateSequence(), "The cache holds 8 sequences, which is its limit.");
        more[3].Free();
        _rig.Model.CreateSequence();
        using var device = new IdleDevice();
        using var cache = KvCache.OpenEmbedded(device, Options);
        for (var lane = 0; lane < 256; lane++)
        {
            cache.OpenLane(new KvLaneOptions { Depth = 1, MaxBatch = 1, MaxLayouts = 1 });
        }

        Assert.Contains("256 lanes", Rejects(KvError.CapacityExceeded, () => cache.OpenLane()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task After_dispose_every_member_says_that_the_cache_is_closed()
    {
        var cache = _other.Cache;
        var lane = _other.OpenLane();
        var sequence = lane.Create();
        lane.Begin(1, sequence);
        lane.Wait();
        var (step, model) = (lane.Step, _other.Model);
        using var timeline = _other.Device.CreateTimeline("not the cache's");
        _other.Dispose();
        cache.Dispose();
        Action[] uses =
        [
            .. Uses(sequence.Sequence, lane.Lane),
            () => cache.RegisterModel("m", CacheRig.Layout),
            () => cache.OpenLane(),
            () => cache.Pump(),
            () => cache.GetStatistics(),
            () => cache.Wait(new TimelinePoint(timeline, 1), CacheRig.Limit),
            () => _ = cache.PoolAddress,
            () => _ = cache.EntriesAddress,
            () => model.CreateSequence(),
            () => lane.Lane.StatusOf(1),
        ];
        foreach (var use in uses)
        {
            Assert.Equal(KvError.Closed, Assert.Throws<KvException>(use).Error);
        }

        Assert.Equal(KvError.Closed, (await Assert.ThrowsAsync<KvException>(() => cache.WaitAsync(new TimelinePoint(timeline, 1)))).Error);
        Assert.Equal((1ul, KvStepStatus.Accepted), (step.Number, step.Status));
    }

    public void Dispose()
    {
        _rig.Dispose();
        _other.Dispose();
    }

    private static KvCacheOptions Options => new() { PoolBytes = Unit, ColdBytes = Unit };

    /// <summary>Every member of a sequence handle that names its sequence.</summary>
    private Action[] Uses(KvSequence sequence, KvLane? on = null)
    {
        var lane = on ?? _lane.Lane;
        return
        [
            () => _ = sequence.TokenCount,
            () => sequence.Truncate(0),
            () => sequence.Commit([]),
            () => sequence.Free(),
            () => sequence.Clean(lane),
            () => sequence.Evict(lane),
            () => sequence.Prefetch(lane),
            () => sequence.Move(lane, 1),
            () => sequence.RestoreOrder(lane),
            () => lane.Begin([new KvStepItem(sequence, 1)]),
        ];
    }

    private void Begin(params KvSequence[] sequences) => _lane.Lane.Begin([.. sequences.Select(sequence => new KvStepItem(sequence, 1))]);

    /// <summary>The call is refused with a typed error, nothing that is counted has changed, and the next step is like any other.</summary>
    private string Rejects(KvError error, Action call, string message = "")
    {
        _rig.Cache.Pump();
        var before = (_rig.Cache.GetStatistics(), _good.Sequence.TokenCount);
        var thrown = Assert.Throws<KvException>(call);
        Assert.Equal(error, thrown.Error);
        Assert.Contains(message, thrown.Message, StringComparison.Ordinal);
        Assert.Equal(before, (_rig.Cache.GetStatistics(), _good.Sequence.TokenCount));
        ExpectANormalStep();
        return thrown.Message;
    }

    private void ExpectANormalStep()
    {
        Assert.Equal(KvStepStatus.Accepted, _lane.Begin(0, _good));
        _lane.ExpectAllRight();
    }
}
