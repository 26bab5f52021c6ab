namespace Kvcached.Kernels;

/// <summary>The strides of a buffer that holds a whole sequence: what the contiguous kernels take in place of a block's.</summary>
public static class ContiguousShape
{
    /// <summary>Strides of a buffer for so many tokens, with the axes in the order that they have in a block.</summary>
    /// <param name="block">Strides of a block.</param>
    /// <param name="tokens">Tokens that a buffer has room for.</param>
    /// <returns>A shape whose BlockBytes is the size of one buffer and whose TokensPerBlock is that of the block.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A plane of such a buffer has 4 GiB or more.</exception>
    public static KvShape Of(in KvShape block, uint tokens)
    {
        var vectorBytes = (ulong)block.HeadDim * block.ElementBytes;
        var planeBytes = vectorBytes * block.Heads * tokens;
        if (tokens == 0 || planeBytes > uint.MaxValue)
        {
            throw new ArgumentOutOfRangeException(nameof(tokens), tokens, $"A plane of that many tokens has {planeBytes} bytes; it must have 1 to {uint.MaxValue}.");
        }

        var headMajor = block.Heads > 1 && block.HeadStride >= block.TokenStride;
        var shape = block;
        shape.PlaneStride = (uint)planeBytes;
        shape.LayerStride = planeBytes * block.Planes;
        shape.HeadStride = (uint)(headMajor ? vectorBytes * tokens : vectorBytes);
        shape.TokenStride = (uint)(headMajor ? vectorBytes : vectorBytes * block.Heads);
        shape.BlockBytes = ((shape.LayerStride * block.Layers) + KvShape.GranuleBytes - 1) / KvShape.GranuleBytes * KvShape.GranuleBytes;
        return shape;
    }
}
