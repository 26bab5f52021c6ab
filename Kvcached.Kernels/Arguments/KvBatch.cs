using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>
/// The sequences of a step and where one layer of their KV lies: what write, decode and prefill have in common. Addresses are those of
/// <c>DeviceMemory.Address</c>, read at execution time. Views that are refused or have no blocks are passed over, and what belongs to
/// them is left untouched.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
public struct KvBatch
{
    /// <summary>Address of <see cref="SequenceView"/>[<see cref="Batch"/>].</summary>
    public ulong Views;

    /// <summary>Paged kernels: address of the entry heap, uint[].</summary>
    public ulong Entries;

    /// <summary>
    /// Paged kernels: address of byte 0 of the pool. Contiguous kernels: address of the memory in which all of <see cref="Buffers"/> point, which devices
    /// without addresses of their own must know; the cpu device does not read it.
    /// </summary>
    public ulong Pool;

    /// <summary>
    /// Contiguous kernels: address of ulong[<see cref="Batch"/>], the address of each sequence's own buffer, in which a token lies at
    /// layer * LayerStride + plane * PlaneStride + head * HeadStride + token * TokenStride.
    /// </summary>
    public ulong Buffers;

    /// <summary>Strides. Contiguous kernels use TokensPerBlockShift for <see cref="SequenceView.FirstVisibleBlock"/> only.</summary>
    public KvShape Shape;

    /// <summary>Sequences.</summary>
    public uint Batch;

    /// <summary>Layer in the layout.</summary>
    public uint Layer;

    /// <summary>How elements are stored; agrees with the shape's ElementBytes.</summary>
    public ElementFormat Format;

    /// <summary>Zero.</summary>
    public uint Reserved;

    /// <summary>Checks what can be checked on the host before a launch; the kernels themselves assume it.</summary>
    /// <exception cref="ArgumentException">A value lies outside its limits; the message names both.</exception>
    public readonly void Validate()
    {
        if (Shape.Planes < 2 || Layer >= Shape.Layers)
        {
            throw new ArgumentException($"Layer {Layer} with K and V does not lie in the {Shape.Layers} layers and {Shape.Planes} planes of the shape.");
        }

        var elementBytes = Format switch
        {
            ElementFormat.Float16 or ElementFormat.BFloat16 => 2u,
            ElementFormat.Float32 => 4u,
            _ => 0u,
        };
        if (elementBytes == 0 || elementBytes != Shape.ElementBytes)
        {
            throw new ArgumentException($"Format {Format} does not have the {Shape.ElementBytes} bytes of the shape's elements.");
        }
    }
}
