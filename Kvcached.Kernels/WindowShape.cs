namespace Kvcached.Kernels;

/// <summary>
/// The strides of a contiguous window: [token][layer][plane][head][dim], so that a window grows and shrinks at its end and its strides never
/// change. What contiguous kernels take in place of a block's.
/// </summary>
public static class WindowShape
{
    /// <summary>Strides of a layout's windows, whatever the order of axes in its blocks.</summary>
    /// <param name="block">Strides of a block.</param>
    /// <returns>A shape whose TokensPerBlock is that of the block.</returns>
    public static KvShape Of(in KvShape block)
    {
        var shape = block;
        shape.HeadStride = block.HeadDim * block.ElementBytes;
        shape.PlaneStride = shape.HeadStride * block.Heads;
        shape.LayerStride = (ulong)shape.PlaneStride * block.Planes;
        shape.TokenStride = (uint)shape.LayerStride * block.Layers;
        shape.BlockBytes = (ulong)shape.TokenStride << (int)block.TokensPerBlockShift;
        shape.PageShift = 0;
        return shape;
    }
}
