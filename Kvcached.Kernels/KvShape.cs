using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>
/// Strides of one layout, all inside one block, in bytes (table ABI, <c>docs/table-abi.md</c>). Blittable, so that it can be passed to
/// a kernel by value.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 8, Size = Bytes)]
public struct KvShape
{
    /// <summary>Size of a shape in bytes.</summary>
    public const int Bytes = 64;

    /// <summary>Bytes of a granule, the unit that entries count in.</summary>
    public const int GranuleBytes = 256;

    /// <summary>Bytes from one block to the next: a multiple of <see cref="GranuleBytes"/>.</summary>
    public ulong BlockBytes;

    /// <summary>Bytes from a layer to the next.</summary>
    public ulong LayerStride;

    /// <summary>Bytes from a plane (K, V, …) to the next.</summary>
    public uint PlaneStride;

    /// <summary>Bytes from a head to the next.</summary>
    public uint HeadStride;

    /// <summary>Bytes from a token to the next.</summary>
    public uint TokenStride;

    /// <summary>Binary logarithm of the tokens in a block.</summary>
    public uint TokensPerBlockShift;

    /// <summary>Layers that a block covers.</summary>
    public uint Layers;

    /// <summary>Planes that a block covers: 2 for K and V, 1 for an MLA latent.</summary>
    public uint Planes;

    /// <summary>KV heads.</summary>
    public uint Heads;

    /// <summary>Elements of one head of one token.</summary>
    public uint HeadDim;

    /// <summary>Bytes of an element.</summary>
    public uint ElementBytes;

    /// <summary>
    /// Where the layout has page tables: binary logarithm of <see cref="BlockBytes"/>, and a block's page number is its offset in the pool shifted
    /// right by it. 0 where it has none.
    /// </summary>
    public uint PageShift;

    /// <summary>Tokens in a block: a power of two.</summary>
    public readonly uint TokensPerBlock => 1u << (int)TokensPerBlockShift;
}
