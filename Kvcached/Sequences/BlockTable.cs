using Kvcached.Memory;

namespace Kvcached.Sequences;

/// <summary>
/// What is known of one block's content, wherever it lies. Device bytes and cold slot carry the points of their last writer and of the
/// transfers that touch them; reads by steps are stamped on the sequence (I6).
/// </summary>
internal struct BlockState
{
    /// <summary>Index of a block that is a window.</summary>
    public const int WindowIndex = -1;

    /// <summary>Where the block lies in the pool, if it is on the device.</summary>
    public BlockAddress Device;

    /// <summary>Where its cold copy lies, if there is one. It is of this version: what makes a new one gives the slot back (I7).</summary>
    public BlockAddress Cold;

    /// <summary>Last writer of the device bytes: a step's end, a copy-in, a move.</summary>
    public Point Writer;

    /// <summary>The copy-out that reads the device bytes and writes the cold slot.</summary>
    public Point CopyOut;

    /// <summary>Last copy-in that reads the cold slot.</summary>
    public Point ColdReader;

    /// <summary>The sequence that holds the block, and its place there (the reverse map). Shared blocks will need a list.</summary>
    public int Sequence;
    public int Index;
    public ushort Row;

    /// <summary>Whether it is a window of the sequence: a copy, which is no block of tokens.</summary>
    public readonly bool IsWindow => Index == WindowIndex;

    public readonly bool IsResident => !Device.IsNone;

    /// <summary>Whether a copy of this version is ordered (I7).</summary>
    public readonly bool IsClean => !Cold.IsNone;
}

/// <summary>All blocks' states, by number. Numbers are reused; the table grows and keeps its storage.</summary>
internal sealed class BlockTable
{
    private const int ChunkShift = 10;

    // In chunks, so that to grow copies nothing, and leaves no room for as many blocks again.
    private BlockState[][] _chunks = new BlockState[4][];
    private int _free = -1;
    private int _count;

    public ref BlockState this[int block] => ref _chunks[block >> ChunkShift][block & ((1 << ChunkShift) - 1)];

    public int Create(int sequence, int row, int index)
    {
        int block;
        if (_free >= 0)
        {
            block = _free;
            _free = this[block].Index;
        }
        else
        {
            block = _count++;
            EnsureChunk(block >> ChunkShift);
        }

        this[block] = new BlockState { Sequence = sequence, Row = (ushort)row, Index = index };
        return block;
    }

    public void Delete(int block)
    {
        this[block] = new BlockState { Sequence = -1, Index = _free };
        _free = block;
    }

    private void EnsureChunk(int chunk)
    {
        if (chunk == _chunks.Length)
        {
            Array.Resize(ref _chunks, chunk * 2);
        }

        _chunks[chunk] ??= new BlockState[1 << ChunkShift];
    }
}
