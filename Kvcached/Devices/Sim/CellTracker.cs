using System.Buffers;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace Kvcached.Devices.Sim;

/// <summary>An earlier access that the one at hand conflicts with and is not ordered after.</summary>
internal readonly record struct Conflict(uint Epoch, bool WasWrite, int Cell);

/// <summary>
/// Who last wrote each cell of a memory, and who has read it since. A reader that is ordered before a later one is forgotten, since
/// whatever is ordered after the later one is ordered after both: most cells have one reader, kept in place; those with more keep a
/// list in <see cref="ReaderLists"/>.
/// </summary>
internal sealed class CellTracker
{
    private const uint ListFlag = 1u << 31;

    private readonly ReaderLists _lists;
    private readonly int _shift;
    private readonly int _cells;

    /// <summary>Epoch of the last write; 0 for none.</summary>
    private uint[] _writers;

    /// <summary>Epoch of the one reader since; 0 for none; with the flag, the number of the first of a list.</summary>
    private uint[] _readers;

    public CellTracker(ReaderLists lists, long bytes, int cellBytes)
    {
        _lists = lists;
        _shift = BitOperations.Log2((uint)cellBytes);
        _cells = (int)((bytes + cellBytes - 1) >> _shift);
        _writers = ArrayPool<uint>.Shared.Rent(_cells);
        _readers = ArrayPool<uint>.Shared.Rent(_cells);
        _writers.AsSpan(0, _cells).Clear();
        _readers.AsSpan(0, _cells).Clear();
    }

    public int CellBytes => 1 << _shift;

    /// <summary>Notes a read. Returns the number of cells, negative if <paramref name="conflict"/> was found.</summary>
    public int Read(ref readonly VectorClock clock, uint epoch, long offset, long bytes, out Conflict conflict)
    {
        var first = (int)(offset >> _shift);
        var count = (int)((offset + bytes - 1) >> _shift) - first + 1;
        var writers = _writers.AsSpan(first, count);
        var readers = _readers.AsSpan(first, count);
        var lastWriter = 0u;
        var lastReader = 0u;
        for (var i = 0; i < writers.Length; i++)
        {
            var writer = writers[i];
            if (writer != lastWriter)
            {
                if (!clock.Covers(writer))
                {
                    conflict = new Conflict(writer, WasWrite: true, first + i);
                    return -1;
                }

                lastWriter = writer;
            }

            var reader = readers[i];
            if (reader == lastReader || ((reader & ListFlag) == 0 && clock.Covers(reader)))
            {
                lastReader = reader;
                readers[i] = epoch;
            }
            else
            {
                readers[i] = AddReader(reader, in clock, epoch);
            }
        }

        conflict = default;
        return count;
    }

    /// <summary>Notes a write. Returns the number of cells, negative if <paramref name="conflict"/> was found.</summary>
    public int Write(ref readonly VectorClock clock, uint epoch, long offset, long bytes, out Conflict conflict)
    {
        var first = (int)(offset >> _shift);
        var count = (int)((offset + bytes - 1) >> _shift) - first + 1;
        var writers = _writers.AsSpan(first, count);
        var readers = _readers.AsSpan(first, count);
        var lastWriter = 0u;
        var lastReader = 0u;
        for (var i = 0; i < writers.Length; i++)
        {
            var writer = writers[i];
            if (writer != lastWriter)
            {
                if (!clock.Covers(writer))
                {
                    conflict = new Conflict(writer, WasWrite: true, first + i);
                    return -1;
                }

                lastWriter = writer;
            }

            var reader = readers[i];
            if (reader != lastReader)
            {
                var unordered = (reader & ListFlag) != 0 ? _lists.Unordered(reader & ~ListFlag, in clock)
                    : clock.Covers(reader) ? 0 : reader;
                if (unordered != 0)
                {
                    conflict = new Conflict(unordered, WasWrite: false, first + i);
                    return -1;
                }

                if ((reader & ListFlag) != 0)
                {
                    _lists.Free(reader & ~ListFlag);
                }
                else
                {
                    lastReader = reader;
                }
            }
        }

        writers.Fill(epoch);
        readers.Clear();
        conflict = default;
        return count;
    }

    public void Release()
    {
        if (_writers.Length > 0)
        {
            ArrayPool<uint>.Shared.Return(_writers);
            ArrayPool<uint>.Shared.Return(_readers);
            _writers = _readers = [];
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private uint AddReader(uint reader, ref readonly VectorClock clock, uint epoch)
    {
        var head = (reader & ListFlag) != 0 ? _lists.WithoutOrdered(reader & ~ListFlag, in clock) : _lists.Add(reader, 0);
        return head == 0 ? epoch : _lists.Add(epoch, head) | ListFlag;
    }
}

/// <summary>Singly linked lists of epochs in one array, for the cells that have several readers. Node 0 ends every list.</summary>
internal sealed class ReaderLists
{
    private Node[] _nodes = ArrayPool<Node>.Shared.Rent(256);
    private uint _used = 1;
    private uint _free;

    /// <summary>Puts an epoch before a list, and returns the list's new head.</summary>
    public uint Add(uint epoch, uint next)
    {
        var node = _free;
        if (node != 0)
        {
            _free = _nodes[node].Next;
        }
        else
        {
            node = _used++;
            if (node == _nodes.Length)
            {
                Grow();
            }
        }

        _nodes[node] = new Node { Epoch = epoch, Next = next };
        return node;
    }

    /// <summary>The list without the epochs that <paramref name="clock"/> covers.</summary>
    public uint WithoutOrdered(uint head, ref readonly VectorClock clock)
    {
        var kept = 0u;
        while (head != 0)
        {
            ref var node = ref _nodes[head];
            var next = node.Next;
            if (clock.Covers(node.Epoch))
            {
                (node.Next, _free) = (_free, head);
            }
            else
            {
                (node.Next, kept) = (kept, head);
            }

            head = next;
        }

        return kept;
    }

    /// <summary>The first epoch that <paramref name="clock"/> does not cover; 0 if it covers all.</summary>
    public uint Unordered(uint head, ref readonly VectorClock clock)
    {
        for (; head != 0; head = _nodes[head].Next)
        {
            if (!clock.Covers(_nodes[head].Epoch))
            {
                return _nodes[head].Epoch;
            }
        }

        return 0;
    }

    public void Free(uint head)
    {
        while (head != 0)
        {
            ref var node = ref _nodes[head];
            var next = node.Next;
            (node.Next, _free) = (_free, head);
            head = next;
        }
    }

    public void Release()
    {
        if (_nodes.Length > 0)
        {
            ArrayPool<Node>.Shared.Return(_nodes);
            _nodes = [];
        }
    }

    private void Grow()
    {
        var nodes = ArrayPool<Node>.Shared.Rent(_nodes.Length * 2);
        Array.Copy(_nodes, nodes, _nodes.Length);
        ArrayPool<Node>.Shared.Return(_nodes);
        _nodes = nodes;
    }

    private struct Node
    {
        public uint Epoch;
        public uint Next;
    }
}
