using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Sequences;
using Kvcached.Tables;

namespace Kvcached.Bench.Simulation;

/// <summary>
/// Rules of the engine that no kernel and no clock sees broken: who pins how much, handles that must not work, and its books against what they
/// are books of. Looked at between operations, when nothing is reserved; changes nothing.
/// </summary>
internal sealed class EngineChecks(CacheEngine engine)
{
    /// <summary>Operations from one reading of all books to the next.</summary>
    private const int Interval = 16;

    private readonly EngineState _state = engine.State;
    private readonly List<long> _kept = [];
    private EngineCounters _before;
    private int _operations;

    /// <summary>Call after every operation. Returns whether all books have been read.</summary>
    /// <exception cref="InvalidOperationException">A rule is broken.</exception>
    public bool Run(IReadOnlyList<SimulatedClient> clients)
    {
        CheckLanes();
        CheckFreeLanes();
        CheckPinned();
        if (++_operations % Interval != 0)
        {
            return false;
        }

        CheckBooks();
        CheckHandles(clients);
        return true;
    }

    /// <summary>Call before a turn.</summary>
    public void BeforeTurn()
    {
        _before = _state.Counters;
        _kept.Clear();
        _kept.AddRange(_state.Clients.Select(KeptBy));
    }

    /// <summary>Call after a turn: where it has done nothing but compact the pool, no client has come to keep more than it may by what its blocks left.</summary>
    /// <exception cref="InvalidOperationException">One has.</exception>
    public void AfterTurn()
    {
        var done = _state.Counters - _before;
        if (done.CompactedBlocks == 0 || done.Steps + done.RefusedSteps + done.EvictedBlocks + done.WindowsDropped > 0)
        {
            return;
        }

        foreach (var client in _state.Clients)
        {
            if (KeptBy(client) is var kept && kept > client.MaxPinnedBytes && kept > _kept[client.Number])
            {
                throw Broken($"Client {client.Number} has come to keep {kept} bytes by compaction; its limit is {client.MaxPinnedBytes}.");
            }
        }
    }

    /// <summary>What a client's live steps pin, and what waits for its points.</summary>
    private long KeptBy(ClientState client) => client.LiveBytes + client.Lanes.Sum(lane => _state.Pool.PendingBytesOf(lane.Number));

    /// <summary>An end counts for a step that has been planned alone, and a lane has no more steps under way than its depth.</summary>
    private void CheckLanes()
    {
        foreach (var lane in _state.Lanes)
        {
            if (lane is not null && (lane.Ended > lane.Planned || lane.Planned > lane.Begun || lane.Begun > lane.Ended + (ulong)lane.Depth))
            {
                throw Broken($"Lane {lane.Number} of depth {lane.Depth} has begun {lane.Begun} steps, planned {lane.Planned}, ended {lane.Ended}.");
            }
        }

        foreach (var client in _state.Dying)
        {
            if (client.Lanes.Exists(lane => lane.HasWaiting || _state.Reservation.Holder == lane))
            {
                throw Broken($"Client {client.Number} has been condemned, and has a step that waits, or the reservation.");
            }
        }
    }

    /// <summary>A lane's number that is free has left nothing: the lane that gets it starts with no bytes that wait for it.</summary>
    private void CheckFreeLanes()
    {
        for (var lane = 1; lane < _state.Lanes.Count; lane++)
        {
            if (_state.Lanes[lane] is null && _state.Pool.PendingBytesOf(lane) + _state.Rows.Pool.PendingBytesOf(lane) + _state.Cold.Pool.PendingBytesOf(lane) is > 0 and var bytes)
            {
                throw Broken($"Lane {lane} has ended, and {bytes} bytes are counted as waiting for it.");
            }
        }
    }

    /// <summary>What the live steps of a client keep from others stays within its limits, and is what the engine has counted.</summary>
    private void CheckPinned()
    {
        foreach (var client in _state.Clients)
        {
            long bytes = 0, rowBytes = 0;
            foreach (var sequence in _state.Sequences.All)
            {
                if (sequence.InUse && sequence.Client == client.Number && !_state.Timelines.IsObserved(sequence.LastStep))
                {
                    bytes += sequence.ResidentBytes;
                    rowBytes += sequence.RowBytes;
                }
            }

            var transfers = client.Lanes.Sum(lane => lane.PinnedTransfers.Sum(transfer => transfer.Bytes));
            if (bytes + transfers != client.LiveBytes || rowBytes != client.LiveRowBytes)
            {
                throw Broken($"Client {client.Number} pins {bytes} bytes with steps, {transfers} with transfers and {rowBytes} of rows; the engine counts {client.LiveBytes} and {client.LiveRowBytes}.");
            }

            if (client.LiveBytes > client.MaxPinnedBytes || rowBytes > client.MaxPinnedRowBytes)
            {
                throw Broken($"Client {client.Number} pins {client.LiveBytes} bytes and {rowBytes} of rows; its limits are {client.MaxPinnedBytes} and {client.MaxPinnedRowBytes}.");
            }
        }
    }

