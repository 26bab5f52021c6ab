using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Kernels;
using Kvcached.Tests.Client;
using Xunit;

namespace Kvcached.Tests.Paged;

/// <summary>Page tables of steps: kernels that know nothing of views and entries compute what ours do.</summary>
public sealed class PageTableTests
{
    private const int Batches = 100;
    private const int MostBatches = 3 * Batches;

    /// <summary>
    /// Layout, blocks of the pool, layers that are used, and blocks to be compacted at least: some where the pool has several segments. Blocks have 192
    /// KiB in 256, 12 in 16, 48 in 64, 4 in 4 and 4.5 in 8.
    /// </summary>
    public static TheoryData<string, KvLayout, int, int[], int> Layouts => new()
    {
        { "NHD, 24 layers", new KvLayout { PageTable = true, Layers = 24, Heads = 2, HeadDim = 64 }, 48, [0, 11, 23], 0 },
        { "HND, bfloat16, 8 tokens", new KvLayout { PageTable = true, Layers = 4, Heads = 3, HeadDim = 32, TokensPerBlock = 8, ElementType = KvElementType.BFloat16, AxisOrder = KvAxisOrder.HeadMajor }, 128, [0, 3], 0 },
        { "NHD, float32, 32 tokens, one head", new KvLayout { PageTable = true, Layers = 4, Heads = 1, HeadDim = 48, TokensPerBlock = 32, ElementType = KvElementType.Float32 }, 32, [1, 2], 0 },
        { "HND, a sliding window", new KvLayout { PageTable = true, Layers = 4, Heads = 2, HeadDim = 32, TokensPerBlock = 4, WindowTokens = 50, AxisOrder = KvAxisOrder.HeadMajor }, 512, [0, 3], 0 },
        { "NHD, blocks of one token", new KvLayout { PageTable = true, Layers = 9, Heads = 2, HeadDim = 64, TokensPerBlock = 1, ElementType = KvElementType.BFloat16 }, 768, [0, 8], 20 },
    };

    [Theory]
    [MemberData(nameof(Layouts))]
    public void Kernels_of_both_forms_equal_ours_on_random_batches_while_blocks_move(string name, KvLayout layout, int poolBlocks, int[] layers, int compacted)
    {
        using var rig = new PagedRig(layout, poolBlocks, seed: 1, layers);
        // How much moves hangs on what the host has observed by then: on a busy machine it takes more batches.
        for (var batch = 0; batch < Batches || (batch < MostBatches && !HasMovedEnough(rig, compacted)); batch++)
        {
            rig.RunBatch(batch);
        }

        Assert.True(HasMovedEnough(rig, compacted), $"{name}: {rig.MovedUnderKernels} pages moved under kernels; {rig.Statistics}");
    }

    private static bool HasMovedEnough(PagedRig rig, int compacted) =>
        rig.MovedUnderKernels > 15 && rig.Statistics is { EvictedBlocks: > 20, ReloadedBlocks: > 20 } statistics && statistics.CompactedBlocks >= compacted;

    [Fact]
    public void A_step_that_would_have_more_pages_than_a_table_holds_is_not_begun()
    {
        using var open = new OpenCache(maxPages: 3);
        var (full, other) = (open.Model.CreateSequence(), open.Model.CreateSequence());
        open.Run(full, newTokens: 3 * 16);
        var before = open.Cache.GetStatistics();
        var error = Assert.Throws<KvException>(() => open.Lane.Begin([new KvStepItem(other, 1), new KvStepItem(full, 1)]));
        Assert.Equal(KvError.InvalidArgument, error.Error);
        Assert.Contains("would have 4 pages; a page table of the lane holds 3", error.Message, StringComparison.Ordinal);
        Assert.Equal((before, 48, 0), (open.Cache.GetStatistics(), full.TokenCount, other.TokenCount));
        Assert.Equal(2ul, open.Run(full, newTokens: 0).Number);
    }

    [Fact]
    public unsafe void A_refused_sequence_has_no_pages_and_the_others_of_its_batch_do()
    {
        using var open = new OpenCache(maxPages: 1 << 16);
        var (refused, other) = (open.Model.CreateSequence(), open.Model.CreateSequence());
        var step = open.Run(refused, newTokens: 16 << 15);
        Assert.Equal(KvStepStatus.NeverFits, step.Status);
        Assert.Equal((0, 0, 0, 0), Lengths(step.PageTable(), 0));
        step = open.Run([new KvStepItem(refused, 1), new KvStepItem(other, 17), new KvStepItem(open.Model.CreateSequence(), 0)]);
        Assert.Equal(KvStepStatus.Accepted, step.Status);
        Assert.Equal((0, 0, 0, 0), Lengths(step.PageTable(), 0));
        Assert.Equal((17, 0, 2, 1), Lengths(step.PageTable(), 1));
        Assert.Equal((0, 2, 2, 0), Lengths(step.PageTable(), 2));

        static (int Tokens, int First, int End, int Last) Lengths(PageTable table, int i) =>
            (((int*)table.SequenceLengths)[i], ((int*)table.Indptr)[i], ((int*)table.Indptr)[i + 1], ((int*)table.LastPageLengths)[i]);
    }

