using Kvcached.Devices;
using Kvcached.Devices.Cuda;
using Kvcached.Devices.OpenCl;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Client;

/// <summary>What sequences hold survives eviction, reload and moves, in every layout and from several threads.</summary>
public abstract class ContentConformance(CacheKind kind, Func<IDevice>? open = null)
{
    public static TheoryData<string, KvLayout> Layouts => new()
    {
        { "MLA latent", new KvLayout { Planes = 1, Layers = 4, Heads = 1, HeadDim = 576, TokensPerBlock = 16 } },
        { "MLA latent of 8 bits", new KvLayout { Planes = 1, Layers = 8, Heads = 1, HeadDim = 576, TokensPerBlock = 16, ElementType = KvElementType.Byte } },
        { "8 bits, head-major", new KvLayout { Layers = 3, Heads = 4, HeadDim = 128, TokensPerBlock = 16, ElementType = KvElementType.Byte, AxisOrder = KvAxisOrder.HeadMajor } },
        { "32 bits, blocks of 8 tokens", new KvLayout { Layers = 2, Heads = 2, HeadDim = 128, TokensPerBlock = 8, ElementType = KvElementType.Float32 } },
        { "bfloat16, a block of 1.5 MiB", new KvLayout { Layers = 12, Heads = 4, HeadDim = 512, TokensPerBlock = 16, ElementType = KvElementType.BFloat16 } },
        { "a sliding window", CacheRig.Layout with { WindowTokens = 40 } },
    };

    [Theory]
    [MemberData(nameof(Layouts))]
    public void Every_layout_is_stored_moved_evicted_and_reloaded_intact(string name, KvLayout layout)
    {
        var shape = layout.ToShape();
        var blockTokens = layout.TokensPerBlock;
        // A pool of about three sequences of up to four blocks, and six sequences.
        var units = (int)(((shape.BlockBytes * 12) + (ulong)KvCacheOptions.UnitBytes - 1) / (ulong)KvCacheOptions.UnitBytes);
        using var rig = new CacheRig(layout, kind: kind, open: open, poolUnits: Math.Max(1, units), coldUnits: 6 * Math.Max(1, units));
        var lane = rig.OpenLane();
        var sequences = Enumerable.Range(0, 6).Select(_ => lane.Create()).ToArray();
        for (var turn = 0; turn < 12; turn++)
        {
            for (var i = 0; i < sequences.Length; i++)
            {
                var sequence = sequences[i];
                lane.Begin(turn == 0 ? (2 * blockTokens) + 1 : turn % 3, sequence);
                switch ((turn + i) % 4)
                {
                    case 0:
                        sequence.Sequence.Move(lane.Lane, 2);
                        break;
                    case 1:
                        sequence.Sequence.Evict(lane.Lane);
                        break;
                    case 2:
                        sequence.Sequence.Clean(lane.Lane);
                        break;
                    default:
                        sequence.Sequence.Prefetch(lane.Lane);
                        break;
                }

                if (turn == 6)
                {
                    sequence.Truncate(blockTokens + i);
                }

                lane.Wait();
            }
        }

        lane.ExpectAllRight();
        var statistics = rig.Cache.GetStatistics();
        Assert.True(statistics.ReloadedBlocks > 20 && statistics.MovedBlocks > 5 && statistics.CleanedBlocks > 20, $"{name}: {statistics}");
        Assert.Equal(72, statistics.Steps);
    }

    [Fact]
    public void The_order_of_sequences_is_restored_beside_steps_that_read_them()
    {
        using var rig = new CacheRig(kind: kind, open: open, poolUnits: 2);
        var lane = rig.OpenLane();
        var sequences = Enumerable.Range(0, 3).Select(_ => lane.Create()).ToArray();
        for (var block = 0; block < 8; block++)
        {
            Array.ForEach(sequences, sequence => lane.Begin(16, sequence));
            lane.Wait();
        }

        Assert.Equal(1, rig.Cache.GetStatistics().MeanRunLength);
        for (var turn = 0; turn < 8; turn++)
        {
            Array.ForEach(sequences, sequence =>
            {
                lane.Begin(turn % 2, sequence);
                sequence.Sequence.RestoreOrder(lane.Lane);
            });
            lane.Wait();
        }

        lane.ExpectAllRight();
        var statistics = rig.Cache.GetStatistics();
        Assert.True(statistics is { ReorderedBlocks: >= 21, MeanRunLength: >= 4 }, statistics.ToString());
    }

    [Fact]
    public void Pipelined_steps_over_more_than_the_pool_holds_read_what_was_written()
    {
        using var rig = new CacheRig(kind: kind, open: open);
        var lane = rig.OpenLane(depth: 3);
        var sequences = Enumerable.Range(0, 12).Select(_ => lane.Create()).ToArray();
        var random = new Random(7);
        for (var step = 0; step < 300; step++)
        {
            var at = random.Next(sequences.Length - 1);
            PatternSequence[] batch = [sequences[at], sequences[at + 1]];
            while (lane.Begin(random.Next(1, 9), batch) == KvStepStatus.TooManySteps)
            {
                lane.Wait();
            }

            if (sequences[at].Tokens > 100)
            {
                sequences[at].Sequence.Free();
                sequences[at] = lane.Create();
            }
        }

        lane.ExpectAllRight();
        Assert.True(rig.Cache.GetStatistics().ReloadedBlocks > 50, rig.Cache.GetStatistics().ToString());
    }