    /// <summary>Every block and row is counted once, where it is, and nothing else is in use.</summary>
    private void CheckBooks()
    {
        long pool = 0, cold = 0, rows = 0, runs = 0, windowBytes = 0;
        foreach (var sequence in _state.Sequences.All)
        {
            if (!sequence.InUse)
            {
                continue;
            }

            var layouts = _state.Models[sequence.Model].Layouts;
            long resident = 0, rowBytes = 0;
            for (var r = 0; r < layouts.Length; r++)
            {
                var row = sequence.Rows[r];
                var (blocks, slots) = CheckRow(sequence, r);
                runs += CheckRuns(sequence, r);
                resident += blocks * layouts[r].BlockBytes;
                cold += slots * layouts[r].BlockBytes;
                rowBytes += row.Heap.IsNone ? 0 : RowHeap.BytesOf(row.Capacity);
            }

            var windows = CheckWindows(sequence);
            windowBytes += windows;
            resident += windows;
            if (resident != sequence.ResidentBytes || rowBytes != sequence.RowBytes)
            {
                throw Broken($"Sequence {sequence.Id} has {resident} bytes on the device and {rowBytes} of rows; the engine counts {sequence.ResidentBytes} and {sequence.RowBytes}.");
            }

            if (resident > 0 && !sequence.IsListed)
            {
                throw Broken($"Sequence {sequence.Id} has {resident} bytes on the device, and nobody who needs room finds it.");
            }

            if (sequence.CommittedTokens > sequence.BegunTokens)
            {
                throw Broken($"Sequence {sequence.Id} has {sequence.CommittedTokens} tokens committed of {sequence.BegunTokens} begun.");
            }

            pool += resident;
            rows += rowBytes;
        }

        if (runs != _state.Runs.Count)
        {
            throw Broken($"Blocks lie in {runs} runs; the engine counts {_state.Runs.Count}.");
        }

        if (windowBytes != _state.WindowBytes)
        {
            throw Broken($"Windows have {windowBytes} bytes; the engine counts {_state.WindowBytes}.");
        }

        CheckUsed("pool", _state.Pool, pool);
        CheckUsed("cold tier", _state.Cold.Pool, cold);
        CheckUsed("entry heap", _state.Rows.Pool, rows);
        CheckWaiting("pool", _state.Pool);
        CheckWaiting("entry heap", _state.Rows.Pool);
    }

    /// <summary>What has been given back and waits for points is counted for a lane: blocks, and free runs of units.</summary>
    private void CheckWaiting(string name, BlockPool pool)
    {
        var census = new ArenaCensus(pool);
        var bytes = census.BytesOf(address => !FrontierHome.Of(pool.FrontierOf(address), _state.Timelines).IsObserved)
            + census.FreeBytesOf(run => !FrontierHome.Of(run.Frontier.Points, _state.Timelines).IsObserved);
        var counted = Enumerable.Range(0, _state.Lanes.Count).Sum(pool.PendingBytesOf);
        if (counted < bytes)
        {
            throw Broken($"{bytes} bytes of the {name} have been given back and wait for points; the engine counts {counted}.");
        }
    }

    /// <summary>Counts a row's blocks on the device and its cold slots.</summary>
    private (int Blocks, int Slots) CheckRow(SequenceState sequence, int r)
    {
        var row = sequence.Rows[r];
        int blocks = 0, slots = 0, missing = 0;
        for (var i = 0; i < row.Count; i++)
        {
            ref var block = ref _state.Blocks[row[i]];
            var number = row[i];
            var isInPlace = block.Sequence == sequence.Index && block.Row == r && block.Index == i
                && (!block.IsResident || _state.Pool.HolderOf(block.Device) == number)
                && (block.Cold.IsNone || _state.Cold.Pool.HolderOf(block.Cold) == number)
                && (block.IsResident || block.IsClean);
            if (!isInPlace)
            {
                throw Broken($"Block {i} of row {r} of sequence {sequence.Id} is not where it says, or has no valid copy.");
            }

            blocks += block.IsResident ? 1 : 0;
            slots += block.Cold.IsNone ? 0 : 1;
            missing += block.IsResident || i < row.FirstVisible ? 0 : 1;
        }

        if (blocks != row.ResidentBlocks || missing != row.Missing)
        {
            throw Broken($"Row {r} of sequence {sequence.Id} has {blocks} blocks on the device and misses {missing}; the engine counts {row.ResidentBlocks} and {row.Missing}.");
        }

        return (blocks, slots);
    }

