using Kvcached.Memory;

namespace Kvcached.Sequences;

/// <summary>
/// The blocks of one sequence for one layout, and the row in the entry heap that tells kernels where they lie. A row grows in place past what
/// any live view covers; what a live view covers is never written (I4).
/// </summary>
internal sealed class SequenceRow(BlockLists lists)
{
    private BlockList _blocks;

    /// <summary>Blocks that there are.</summary>
    public int Count { get; private set; }

    /// <summary>The number of the last block, if there is one: a step that appends looks for no other.</summary>
    public int Last { get; private set; }

    /// <summary>Blocks from <see cref="FirstVisible"/> on that are not on the device.</summary>
    public int Missing;

    /// <summary>Blocks before this one lie outside the sliding window and need not be on the device.</summary>
    public int FirstVisible;

    public int ResidentBlocks;

    /// <summary>Runs that the blocks on the device lie in.</summary>
    public int Runs;

    /// <summary>Blocks before this index are full and have been cleaned, or were not worth it: where cleaning ahead goes on.</summary>
    public int CleanCursor;

    /// <summary>The row in the entry heap, if there is one: its place, its size and its first entry.</summary>
    public BlockAddress Heap;
    public int Capacity;
    public uint Start;

    /// <summary>Entries that views of live steps cover.</summary>
    public int Covered;

    /// <summary>Entries from <see cref="DirtyLow"/> up to <see cref="DirtyHigh"/> need writing.</summary>
    public int DirtyLow = int.MaxValue;
    public int DirtyHigh;

    /// <summary>The contiguous window, once one has been opened.</summary>
    public SequenceWindow? Window;

    /// <summary>The number of the block at an index.</summary>
    public int this[int index] => lists.At(in _blocks, index);

    public void MarkDirty(int index)
    {
        DirtyLow = Math.Min(DirtyLow, index);
        DirtyHigh = Math.Max(DirtyHigh, index + 1);
    }

    public void ClearDirty()
    {
        DirtyLow = int.MaxValue;
        DirtyHigh = 0;
    }

    public void Append(int block)
    {
        lists.EnsurePlace(ref _blocks, Count + 1);
        lists.At(in _blocks, Count++) = block;
        Last = block;
    }

    /// <summary>Takes the last block away, and returns its number.</summary>
    public int RemoveLast()
    {
        var block = Last;
        Last = --Count > 0 ? this[Count - 1] : 0;
        return block;
    }

    public void Reset()
    {
        lists.Return(ref _blocks);
        Count = Missing = FirstVisible = ResidentBlocks = Runs = CleanCursor = Capacity = Covered = 0;
        Heap = default;
        Start = 0;
        Window = null;
        ClearDirty();
    }
}
