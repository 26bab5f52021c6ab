using Kvcached.Memory;

namespace Kvcached.Sequences;

/// <summary>
/// The blocks of one sequence for one layout, and the row in the entry heap that tells kernels where they lie. A row grows in place past what
/// any live view covers; what a live view covers is never written (I4).
/// </summary>
internal sealed class SequenceRow(BlockLists lists)
{
    public int Count;
    private int _list;
    private int _listCapacity;

    /// <summary>Blocks from <see cref="FirstVisible"/> on that are not on the device.</summary>
    public int Missing;

    /// <summary>Blocks before this one lie outside the sliding window and need not be on the device.</summary>
    public int FirstVisible;

    public int ResidentBlocks;

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

    /// <summary>The number of the block at an index.</summary>
    public int this[int index] => lists[_list + index];

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
        if (Count == _listCapacity)
        {
            lists.Grow(ref _list, ref _listCapacity);
        }

        lists[_list + Count++] = block;
    }

    public void Reset()
    {
        if (_listCapacity > 0)
        {
            lists.Return(_list, _listCapacity);
        }

        _list = _listCapacity = 0;
        Count = Missing = FirstVisible = ResidentBlocks = CleanCursor = Capacity = Covered = 0;
        Heap = default;
        Start = 0;
        ClearDirty();
    }
}
