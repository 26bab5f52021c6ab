using Kvcached.Kernels;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The suite on the cpu kernels.</summary>
public sealed class CpuPageTableKernels() : PageTableKernels(new CpuMachine());

/// <summary>The suite on an OpenCL device.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClPageTableKernels() : PageTableKernels(new OpenClMachine())
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on an OpenCL device, with what GPUs run.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OneLaneOpenClPageTableKernels() : PageTableKernels(new OpenClMachine(lanes: 1))
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The kernel that writes page tables, on views made up.</summary>
public abstract class PageTableKernels(KernelMachine machine) : IDisposable
{
    public void Dispose()
    {
        machine.Dispose();
        GC.SuppressFinalize(this);
    }

    private const int MaxPages = 12;
    private const int Untouched = -7;
    private const int TokensPerBlock = 4;

    [Theory]
    [InlineData(1)]
    [InlineData(64)]
    [InlineData(65)]
    [InlineData(200)]
    public void Both_forms_list_the_pages_of_every_view(int batch)
    {
        var random = new Random(batch);
        using var entries = machine.Array<uint>(batch * 16);
        foreach (ref var entry in entries.Span)
        {
            // Pages of 16 granules.
            entry = (uint)random.Next(1 << 20) << 4;
        }

        using var views = machine.Array<SequenceView>([.. Enumerable.Range(0, batch).Select(i => Draw(random, i * 16))]);
        using var table = new Tables(machine, batch);
        machine.Run(
            KernelNames.PageTable,
            new PageTableArguments { Views = views.Address, Entries = entries.Address, Table = table.Table, Batch = (uint)batch, TokensPerBlockShift = 2, GranulesPerBlockShift = 4 },
            workers: 3);

        var indices = new List<int>();
        for (var i = 0; i < batch; i++)
        {
            var view = views.Span[i];
            var isEmpty = view.Flags != 0 || view.BlockCount == 0;
            var row = Enumerable.Repeat(Untouched, MaxPages).ToArray();
            Assert.Equal(indices.Count, table.Indptr.Span[i]);
            for (var block = (int)view.FirstVisibleBlock; !isEmpty && block < view.BlockCount; block++)
            {
                row[block] = (int)(entries.Span[(int)view.RowStart + block] / 16);
                indices.Add(row[block]);
            }

            if (!isEmpty)
            {
                Array.Fill(row, row[view.FirstVisibleBlock], 0, (int)view.FirstVisibleBlock);
            }

            Assert.Equal(row, table.BlockTable.Span.Slice(i * MaxPages, MaxPages).ToArray());
            Assert.Equal(isEmpty ? 0 : (int)view.TokenCount, table.SequenceLengths.Span[i]);
            Assert.Equal(isEmpty ? 0 : (int)(view.TokenCount - ((view.BlockCount - 1) * TokensPerBlock)), table.LastPageLengths.Span[i]);
        }

        Assert.Equal(indices.Count, table.Indptr.Span[batch]);
        Assert.Equal(indices, table.Indices.Span[..indices.Count].ToArray());
        Assert.Equal(-1, table.Indices.Span[indices.Count..].IndexOfAnyExcept(Untouched));
        Assert.All([table.SequenceLengths.Span[batch], table.LastPageLengths.Span[batch], table.Indptr.Span[batch + 1]], value => Assert.Equal(Untouched, value));
    }

    private static SequenceView Draw(Random random, int rowStart)
    {
        var tokens = random.Next((MaxPages * TokensPerBlock) + 1);
        var view = new SequenceView { RowStart = (uint)rowStart, TokenCount = (uint)tokens, BlockCount = (uint)((tokens + TokensPerBlock - 1) / TokensPerBlock) };
        view.FirstVisibleBlock = view.BlockCount > 0 && random.Next(2) == 0 ? (uint)random.Next((int)view.BlockCount) : 0;
        return random.Next(5) == 0 ? new SequenceView { Flags = ViewFlags.Refused } : view;
    }

    /// <summary>Arrays with room for one more, all of them untouched.</summary>
    private sealed class Tables : IDisposable
    {
        public Tables(KernelMachine machine, int batch)
        {
            (BlockTable, Indices) = (machine.Array<int>(batch * MaxPages), machine.Array<int>((batch * MaxPages) + 1));
            (SequenceLengths, LastPageLengths, Indptr) = (machine.Array<int>(batch + 1), machine.Array<int>(batch + 1), machine.Array<int>(batch + 2));
            foreach (var array in All)
            {
                array.Span.Fill(Untouched);
            }
        }

        public NativeArray<int> BlockTable { get; }

        public NativeArray<int> Indices { get; }

        public NativeArray<int> SequenceLengths { get; }

        public NativeArray<int> LastPageLengths { get; }

        public NativeArray<int> Indptr { get; }

        public PageTable Table => new()
        {
            BlockTable = BlockTable.Address,
            Indices = Indices.Address,
            SequenceLengths = SequenceLengths.Address,
            LastPageLengths = LastPageLengths.Address,
            Indptr = Indptr.Address,
            MaxPages = MaxPages,
        };

        private NativeArray<int>[] All => [BlockTable, Indices, SequenceLengths, LastPageLengths, Indptr];

        public void Dispose() => Array.ForEach(All, array => array.Dispose());
    }
}
