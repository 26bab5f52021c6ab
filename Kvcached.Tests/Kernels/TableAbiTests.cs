using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Kernels;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The table ABI: byte layouts, and the lookup helpers against the golden vectors that every binding must meet.</summary>
public class TableAbiTests
{
    /// <summary>Vectors of the file.</summary>
    internal static int GoldenVectorCount => GoldenVector.Read().Count;

    [Fact]
    public void A_view_is_laid_out_as_the_diagram_says()
    {
        Assert.Equal(32, Unsafe.SizeOf<SequenceView>());
        Assert.Equal(
            [0, 4, 8, 12, 16, 20, 24, 28],
            Offsets<SequenceView>("RowStart", "BlockCount", "TokenCount", "NewTokens", "FirstVisibleBlock", "Flags", "SequenceId", "Reserved"));
    }

    [Fact]
    public void A_shape_is_laid_out_as_the_diagram_says()
    {
        Assert.Equal(64, Unsafe.SizeOf<KvShape>());
        Assert.Equal(
            [0, 8, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52],
            Offsets<KvShape>(
                "BlockBytes", "LayerStride", "PlaneStride", "HeadStride", "TokenStride", "TokensPerBlockShift",
                "Layers", "Planes", "Heads", "HeadDim", "ElementBytes", "PageShift"));
    }

    [Fact]
    public void Addresses_of_page_tables_are_laid_out_as_the_diagram_says()
    {
        Assert.Equal(48, Unsafe.SizeOf<PageTable>());
        Assert.Equal([0, 8, 16, 24, 32, 40, 44], Offsets<PageTable>("BlockTable", "SequenceLengths", "Indptr", "Indices", "LastPageLengths", "MaxPages", "Reserved"));
    }

    [Fact]
    public void Argument_structs_have_no_gaps()
    {
        Assert.Equal(2 * 8 + PageTable.Bytes + 4 * 4, Unsafe.SizeOf<PageTableArguments>());
        Assert.Equal(4 * 8 + KvShape.Bytes + 4 * 4, Unsafe.SizeOf<KvBatch>());
        Assert.Equal(Unsafe.SizeOf<KvBatch>() + 3 * 8, Unsafe.SizeOf<KvWriteArguments>());
        Assert.Equal(Unsafe.SizeOf<KvBatch>() + 4 * 8 + 4 * 4, Unsafe.SizeOf<AttentionArguments>());
        Assert.Equal(6 * 8 + 2 * 4, Unsafe.SizeOf<BlockRowsArguments>());
        Assert.Equal(2 * 8 + 2 * 4, Unsafe.SizeOf<TableUpdateArguments>());
        Assert.Equal(3 * 8, Unsafe.SizeOf<CopyArguments>());
        Assert.Equal(3 * 8, Unsafe.SizeOf<FillArguments>());
    }

    [Fact]
    public void The_helpers_meet_the_golden_vectors()
    {
        var vectors = GoldenVector.Read();
        Assert.True(vectors.Count >= 100, $"There are only {vectors.Count} golden vectors.");
        Assert.Contains(vectors, vector => vector.Offset > uint.MaxValue);
        foreach (var vector in vectors)
        {
            var view = vector.View;
            var shape = vector.Shape;
            var table = new OneEntry(vector.EntryIndex, vector.Entry);
            var block = vector.Token >> (int)shape.TokensPerBlockShift;
            Assert.Equal(vector.EntryIndex, TableLookup.EntryIndex(view, shape, vector.Token));
            Assert.Equal(vector.Offset, TableLookup.Offset(table, view, shape, vector.Token, vector.Layer, vector.Plane, vector.Head));
            Assert.Equal(vector.Offset - TableLookup.OffsetInBlock(shape, vector.Token, vector.Layer, vector.Plane, vector.Head), TableLookup.BlockOffset(table, view, block));
        }
    }

    [Fact]
    public void Strides_of_layouts_are_those_of_the_golden_vectors()
    {
        // The first vectors are of these two layouts: the vectors and KvLayout agree on what NHD and HND mean.
        var layout = new KvLayout { Layers = 4, Heads = 2, HeadDim = 64, TokensPerBlock = 16 };
        var shapes = GoldenVector.Read().Select(vector => (vector.Shape.LayerStride, vector.Shape.PlaneStride, vector.Shape.HeadStride, vector.Shape.TokenStride)).ToHashSet();
        foreach (var order in new[] { KvAxisOrder.TokenMajor, KvAxisOrder.HeadMajor })
        {
            var shape = (layout with { AxisOrder = order }).ToShape();
            Assert.Contains((shape.LayerStride, shape.PlaneStride, shape.HeadStride, shape.TokenStride), shapes);
        }
    }

    private static int[] Offsets<T>(params string[] fields) => [.. fields.Select(field => (int)Marshal.OffsetOf<T>(field))];

    /// <summary>A table that knows one entry: any other index gives a block that no vector names.</summary>
    private readonly struct OneEntry(uint index, uint entry) : IEntryTable
    {
        public uint Read(uint at) => at == index ? entry : 0xDEADBEEF;
    }

    /// <summary>A line of <c>golden-vectors.txt</c>; its head names the columns.</summary>
    internal sealed record GoldenVector(SequenceView View, KvShape Shape, int Token, int Layer, int Plane, int Head, uint EntryIndex, uint Entry, ulong Offset)
    {
        internal static List<GoldenVector> Read() =>
        [
            .. File.ReadLines(Path.Combine(AppContext.BaseDirectory, "golden-vectors.txt"))
                .Where(line => line.Length > 0 && line[0] != '#')
                .Select(line => Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries))),
        ];

        private static GoldenVector Parse(string[] columns)
        {
            Assert.Equal(13, columns.Length);
            var values = Array.ConvertAll(columns, column => ulong.Parse(column, CultureInfo.InvariantCulture));
            var shape = new KvShape
            {
                TokensPerBlockShift = (uint)values[0],
                LayerStride = values[1],
                PlaneStride = (uint)values[2],
                HeadStride = (uint)values[3],
                TokenStride = (uint)values[4],
            };
            return new(new SequenceView { RowStart = (uint)values[5] }, shape, (int)values[6], (int)values[7], (int)values[8], (int)values[9], (uint)values[10], (uint)values[11], values[12]);
        }
    }
}
