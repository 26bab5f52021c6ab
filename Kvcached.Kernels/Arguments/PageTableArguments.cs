using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>
/// Arguments of <see cref="KernelNames.PageTable"/>: write the page tables of a step's views. Launched by the cache in the submission that
/// publishes them. A sequence has at most MaxPages blocks.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
public struct PageTableArguments
{
    /// <summary>Address of <see cref="SequenceView"/>[<see cref="Batch"/>].</summary>
    public ulong Views;

    /// <summary>Address of the entry heap, uint[].</summary>
    public ulong Entries;

    /// <summary>What to write.</summary>
    public PageTable Table;

    /// <summary>Sequences.</summary>
    public uint Batch;

    /// <summary>Binary logarithm of the tokens in a block.</summary>
    public uint TokensPerBlockShift;

    /// <summary>Binary logarithm of the granules in a block.</summary>
    public uint GranulesPerBlockShift;

    /// <summary>Zero.</summary>
    public uint Reserved;
}
