namespace Kvcached.Memory;

/// <summary>
/// Freed blocks whose frontier has not been observed. They stand in lists by layout and home lane, oldest first, so that a lane reuses first
/// what is reached first, and so that one client's unreached points never hold up another's blocks. Nodes are pooled.
/// </summary>
internal sealed class PendingBlocks(TimelineTable timelines)
{
    private const int None = -1;

    /// <summary>Nodes that there are before they are needed, where there are that many blocks: about 800 KB.</summary>
    private const int MostNodesAhead = 4096;

    private Node[] _nodes = new Node[64];
    private int _freeNode = None;
    private int _nodeCount;
    private List[] _lists = [];
    private int _lanes;
    private int _layouts;
    private long[] _bytesByLane = [];

    public int Count { get; private set; }

    /// <summary>Bytes whose use waits for points of a lane.</summary>
    public long BytesOf(int lane) => lane < _bytesByLane.Length ? _bytesByLane[lane] : 0;

    public void EnsureSize(int layouts, int lanes)
    {
        if (layouts <= _layouts && lanes <= _lanes)
        {
            return;
        }

        var grown = new List[layouts * (lanes + 1)];
        grown.AsSpan().Fill(new List(None, None));
        for (var layout = 0; layout < _layouts; layout++)
        {
            // The last list of a layout is the mixed one.
            _lists.AsSpan(layout * (_lanes + 1), _lanes).CopyTo(grown.AsSpan(layout * (lanes + 1)));
            grown[(layout * (lanes + 1)) + lanes] = _lists[(layout * (_lanes + 1)) + _lanes];
        }

        _lists = grown;
        _layouts = layouts;
        _lanes = lanes;
        Array.Resize(ref _bytesByLane, lanes);
        for (var list = 0; list < _lists.Length; list++)
        {
            for (var node = _lists[list].Head; node != None; node = _nodes[node].Next)
            {
                _nodes[node].List = list;
            }
        }
    }

    /// <summary>Makes place for so many pending blocks, up to a limit from which on it grows as needed.</summary>
    public void EnsureNodes(long blocks)
    {
        var nodes = (int)Math.Min(blocks, MostNodesAhead);
        if (nodes > _nodes.Length)
        {
            Array.Resize(ref _nodes, nodes);
        }
    }

    public void Add(Segment segment, int block, in Frontier frontier, FrontierHome home, long bytes)
    {
        var node = Rent();
        ref var n = ref _nodes[node];
        n.Segment = segment;
        n.Block = block;
        n.Frontier = frontier;
        n.Bytes = bytes;
        Account(ref n, home);
        segment.Uses[block] = BlockUse.Pending(node);
        Append(node, (segment.Layout * (_lanes + 1)) + (home.IsMixed ? _lanes : home.Lane));
        Count++;
    }

    /// <summary>Takes the oldest block of a layout that the lane may use enqueue-ahead.</summary>
    public bool TryTake(int layout, int lane, out Segment segment, out int block, out Frontier frontier)
    {
        var first = layout * (_lanes + 1);
        var node = _lists[first + Point.BackgroundLane].Head;
        if (node == None)
        {
            node = _lists[first + lane].Head;
        }

        if (node == None)
        {
            (segment, block, frontier) = (null!, 0, default);
            return false;
        }

        (segment, block, frontier) = (_nodes[node].Segment, _nodes[node].Block, _nodes[node].Frontier);
        Remove(node);
        return true;
    }

    /// <summary>The frontier of a pending block of a segment.</summary>
    public ref readonly Frontier FrontierOf(Segment segment, int block) => ref _nodes[segment.Uses[block].Node].Frontier;

    /// <summary>Forgets a pending block, whose segment takes its frontier over.</summary>
    /// <returns>Bytes of it that were accounted to a client's lane.</returns>
    public long Remove(Segment segment, int block)
    {
        ref var n = ref _nodes[segment.Uses[block].Node];
        var bytes = n.AccountLane == Point.BackgroundLane ? 0 : n.Bytes;
        Remove(segment.Uses[block].Node);
        return bytes;
    }

    /// <summary>Hands blocks whose frontiers have been observed to <paramref name="pool"/>.</summary>
    public void Promote(BlockPool pool)
    {
        for (var list = 0; list < _lists.Length && Count > 0; list++)
        {
            var first = list - (list % (_lanes + 1));
            for (var node = _lists[list].Head; node != None;)
            {
                var next = _nodes[node].Next;
                ref var n = ref _nodes[node];
                var home = FrontierHome.Of(n.Frontier.Points, timelines);
                if (home.IsObserved)
                {
                    var (segment, block) = (n.Segment, n.Block);
                    Remove(node);
                    pool.MakeFree(segment, block);
                }
                else
                {
                    // It may wait for fewer by now: for one lane, or for the background queue alone, and then it is anyone's.
                    _bytesByLane[n.AccountLane] -= n.Bytes;
                    Account(ref n, home);
                    MoveTo(node, first + (home.IsMixed ? _lanes : home.Lane));
                }

                node = next;
            }
        }
    }

    private void Account(ref Node n, FrontierHome home)
    {
        n.AccountLane = home.IsMixed ? FrontierHome.AccountLaneOf(n.Frontier.Points, timelines) : home.Lane;
        _bytesByLane[n.AccountLane] += n.Bytes;
    }

    private void MoveTo(int node, int list)
    {
        if (_nodes[node].List != list)
        {
            Unlink(node);
            Append(node, list);
        }
    }

    private void Append(int node, int list)
    {
        ref var l = ref _lists[list];
        ref var n = ref _nodes[node];
        n.List = list;
        n.Next = None;
        n.Previous = l.Tail;
        if (l.Tail == None)
        {
            l.Head = node;
        }
        else
        {
            _nodes[l.Tail].Next = node;
        }

        l.Tail = node;
    }

    private void Unlink(int node)
    {
        ref var n = ref _nodes[node];
        ref var l = ref _lists[n.List];
        if (n.Previous == None)
        {
            l.Head = n.Next;
        }
        else
        {
            _nodes[n.Previous].Next = n.Next;
        }

        if (n.Next == None)
        {
            l.Tail = n.Previous;
        }
        else
        {
            _nodes[n.Next].Previous = n.Previous;
        }
    }

    private void Remove(int node)
    {
        Unlink(node);
        ref var n = ref _nodes[node];
        _bytesByLane[n.AccountLane] -= n.Bytes;
        n.Segment = null!;
        n.Next = _freeNode;
        _freeNode = node;
        Count--;
    }

    private int Rent()
    {
        if (_freeNode != None)
        {
            var node = _freeNode;
            _freeNode = _nodes[node].Next;
            return node;
        }

        if (_nodeCount == _nodes.Length)
        {
            Array.Resize(ref _nodes, _nodes.Length * 2);
        }

        return _nodeCount++;
    }

    private struct Node
    {
        public Segment Segment;
        public int Block;
        public int Previous;
        public int Next;
        public int List;
        public int AccountLane;
        public long Bytes;
        public Frontier Frontier;
    }

    private record struct List(int Head, int Tail);
}
