using Kvcached.Kernels;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The suite on the cpu kernels.</summary>
public sealed class CpuMoveKernels() : MoveKernels(new CpuMachine());

/// <summary>The suite on an OpenCL device.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClMoveKernels() : MoveKernels(new OpenClMachine())
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on an OpenCL device, with what GPUs run.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OneLaneOpenClMoveKernels() : MoveKernels(new OpenClMachine(lanes: 1))
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>Copy, fill, gather and scatter.</summary>
public abstract class MoveKernels(KernelMachine machine) : IDisposable
{
    public void Dispose()
    {
        machine.Dispose();
        GC.SuppressFinalize(this);
    }

    private const int Guard = 64;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(262_144)]
    [InlineData(600_001)]
    public void Copy_copies_the_range_and_no_more(int bytes)
    {
        using var source = machine.Array<byte>(bytes + Guard);
        using var target = machine.Array<byte>(bytes + Guard);
        new Random(1).NextBytes(source.Span);
        target.Span.Fill(0xEE);
        machine.Run(KernelNames.Copy, new CopyArguments { Source = source.Address, Target = target.Address, Bytes = (ulong)bytes }, workers: 3);
        Assert.True(target.Span[..bytes].SequenceEqual(source.Span[..bytes]));
        Assert.True(target.Span[bytes..].IndexOfAnyExcept((byte)0xEE) < 0);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(262_144)]
    [InlineData(600_001)]
    public void Fill_fills_the_range_and_no_more(int bytes)
    {
        using var target = machine.Array<byte>(bytes + Guard);
        target.Span.Fill(0xEE);
        machine.Run(KernelNames.Fill, new FillArguments { Target = target.Address, Bytes = (ulong)bytes, Value = 0x5A }, workers: 3);
        Assert.True(target.Span[..bytes].IndexOfAnyExcept((byte)0x5A) < 0);
        Assert.True(target.Span[bytes..].IndexOfAnyExcept((byte)0xEE) < 0);
    }

    [Fact]
    public void Gather_brings_visible_blocks_in_order_and_scatter_takes_them_back()
    {
        const int blockBytes = 512;
        using var pool = machine.Array<byte>(32 * blockBytes);
        new Random(1).NextBytes(pool.Span);
        using var entries = machine.Array<uint>([99, 62, 0, 10, 4, 30, 20, 6]);
        using var views = machine.Array<SequenceView>(
        [
            new() { RowStart = 1, BlockCount = 4, TokenCount = 60 },
            new() { RowStart = 2, BlockCount = 3, TokenCount = 40, Flags = ViewFlags.Refused },
            new() { RowStart = 5, BlockCount = 0 },
            new() { RowStart = 4, BlockCount = 4, TokenCount = 64, FirstVisibleBlock = 1 },
        ]);
        using var buffers = machine.Array<byte>(4 * 4 * blockBytes);
        buffers.Span.Fill(0xEE);
        using var addresses = machine.Array<ulong>([.. Enumerable.Range(0, 4).Select(i => buffers.Address + (ulong)(i * 4 * blockBytes))]);
        var arguments = new BlockRowsArguments
        {
            Views = views.Address,
            Entries = entries.Address,
            Pool = pool.Address,
            Buffers = addresses.Address,
            BufferMemory = buffers.Address,
            BlockBytes = blockBytes,
            Batch = 4,
        };

        machine.Run(KernelNames.Gather, arguments, workers: 2);

        int?[] expected = [62, 0, 10, 4, null, null, null, null, null, null, null, null, null, 30, 20, 6];
        for (var i = 0; i < expected.Length; i++)
        {
            var gathered = buffers.Span.Slice(i * blockBytes, blockBytes);
            Assert.True(expected[i] is { } granule ? gathered.SequenceEqual(pool.Span.Slice(granule * 256, blockBytes)) : gathered.IndexOfAnyExcept((byte)0xEE) < 0, $"Block {i}.");
        }

        var before = pool.Span.ToArray();
        pool.Span.Fill(0x11);
        machine.Run(KernelNames.Scatter, arguments, workers: 2);
        foreach (var granule in expected.OfType<int>())
        {
            Assert.True(pool.Span.Slice(granule * 256, blockBytes).SequenceEqual(before.AsSpan(granule * 256, blockBytes)));
        }

        Assert.Equal(25 * blockBytes, pool.Span.Count((byte)0x11) - CountIn(before, expected));
    }

    // Bytes of the moved blocks that equal the poison by chance.
    private static int CountIn(byte[] pool, int?[] granules) =>
        granules.OfType<int>().Sum(granule => pool.AsSpan(granule * 256, 512).Count((byte)0x11));
}