    [Fact]
    public async Task Lanes_of_several_threads_begin_truncate_and_free_at_once_and_content_stays_right()
    {
        const int Steps = 200;
        using var rig = new CacheRig(kind: kind, open: open, poolUnits: 2, coldUnits: 16);
        var lanes = Enumerable.Range(0, 3).Select(_ => rig.OpenLane()).ToArray();
        using var start = new Barrier(lanes.Length);
        await Task.WhenAll(lanes.Select(lane => Task.Factory.StartNew(() => Run(lane), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)));
        foreach (var lane in lanes)
        {
            lane.ExpectAllRight();
        }

        rig.Cache.Pump();
        var statistics = rig.Cache.GetStatistics();
        Assert.Equal((0L, 0L, 0L), (statistics.ResidentBlocks, statistics.ColdBlocks, statistics.RefusedSteps));
        Assert.True(statistics.Steps >= lanes.Length * Steps);

        void Run(PatternLane lane)
        {
            start.SignalAndWait(CacheRig.Limit);
            var sequences = Enumerable.Range(0, 6).Select(_ => lane.Create()).ToArray();
            for (var step = 0; step < Steps; step++)
            {
                // Calls come close upon one another while steps wait: most of them meet another thread's.
                for (var i = 0; i < 20; i++)
                {
                    var passing = lane.Create();
                    _ = lane.Begin(1, passing);
                    passing.Sequence.Free();
                }

                var at = step % sequences.Length;
                while (lane.Begin(1 + (step % 30), sequences[at]) == KvStepStatus.TooManySteps)
                {
                    lane.Wait();
                }

                if (sequences[at].Tokens > 90)
                {
                    sequences[at].Sequence.Free();
                    sequences[at] = lane.Create();
                }
                else if (sequences[at].Tokens > 60 && sequences[at].ChangedFrom == uint.MaxValue)
                {
                    sequences[at].Truncate(sequences[at].Tokens - 33);
                }
                else if (step % 5 == 0)
                {
                    sequences[(at + 1) % sequences.Length].Sequence.Evict(lane.Lane);
                }

                _ = rig.Cache.GetStatistics();
            }

            lane.Wait();
            foreach (var sequence in sequences)
            {
                Assert.Equal(sequence.Tokens, sequence.Sequence.TokenCount);
                sequence.Sequence.Free();
            }
        }
    }

    [Fact]
    public async Task With_every_queue_held_closed_steps_evictions_reloads_and_moves_are_accepted_and_right_once_it_opens()
    {
        using var rig = new CacheRig(coldUnits: 4, cleanAhead: false, open: open);
        var lane = rig.OpenLane(depth: 16);
        var sequences = Enumerable.Range(0, 6).Select(_ => lane.Create()).ToArray();
        foreach (var sequence in sequences)
        {
            lane.Begin(6 * 16, sequence);
            lane.Wait();
        }

        rig.Device.Close();
        var before = rig.Cache.GetStatistics();
        // A call that waits for the device would never return; on a thread of its own, so that the test would.
        var gated = Task.Factory.StartNew(
            () =>
            {
                for (var step = 0; step < 9; step++)
                {
                    var sequence = sequences[step % 3];
                    Assert.Equal(KvStepStatus.Accepted, lane.Begin(1, sequence));
                    switch (step)
                    {
                        case 1:
                            sequence.Sequence.Evict(lane.Lane);
                            break;
                        case 2:
                        case 6:
                            sequence.Sequence.Move(lane.Lane, 2);
                            break;
                        case 3:
                            sequences[1].Sequence.Prefetch(lane.Lane);
                            break;
                    }
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        var first = await Task.WhenAny(gated, Task.Delay(CacheRig.Limit));
        var begun = lane.Step.Begin.IsReached;
        rig.Device.Open();
        Assert.True(first == gated, "A call waits for the device while its queues are held closed (I1).");
        Assert.False(begun);
        await gated;

        foreach (var sequence in sequences)
        {
            lane.Begin(1, sequence);
        }

        lane.ExpectAllRight();
        var after = rig.Cache.GetStatistics();
        Assert.True(after.EvictedBlocks - before.EvictedBlocks >= 6 && after.ReloadedBlocks - before.ReloadedBlocks >= 6 && after.MovedBlocks - before.MovedBlocks == 4, after.ToString());
    }
}

public sealed class EmbeddedContentTests() : ContentConformance(CacheKind.Embedded);

public sealed class ServedContentTests() : ContentConformance(CacheKind.Served);

/// <summary>The suite on an OpenCL device.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClContentTests() : ContentConformance(CacheKind.Embedded, () => new OpenClDevice(new OpenClDeviceOptions { Kernels = [PatternKernel.GpuKernel] }))
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on an OpenCL device that has memory of its own, or is taken for one.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OwnMemoryOpenClContentTests() : ContentConformance(CacheKind.Embedded, () => new OpenClDevice(new OpenClDeviceOptions { Kernels = [PatternKernel.GpuKernel], OwnMemory = true }))
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaContentTests() : ContentConformance(CacheKind.Embedded, () => new CudaDevice(new CudaDeviceOptions { Kernels = [PatternKernel.GpuKernel] }))
{
    [CudaFact]
    public void The_suite_is_run()
    {
    }
}
