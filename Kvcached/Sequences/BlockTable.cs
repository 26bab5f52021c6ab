using Kvcached.Memory;

namespace Kvcached.Sequences;

/// <summary>
/// What is known of one block's content, wherever it lies. Device bytes and cold slot carry the points of their last writer and of the
/// transfers that touch them; reads by steps are stamped on the sequence (I6).
/// </summary>
internal struct BlockState
{
    /// <summary>Where the block lies in the pool, if it is on the device.</summary>
    public BlockAddress Device;

    /// <summary>Where its cold copy lies, if there is one.</summary>
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
    public int Row;

    /// <summary>Counts the steps that wrote into the block (I7).</summary>
    public uint Version;

    /// <summary>The version that the cold copy holds.</summary>
    public uint ColdVersion;

    public readonly bool IsResident => !Device.IsNone;

    /// <summary>Whether a copy of this version is ordered (I7).</summary>
    public readonly bool IsClean => !Cold.IsNone && ColdVersion == Version;
}

/// <summary>All blocks' states, by number. Numbers are reused; the table grows and keeps its storage.</summary>
internal sealed class BlockTable
{
    private BlockState[] _blocks = new BlockState[4096];
    private int _free = -1;
    private int _count;

    public ref BlockState this[int block] => ref _blocks[block];

    public int Create(int sequence, int row, int index)
    {
        int block;
        if (_free >= 0)
        {
            block = _free;
            _free = _blocks[block].Index;
        }
        else
        {
            if (_count == _blocks.Length)
            {
                Array.Resize(ref _blocks, _blocks.Length * 2);
            }

            block = _count++;
        }

        _blocks[block] = new BlockState { Sequence = sequence, Row = row, Index = index };
        return block;
    }

    public void Delete(int block)
    {
        _blocks[block] = new BlockState { Sequence = -1, Index = _free };
        _free = block;
    }
}
