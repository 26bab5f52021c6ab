using Kvcached.Devices;
using Kvcached.Devices.Sim;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Memory;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>A pool whose device gives memory later, in extents of eight blocks, or never takes any. Units have four blocks.</summary>
public class GrowthTests
{
    private const int Extent = 8;

    [Fact]
    public void A_step_that_wants_memory_is_Busy_until_it_has_come_and_nothing_gives_way_to_it()
    {
        var rig = new EngineRig(poolBlocks: 32, floorBlocks: Extent, extentBlocks: Extent);
        var lane = rig.OpenLane();
        var idle = Fill(rig, lane, blocks: 8);
        var sequence = rig.Create();

        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (sequence, EngineRig.TokensPerBlock)));
        Assert.Equal([(8, 8)], rig.PopulatedBlocks);
        Assert.Equal(8 * EngineRig.BlockBytes, rig.Engine.State.Pool.PresentBytes);

        rig.Arrive(1);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(lane, 2));
        Assert.Equal(16 * EngineRig.BlockBytes, rig.Engine.State.Pool.PresentBytes);
        Assert.True(rig.IsResident(idle, 0));
        Assert.Equal(0, rig.Counters.EvictedBlocks);
    }

    [Fact]
    public void A_step_that_wants_several_extents_asks_for_them_together()
    {
        var rig = new EngineRig(poolBlocks: 32, floorBlocks: Extent, extentBlocks: Extent);
        var lane = rig.OpenLane();
        Fill(rig, lane, blocks: 8);

        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (rig.Create(), 20 * EngineRig.TokensPerBlock)));
        Assert.Equal(24, rig.PopulatedBlocks.Sum(range => range.Count));

        rig.Arrive(rig.PopulatedBlocks.Length - 1);
        Assert.Equal(KvStepStatus.Busy, CacheEngine.StatusOf(lane, 2));
        rig.Arrive(rig.PopulatedBlocks.Length);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(lane, 2));
    }

    [Fact]
    public void Where_memory_is_refused_blocks_are_evicted_and_it_is_asked_for_again_after_a_pause()
    {
        var rig = new EngineRig(poolBlocks: 32, floorBlocks: Extent, extentBlocks: Extent);
        var lane = rig.OpenLane();
        var idle = Fill(rig, lane, blocks: 8);
        rig.Engine.Tick(5000);
        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (rig.Create(), EngineRig.TokensPerBlock)));

        rig.Arrive(1, isRefused: true);
        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(lane, 2));
        Assert.False(rig.IsResident(idle, 0));
        Assert.Equal((1, 1, 8L * EngineRig.BlockBytes), (rig.Engine.State.Pool.Units.Asked, rig.Engine.State.Pool.Units.Refused, rig.Engine.State.Pool.PresentBytes));

        // Still refused: the next one evicts at once, and asks for nothing.
        rig.ObserveAll();
        rig.Engine.Tick(5000);
        rig.Engine.Tick(5000 + PoolMemory.Pause - 1);
        Assert.Equal(KvStepStatus.Accepted, rig.Begin(lane, (rig.Create(), EngineRig.TokensPerBlock)));
        Assert.Single(rig.PopulatedBlocks);

        rig.Engine.Tick(5000 + PoolMemory.Pause);
        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (rig.Create(), EngineRig.TokensPerBlock)));
        Assert.Equal(2, rig.PopulatedBlocks.Length);

        // The pause counts from the last refusal.
        rig.Arrive(2, isRefused: true);
        rig.Engine.Tick(5000 + PoolMemory.Pause + 1);
        rig.Engine.Tick(5000 + (2 * PoolMemory.Pause));
        Assert.True(rig.Engine.State.Pool.Units.IsRefused);
        rig.Engine.Tick(5000 + (2 * PoolMemory.Pause) + 1);
        Assert.False(rig.Engine.State.Pool.Units.IsRefused);
    }

    [Fact]
    public void Trims_that_are_asked_for_again_and_again_take_nothing_of_what_comes_for_a_step()
    {
        var rig = new EngineRig(poolBlocks: 32, floorBlocks: Extent, extentBlocks: Extent);
        var lane = rig.OpenLane();
        Fill(rig, lane, blocks: 8);
        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (rig.Create(), 20 * EngineRig.TokensPerBlock)));
        var asked = rig.PopulatedBlocks.Length;
        Assert.True(asked > 1);
        for (var arrival = 1; arrival <= asked; arrival++)
        {
            Assert.Empty(rig.DiscardedBlocks);
            rig.Engine.Trim();
            rig.Arrive(arrival);
        }

        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(lane, 2));
        Assert.Equal(asked, rig.PopulatedBlocks.Length);
    }

    [Fact]
    public void A_cache_in_its_application_asks_again_for_memory_that_was_refused()
    {
        using var device = new SimDevice(new SimOptions { Returns = _ => MemoryReturn.Later, Kernels = [] }) { RefusesMemory = 1 };
        using var cache = KvCache.OpenEmbedded(device, new KvCacheOptions { PoolBytes = 4 << 20, PoolFloorBytes = 2 << 20, ColdBytes = 0 });
        var lane = cache.OpenLane();
        var model = cache.RegisterModel("m", new KvLayout { Layers = 16, Heads = 8, HeadDim = 128, TokensPerBlock = 32 });
        Assert.Equal(KvStepStatus.Accepted, Run(model.CreateSequence()));
        Assert.Equal(KvStepStatus.NoRoom, Run(model.CreateSequence()));
        device.RefusesMemory = 0;
        Assert.Equal(KvStepStatus.NoRoom, Run(model.CreateSequence()));

        Thread.Sleep((int)PoolMemory.Pause + 100);
        cache.Pump();
        Assert.Equal(KvStepStatus.Accepted, Run(model.CreateSequence()));
        Assert.Equal((1, 1), (cache.GetStatistics().PoolGrowths, cache.GetStatistics().PoolGrowthsRefused));

        // A block is all of a unit.
        KvStepStatus Run(KvSequence sequence)
        {
            var step = lane.Begin([new KvStepItem(sequence, 1)]);
            for (var turn = 0; turn < 4; turn++)
            {
                device.RunUntilIdle();
                cache.Pump();
            }

            step.End.Timeline.Signal(step.End.Value);
            return lane.StatusOf(step.Number);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_trim_or_a_change_of_limits_asks_again_at_once(bool trims)
    {
        var rig = new EngineRig(poolBlocks: 32, floorBlocks: Extent, extentBlocks: Extent);
        var lane = rig.OpenLane();
        Fill(rig, lane, blocks: 8);
        rig.Begin(lane, (rig.Create(), EngineRig.TokensPerBlock));
        rig.Arrive(1, isRefused: true);
        Assert.True(rig.Engine.State.Pool.Units.IsRefused);

        if (trims)
        {
            rig.Engine.Trim();
        }
        else
        {
            rig.Engine.SetLimits(rig.Client.Tenant, rig.Client.Tenant.Limits);
        }

        Assert.False(rig.Engine.State.Pool.Units.IsRefused);
    }

    [Fact]
    public void What_has_come_for_a_step_since_a_trim_was_asked_for_stays()
    {
        var rig = new EngineRig(poolBlocks: 32, floorBlocks: Extent, extentBlocks: Extent);
        var lane = rig.OpenLane();
        var other = rig.OpenLane();
        Fill(rig, lane, blocks: 8);
        Assert.Equal(KvStepStatus.Accepted, rig.Begin(other, (rig.Create(), 0)));
        rig.Engine.Trim();
        Assert.Equal(KvStepStatus.Busy, rig.Begin(lane, (rig.Create(), EngineRig.TokensPerBlock)));

        rig.Arrive(1);

        Assert.True(rig.Engine.State.Pool.PresentBytes == 2 * Extent * EngineRig.BlockBytes);
        Assert.Empty(rig.DiscardedBlocks);
    }

    [Fact]
    public void A_pool_on_a_device_that_keeps_its_memory_is_never_trimmed()
    {
        using var device = new SimDevice(new SimOptions { Returns = _ => MemoryReturn.Never, Kernels = [] });
        using var host = new EngineHost(device, new EngineSizes { PoolBytes = 32 << 10, PoolFloorBytes = 4 << 10, ColdBytes = 0, TableBytes = 4 << 10, UnitBytes = 4 << 10, RowUnitBytes = 512 });

        host.Engine.Trim();
        host.Turn();

        var statistics = host.ReadStatistics();
        Assert.Equal((32 << 10, 32 << 10), (statistics.PoolPresentBytes, statistics.PoolFloorBytes));
        Assert.Equal(0, device.Statistics.CellsChecked);
    }

    /// <summary>A sequence of so many blocks, whose step has ended.</summary>
    private static Sequences.SequenceHandle Fill(EngineRig rig, LaneState lane, int blocks)
    {
        var sequence = rig.Create();
        Assert.Equal(KvStepStatus.Accepted, rig.Begin(lane, (sequence, blocks * EngineRig.TokensPerBlock)));
        rig.ObserveAll();
        return sequence;
    }
}
