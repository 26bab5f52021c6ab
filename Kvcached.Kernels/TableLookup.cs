namespace Kvcached.Kernels;

/// <summary>
/// From a token to the byte in the pool that holds its keys or values (table ABI, <c>docs/table-abi.md</c>):
/// <code>
///   entry  = entries[view.RowStart + token / TokensPerBlock]
///   byte   = entry * 256 + layer * LayerStride + plane * PlaneStride + head * HeadStride + (token % TokensPerBlock) * TokenStride
/// </code>
/// The bodies stay in the subset of C# that GPU compilers take (no throw, spans, classes or delegates), so nothing is checked: layer,
/// plane, head and token must lie in the shape and in the view, from <see cref="SequenceView.FirstVisibleBlock"/> on. Thread-safe.
/// </summary>
public static class TableLookup
{
    /// <summary>Index in the entry heap of the entry that covers a token.</summary>
    /// <param name="view">The sequence.</param>
    /// <param name="shape">The layout's strides.</param>
    /// <param name="token">Position in the sequence.</param>
    public static uint EntryIndex(in SequenceView view, in KvShape shape, int token) => view.RowStart + ((uint)token >> (int)shape.TokensPerBlockShift);

    /// <summary>Byte in the pool at which the block of an entry starts.</summary>
    /// <param name="entry">The entry, in granules.</param>
    public static ulong BlockOffset(uint entry) => (ulong)entry * KvShape.GranuleBytes;

    /// <summary>Byte in the pool at which a block of a sequence starts.</summary>
    /// <param name="entries">The entry heap.</param>
    /// <param name="view">The sequence.</param>
    /// <param name="block">Number of the block in the sequence.</param>
    public static ulong BlockOffset<TEntries>(TEntries entries, in SequenceView view, int block)
        where TEntries : struct, IEntryTable =>
        BlockOffset(entries.Read(view.RowStart + (uint)block));

    /// <summary>Bytes from the start of its block to a token's elements.</summary>
    /// <param name="shape">The layout's strides.</param>
    /// <param name="token">Position in the sequence, or in the block.</param>
    /// <param name="layer">Layer in the layout.</param>
    /// <param name="plane">Plane in the layer.</param>
    /// <param name="head">KV head in the plane.</param>
    public static ulong OffsetInBlock(in KvShape shape, int token, int layer, int plane, int head)
    {
        var tokenInBlock = (uint)token & ((1u << (int)shape.TokensPerBlockShift) - 1);
        return ((ulong)(uint)layer * shape.LayerStride)
            + ((ulong)(uint)plane * shape.PlaneStride)
            + ((ulong)(uint)head * shape.HeadStride)
            + ((ulong)tokenInBlock * shape.TokenStride);
    }

    /// <summary>Byte in the pool of element 0 of one head of one token.</summary>
    /// <param name="entries">The entry heap.</param>
    /// <param name="view">The sequence.</param>
    /// <param name="shape">The layout's strides.</param>
    /// <param name="token">Position in the sequence.</param>
    /// <param name="layer">Layer in the layout.</param>
    /// <param name="plane">Plane in the layer: 0 for K, 1 for V.</param>
    /// <param name="head">KV head in the plane.</param>
    public static ulong Offset<TEntries>(TEntries entries, in SequenceView view, in KvShape shape, int token, int layer, int plane, int head)
        where TEntries : struct, IEntryTable =>
        BlockOffset(entries.Read(EntryIndex(view, shape, token))) + OffsetInBlock(shape, token, layer, plane, head);
}
