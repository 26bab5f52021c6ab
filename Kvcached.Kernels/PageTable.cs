using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>
/// Where the page tables of one layout of a step lie, in the two forms that kernels take which know nothing of views and entries
/// (<c>docs/kernel-authors.md</c>). A page is a block under a number: its offset in the pool in units of <see cref="KvShape.BlockBytes"/>.
/// All are arrays of int32, written before the step's begin point and constant until its end point. B is the batch of the step.
/// <code>
///   block table   BlockTable[B][MaxPages]   SequenceLengths[B]
///   CSR           Indptr[B + 1]             Indices[Indptr[B]]   LastPageLengths[B]
/// </code>
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 8, Size = Bytes)]
public struct PageTable
{
    /// <summary>Size of the struct in bytes.</summary>
    public const int Bytes = 48;

    /// <summary>
    /// Address of the pages of each sequence in the order of its tokens. Before the first block that the step may read stands that block's page;
    /// what stands after the last is undefined.
    /// </summary>
    public ulong BlockTable;

    /// <summary>Address of the tokens of each sequence, the step's own included; 0 where the view is refused.</summary>
    public ulong SequenceLengths;

    /// <summary>Address of where each sequence's pages begin in <see cref="Indices"/>, and where the last one's end.</summary>
    public ulong Indptr;

    /// <summary>Address of the pages that the step may read, sequence after sequence: with a sliding window, none from before it.</summary>
    public ulong Indices;

    /// <summary>Address of the tokens in the last page of each sequence: 1 to the tokens of a block; 0 where the sequence has no pages.</summary>
    public ulong LastPageLengths;

    /// <summary>Pages of a row of <see cref="BlockTable"/>.</summary>
    public uint MaxPages;

    /// <summary>Zero.</summary>
    public uint Reserved;
}