    /// <summary>Counts the runs that a row's blocks lie in.</summary>
    private int CheckRuns(SequenceState sequence, int r)
    {
        var row = sequence.Rows[r];
        var (runs, end) = (0, -1L);
        for (var i = 0; i < row.Count; i++)
        {
            var address = _state.Blocks[row[i]].Device;
            runs += address.IsNone || _state.Pool.OffsetOf(address) == end ? 0 : 1;
            end = address.IsNone ? -1 : _state.Pool.OffsetOf(address) + _state.LayoutOf(sequence, r).BlockBytes;
        }

        return runs == row.Runs ? runs : throw Broken($"Row {r} of sequence {sequence.Id} lies in {runs} runs; the engine counts {row.Runs}.");
    }

    /// <summary>Counts the bytes of a sequence's contiguous windows. A window that has been closed has none but for steps that wait.</summary>
    private long CheckWindows(SequenceState sequence)
    {
        var bytes = 0L;
        for (var r = 0; r < sequence.Rows.Length; r++)
        {
            if (sequence.Rows[r].Window is not { HasBytes: true } window)
            {
                continue;
            }

            ref var block = ref _state.Blocks[window.Block];
            var isInPlace = block.IsWindow && block.Sequence == sequence.Index && block.Row == r && _state.Pool.HolderOf(block.Device) == window.Block
                && _state.Pool.Units[block.Device.Segment].Order == window.Order;
            var size = _state.Options.UnitBytes << window.Order;
            if (!isInPlace || window.Tokens > sequence.Tokens || window.Tokens * (long)_state.LayoutOf(sequence, r).Window.TokenStride > size)
            {
                throw Broken($"The window of row {r} of sequence {sequence.Id} is not where it says, or has {window.Tokens} tokens in {size} bytes, the sequence {sequence.Tokens}.");
            }

            if (sequence.WaitingSteps == 0 && !Engine.Windows.IsOpen(sequence.OpenWindows, r))
            {
                throw Broken($"The window of row {r} of sequence {sequence.Id} is closed, and has bytes.");
            }

            bytes += size;
        }

        return bytes == sequence.WindowBytes ? bytes : throw Broken($"Windows of sequence {sequence.Id} have {bytes} bytes; the engine counts {sequence.WindowBytes}.");
    }

    private static void CheckUsed(string name, BlockPool pool, long bytes)
    {
        if (pool.UsedBytes != bytes)
        {
            throw Broken($"{pool.UsedBytes} bytes of the {name} are in use; sequences hold {bytes}.");
        }
    }

    /// <summary>A handle from before its sequence's place was used again is stale, and another client's is foreign.</summary>
    private void CheckHandles(IReadOnlyList<SimulatedClient> clients)
    {
        for (var i = 0; i < clients.Count; i++)
        {
            if (clients[i].Find(0) is { } sequence)
            {
                var handle = sequence.Handle;
                ExpectError(KvError.StaleHandle, clients[i], handle with { Generation = handle.Generation - 1 });
                ExpectError(KvError.ForeignHandle, clients[(i + 1) % clients.Count], handle, isExempt: clients.Count == 1);
            }
        }
    }

    /// <summary>A client that has been condemned is told so.</summary>
    /// <exception cref="InvalidOperationException">It is not.</exception>
    public void ExpectRefusal(SimulatedClient client, SequenceHandle handle) => ExpectError(KvError.Disconnected, client, handle);

    private void ExpectError(KvError error, SimulatedClient client, SequenceHandle handle, bool isExempt = false)
    {
        if (isExempt)
        {
            return;
        }

        try
        {
            engine.Sequences.Truncate(client.State, handle, 0);
        }
        catch (KvException exception) when (exception.Error == error)
        {
            return;
        }

        throw new InvalidOperationException($"Client {client.State.Number} truncated by handle {handle.Index}:{handle.Generation}; it should have been told {error}.");
    }

    private static InvalidOperationException Broken(string message) => new(message);
}
