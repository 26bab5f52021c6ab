using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>
/// Arguments of <see cref="KernelNames.Gather"/> and <see cref="KernelNames.Scatter"/>: copy the visible blocks of every sequence out of the pool into a
/// buffer, or back. Block i of a sequence lies at i * BlockBytes in its buffer.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
public struct BlockRowsArguments
{
    /// <summary>Address of <see cref="SequenceView"/>[<see cref="Batch"/>].</summary>
    public ulong Views;

    /// <summary>Address of the entry heap, uint[].</summary>
    public ulong Entries;

    /// <summary>Address of byte 0 of the pool.</summary>
    public ulong Pool;

    /// <summary>Address of ulong[<see cref="Batch"/>]: the address of each sequence's buffer.</summary>
    public ulong Buffers;

    /// <summary>Address of the memory in which all of the buffers lie: devices without addresses of their own must know which.</summary>
    public ulong BufferMemory;

    /// <summary>Bytes of a block: <see cref="KvShape.BlockBytes"/>.</summary>
    public ulong BlockBytes;

    /// <summary>Sequences.</summary>
    public uint Batch;

    /// <summary>Zero.</summary>
    public uint Reserved;
}
