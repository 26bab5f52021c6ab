using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>A row of the entry heap, whom it is for, its size in entries, and what must be reached before it may be written.</summary>
internal readonly struct ReservedRow(SequenceRow row, BlockAddress place, int capacity, Frontier frontier)
{
    public readonly SequenceRow Row = row;
    public readonly BlockAddress Place = place;
    public readonly int Capacity = capacity;
    public readonly Frontier Frontier = frontier;
}

/// <summary>Blocks and rows that a plan has taken and not used yet, in the order in which the commit uses them.</summary>
internal sealed class Reservations
{
    private ReservedBlock[] _blocks = new ReservedBlock[1024];

    /// <summary>Frontiers of reserved blocks. The first has no points: most blocks have none, and share it.</summary>
    private Frontier[] _frontiers = new Frontier[256];
    private ReservedRow[] _rows = new ReservedRow[256];
    private int _blockCount;
    private int _frontierCount = 1;
    private int _rowCount;
    private int _nextBlock;
    private int _nextRow;

    public int BlockCount => _blockCount;

    /// <summary>Blocks that have not been used.</summary>
    public int Left => _blockCount - _nextBlock;

    public bool HasBlock => Left > 0;

    public void Clear()
    {
        _blockCount = _rowCount = _nextBlock = _nextRow = 0;
        _frontierCount = 1;
    }

    public void AddBlock(BlockAddress place, in Frontier frontier)
    {
        if (_blockCount == _blocks.Length)
        {
            Array.Resize(ref _blocks, _blockCount * 2);
        }

        _blocks[_blockCount++] = new ReservedBlock(place, frontier.Points.IsEmpty ? 0 : Keep(frontier));
    }

    /// <summary>Puts the blocks from one on in the order of their addresses: the blocks of a row that take them lie in runs then, as far as there are any.</summary>
    public void Sort(int from)
    {
        var blocks = _blocks.AsSpan(from, _blockCount - from);
        for (var i = 1; i < blocks.Length; i++)
        {
            if (blocks[i].CompareTo(blocks[i - 1]) < 0)
            {
                blocks.Sort();
                return;
            }
        }
    }

    public void AddRow(in ReservedRow row)
    {
        if (_rowCount == _rows.Length)
        {
            Array.Resize(ref _rows, _rowCount * 2);
        }

        _rows[_rowCount++] = row;
    }

    /// <summary>Uses the next block. Valid until the next change.</summary>
    public ref readonly Frontier TakeBlock(out BlockAddress place)
    {
        ref readonly var block = ref _blocks[_nextBlock++];
        place = block.Place;
        return ref _frontiers[block.Frontier];
    }

    /// <summary>Whether the next reserved row is for this one.</summary>
    public bool IsRowFor(SequenceRow row) => _nextRow < _rowCount && _rows[_nextRow].Row == row;

    public ref readonly ReservedRow TakeRow() => ref _rows[_nextRow++];

    /// <summary>Gives back what has not been used, each with the frontier that it came with.</summary>
    public void GiveBack(EngineState state)
    {
        for (; _nextBlock < _blockCount; _nextBlock++)
        {
            state.Pool.Free(_blocks[_nextBlock].Place, _frontiers[_blocks[_nextBlock].Frontier]);
        }

        for (; _nextRow < _rowCount; _nextRow++)
        {
            state.Rows.Pool.Free(_rows[_nextRow].Place, _rows[_nextRow].Frontier);
        }
    }

    private int Keep(in Frontier frontier)
    {
        if (_frontierCount == _frontiers.Length)
        {
            Array.Resize(ref _frontiers, _frontierCount * 2);
        }

        _frontiers[_frontierCount] = frontier;
        return _frontierCount++;
    }

    /// <summary>A block, and which of the frontiers is its own.</summary>
    private readonly struct ReservedBlock(BlockAddress place, int frontier) : IComparable<ReservedBlock>
    {
        public readonly BlockAddress Place = place;
        public readonly int Frontier = frontier;

        public int CompareTo(ReservedBlock other) => Place.CompareTo(other.Place);
    }
}