    [Fact]
    public void Steps_of_a_lane_opened_without_page_tables_have_none()
    {
        using var open = new OpenCache(maxPages: 0);
        var step = open.Run(open.Model.CreateSequence(), newTokens: 100);
        Assert.Equal(KvStepStatus.Accepted, step.Status);
        Assert.Contains("MaxPages 0", Assert.Throws<KvException>(() => step.PageTable()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Steps_of_a_layout_without_page_tables_and_steps_long_gone_have_none()
    {
        using var open = new OpenCache(maxPages: 4);
        var first = open.Run(open.Model.CreateSequence(), newTokens: 1);
        Assert.Contains("layout is 1; it must be 0 to 0", Assert.Throws<KvException>(() => first.PageTable(1)).Message, StringComparison.Ordinal);
        var plain = open.Cache.RegisterModel("plain", new KvLayout { Layers = 3, Heads = 4, HeadDim = 64 });
        var step = open.Run(plain.CreateSequence(), newTokens: 1);
        Assert.Contains("Layout 0 has no page tables", Assert.Throws<KvException>(() => step.PageTable()).Message, StringComparison.Ordinal);
        Assert.Contains("Step 1 is not one of the lane's last 1", Assert.Throws<KvException>(() => first.PageTable()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_lane_with_page_tables_costs_what_they_take_and_is_not_opened_where_no_kernel_writes_them()
    {
        using var open = new OpenCache(maxPages: 0);
        var before = open.Cache.GetStatistics().DeviceBytes;
        var options = new KvLaneOptions { Depth = 2, MaxBatch = 64, MaxLayouts = 3, MaxPages = 32 };
        open.Cache.OpenLane(options with { MaxPages = 0 });
        var without = open.Cache.GetStatistics().DeviceBytes - before;
        open.Cache.OpenLane(options);
        // Two arrays of 64 x 32 pages, and three of 65 lengths in 512 bytes each, for each slot and layout.
        Assert.Equal(without + (2 * 3 * ((2 * 64 * 32 * sizeof(int)) + (3 * 512))), open.Cache.GetStatistics().DeviceBytes - before - without);

        using var device = new IdleDevice();
        using var cache = KvCache.OpenEmbedded(device, new KvCacheOptions { PoolBytes = 2 << 20, ColdBytes = 0 });
        var statistics = cache.GetStatistics();
        Assert.Throws<KernelNotFoundException>(() => cache.OpenLane(options));
        Assert.Equal(statistics, cache.GetStatistics());
        cache.OpenLane(options with { MaxPages = 0 });
    }

    [Theory]
    [InlineData(1, 1, 64, 512)]
    [InlineData(3, 2, 64, 32768)]
    [InlineData(4, 2, 64, 32768)]
    [InlineData(40, 8, 128, 4 << 20)]
    public void Blocks_with_page_tables_have_a_power_of_two_of_bytes(int layers, int heads, int dim, int blockBytes)
    {
        var layout = new KvLayout { Layers = layers, Heads = heads, HeadDim = dim, TokensPerBlock = layers == 1 ? 1 : 16 };
        var (plain, paged) = (layout.ToShape(), (layout with { PageTable = true }).ToShape());
        Assert.Equal(((ulong)blockBytes, (uint)int.Log2(blockBytes), 0u), (paged.BlockBytes, paged.PageShift, plain.PageShift));
        Assert.Equal(plain, paged with { BlockBytes = plain.BlockBytes, PageShift = 0 });
    }

    /// <summary>A cache with a model of blocks of 48 in 64 KiB and 16 tokens, and a lane whose steps have no kernels.</summary>
    private sealed class OpenCache : IDisposable
    {
        private readonly CpuDevice _device = new();
        private readonly DeviceQueue _queue;

        public OpenCache(int maxPages)
        {
            Cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = 2 << 20, ColdBytes = 2 << 20 });
            Model = Cache.RegisterModel("paged", new KvLayout { PageTable = true, Layers = 3, Heads = 4, HeadDim = 64 });
            Lane = Cache.OpenLane(new KvLaneOptions { Depth = 1, MaxBatch = 3, MaxLayouts = 1, MaxPages = maxPages });
            _queue = _device.CreateQueue("nothing");
        }

        public KvCache Cache { get; }

        public KvModel Model { get; }

        public KvLane Lane { get; }

        public KvStep Run(KvSequence sequence, int newTokens) => Run([new KvStepItem(sequence, newTokens)]);

        /// <summary>Begins a step and waits for its end.</summary>
        public KvStep Run(params ReadOnlySpan<KvStepItem> batch)
        {
            var step = Lane.Begin(batch);
            _queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], new CommandList(), step.End);
            Assert.True(Cache.Wait(step.End, CacheRig.Limit));
            return step;
        }

        public void Dispose()
        {
            _queue.Dispose();
            Cache.Dispose();
            _device.Dispose();
        }
    }
}
