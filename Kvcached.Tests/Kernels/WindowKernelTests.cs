using Kvcached.Kernels;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The suite on the cpu kernels.</summary>
public sealed class CpuWindowKernels() : WindowKernels(new CpuMachine());

/// <summary>The suite on an OpenCL device.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClWindowKernels() : WindowKernels(new OpenClMachine())
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on an OpenCL device, with what GPUs run.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OneLaneOpenClWindowKernels() : WindowKernels(new OpenClMachine(lanes: 1))
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The kernels that copy tokens between blocks and windows, on views made up.</summary>
public abstract class WindowKernels(KernelMachine machine) : IDisposable
{
    private const int Batch = 6;
    private const int MaxTokens = 300;
    private const int TokensPerBlock = 4;
    private const int MaxBlocks = MaxTokens / TokensPerBlock;

    public void Dispose()
    {
        machine.Dispose();
        GC.SuppressFinalize(this);
    }

    [Theory]
    [InlineData(KvAxisOrder.TokenMajor, true, 0UL)]
    [InlineData(KvAxisOrder.TokenMajor, false, 0x7000_0000UL)]
    [InlineData(KvAxisOrder.HeadMajor, true, ulong.MaxValue - 4095)]
    [InlineData(KvAxisOrder.HeadMajor, false, 0UL)]
    public void Tokens_go_where_the_strides_say_and_nothing_else_is_written(KvAxisOrder order, bool isGather, ulong displacement)
    {
        // Vectors of 40 bytes: not all of them begin at a multiple of 16.
        var block = new KvLayout { Layers = 2, Heads = 3, HeadDim = 20, ElementType = KvElementType.Float16, TokensPerBlock = TokensPerBlock, AxisOrder = order }.ToShape();
        var window = WindowShape.Of(block);
        var windowBytes = MaxTokens * (int)window.TokenStride;
        var blocksBytes = Batch * MaxBlocks * (int)block.BlockBytes;
        var random = new Random(1);
        using var pool = machine.Array<byte>(blocksBytes + (Batch * windowBytes));
        random.NextBytes(pool.Span);
        var places = Enumerable.Range(0, Batch * MaxBlocks).ToArray();
        random.Shuffle(places);
        using var entries = machine.Array<uint>([.. places.Select(place => (uint)(place * (int)block.BlockBytes / KvShape.GranuleBytes))]);
        using var views = machine.Array<SequenceView>([View(0, 300, 7), View(1, 40, 40), View(2, 50, 2) with { Flags = ViewFlags.Refused }, View(3, 60, 1), default, View(5, 133, 0)]);
        using var firstTokens = machine.Array<uint>([0, 0, 0, 11, 0, 130]);
        var starts = Enumerable.Range(0, Batch).Select(i => blocksBytes + (i * windowBytes)).ToArray();
        using var windows = machine.Array<ulong>([.. starts.Select((start, i) => i == 1 ? 0 : pool.Address + (ulong)start - displacement)]);
        var expected = pool.Span.ToArray();
        foreach (var i in new[] { 0, 3, 5 })
        {
            var view = views.Span[i];
            var firstNew = (int)(view.TokenCount - view.NewTokens);
            var (first, end) = isGather ? ((int)firstTokens.Span[i], firstNew) : (firstNew, (int)view.TokenCount);
            for (var token = first; token < end; token++)
            {
                Move(expected, block, window, (int)entries.Span[(int)view.RowStart + (token / TokensPerBlock)] * KvShape.GranuleBytes, starts[i], token, isGather);
            }
        }

        var arguments = new WindowArguments
        {
            Views = views.Address,
            Entries = entries.Address,
            Pool = pool.Address,
            Windows = windows.Address,
            FirstTokens = isGather ? firstTokens.Address : 0,
            Displacement = displacement,
            Block = block,
            Window = window,
            Batch = Batch,
        };
        machine.Run(isGather ? KernelNames.GatherWindows : KernelNames.StoreWindows, arguments, workers: 3);
        Assert.Equal(-1, FirstDifference(expected, pool.Span));
    }

    private static SequenceView View(int sequence, uint tokens, uint newTokens) => new()
    {
        RowStart = (uint)(sequence * MaxBlocks),
        TokenCount = tokens,
        NewTokens = newTokens,
        BlockCount = (tokens + TokensPerBlock - 1) / TokensPerBlock,
    };

    private static void Move(byte[] pool, in KvShape block, in KvShape window, int blockStart, int windowStart, int token, bool isGather)
    {
        for (var i = 0; i < block.Layers * block.Planes * block.Heads; i++)
        {
            var (head, plane, layer) = (i % (int)block.Heads, i / (int)block.Heads % (int)block.Planes, i / (int)(block.Heads * block.Planes));
            var inBlock = pool.AsSpan(blockStart + (int)TableLookup.OffsetInBlock(block, token, layer, plane, head), 40);
            var offset = (token * (int)window.TokenStride) + (layer * (int)window.LayerStride) + (plane * (int)window.PlaneStride) + (head * (int)window.HeadStride);
            var inWindow = pool.AsSpan(windowStart + offset, 40);
            (isGather ? inBlock : inWindow).CopyTo(isGather ? inWindow : inBlock);
        }
    }

    private static int FirstDifference(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual)
    {
        var common = expected.CommonPrefixLength(actual);
        return common == expected.Length ? -1 : common;
    }
}
