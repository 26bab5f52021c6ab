using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>
/// Arguments of <see cref="KernelNames.GatherWindows"/> and <see cref="KernelNames.StoreWindows"/>: copy tokens of every sequence that
/// has a window, from its blocks to the window or back. Both are launched by the cache, or by what it appends to a command list.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
public struct WindowArguments
{
    /// <summary>Address of <see cref="SequenceView"/>[<see cref="Batch"/>].</summary>
    public ulong Views;

    /// <summary>Address of the entry heap, uint[].</summary>
    public ulong Entries;

    /// <summary>Address of byte 0 of the pool.</summary>
    public ulong Pool;

    /// <summary>Address of ulong[<see cref="Batch"/>]: the address of each sequence's window; 0 for none.</summary>
    public ulong Windows;

    /// <summary>Gather: address of uint[<see cref="Batch"/>], the first token of each sequence to copy; those after it up to the step's new ones follow. Store copies the new ones.</summary>
    public ulong FirstTokens;

    /// <summary>What to add to the addresses in <see cref="Windows"/>, modulo 2^64, to have them where this kernel runs: 0, but where they are another process's.</summary>
    public ulong Displacement;

    /// <summary>Strides of a block.</summary>
    public KvShape Block;

    /// <summary>Strides of a window.</summary>
    public KvShape Window;

    /// <summary>Sequences.</summary>
    public uint Batch;

    /// <summary>Zero.</summary>
    public uint Reserved;
}
