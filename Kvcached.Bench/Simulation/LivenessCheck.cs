using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Sequences;
using Kvcached.Tables;

namespace Kvcached.Bench.Simulation;

/// <summary>
/// With one client stalled for ever and all else at rest: whatever has not been observed is the stalled client's, it keeps no more from the others than it
/// may pin, and a step of theirs that waits waits for that. Told by counting units, blocks and rows, not by asking the engine again. Where a step waits that
/// might fit if everything were put elsewhere, or whose tenant may not hold what it likes, nothing is said: it is told to fit only where whole segments can be had, without those of tenants that have a guarantee.
/// </summary>
internal sealed class LivenessCheck
{
    private readonly EngineState _state;
    private readonly ClientState _stalled;
    private readonly ArenaCensus _pool;
    private readonly ArenaCensus _rows;

    /// <summary>Who has each row of the entry heap.</summary>
    private readonly Dictionary<BlockAddress, SequenceState> _rowHolders = [];

    private readonly long _pinned;
    private readonly long _pinnedRows;
    private readonly bool _hasColdRoom;

    private LivenessCheck(EngineState state, ClientState stalled)
    {
        (_state, _stalled) = (state, stalled);
        (_pool, _rows) = (new ArenaCensus(state.Pool), new ArenaCensus(state.Rows.Pool));
        foreach (var sequence in state.Sequences.All)
        {
            foreach (var row in sequence.InUse ? sequence.Rows : [])
            {
                _ = row.Heap.IsNone || _rowHolders.TryAdd(row.Heap, sequence);
            }
        }

        _pinned = _pool.BytesOf(IsPinned) + _pool.FreeBytesOf(IsUnusedPinned);
        _pinnedRows = _rows.BytesOf(IsRowPinned) + _rows.FreeBytesOf(IsUnusedPinned);
        _hasColdRoom = HasColdRoom();
    }

    /// <summary>Call when neither device nor engine has anything left to do.</summary>
    /// <exception cref="InvalidOperationException">A client is held up by something else than bytes that the stalled one may pin.</exception>
    public static void Run(EngineState state, ClientState stalled)
    {
        var check = new LivenessCheck(state, stalled);
        if (check._pinned > stalled.MaxPinnedBytes || check._pinnedRows > stalled.MaxPinnedRowBytes)
        {
            throw check.Broken($"and keeps {check._pinned} bytes and {check._pinnedRows} of rows from others; its limits are {stalled.MaxPinnedBytes} and {stalled.MaxPinnedRowBytes}");
        }

        foreach (var lane in state.Lanes.OfType<LaneState>().Where(lane => lane.Client != stalled))
        {
            if (lane.HasLive || lane.Client.LiveBytes + lane.Client.LiveRowBytes > 0)
            {
                throw check.Broken($"and lane {lane.Number} of client {lane.Client.Number} has a step or a transfer that does not end");
            }

            if (lane.HasWaiting && check.WhyNotToWait(lane) is { } reason)
            {
                throw check.Broken($"and keeps {check._pinned} bytes and {check._pinnedRows} of rows from others; step {lane.Planned + 1} of lane {lane.Number}, of client {lane.Client.Number}, waits {reason}");
            }
        }
    }

    /// <summary>Why a lane's first waiting step should have been served or refused, or null if what the stalled client pins may be what it waits for.</summary>
    private string? WhyNotToWait(LaneState lane)
    {
        var demand = new StepDemand(_state, lane.StepAt(lane.Planned + 1));
        if (_pinned + _pinnedRows == 0 && !_state.Cold.Pool.HasPending)
        {
            return "for nothing";
        }

        if (demand.Pinned > lane.Client.MaxPinnedBytes || demand.PinnedRows > lane.Client.MaxPinnedRowBytes)
        {
            return demand.HasUnseen ? null : "for its own client's share, of which nothing is under way";
        }

        if (lane.Client.Tenant.Limits.MaxBytes < long.MaxValue)
        {
            return null;
        }

        var fits = _pool.Fits(demand.Blocks, address => IsPinned(address) || IsKept(address, demand) || IsGuaranteed(address, lane), IsUnusedPinned)
            && _rows.Fits(demand.Rows, address => IsRowPinned(address) || demand.Has(_rowHolders.GetValueOrDefault(address)), IsUnusedPinned);
        return fits ? "although it fits beside that" : null;
    }

    /// <summary>Whether points of the stalled client keep a block's bytes.</summary>
    private bool IsPinned(BlockAddress address)
    {
        var number = _state.Pool.HolderOf(address);
        if (number < 0)
        {
            return IsOutstanding(_state.Pool.FrontierOf(address));
        }

        ref var block = ref _state.Blocks[number];
        return IsOutstanding(_state.Tracker.BytesOf(ref block, _state.Sequences[block.Sequence]).Points);
    }

    private bool IsRowPinned(BlockAddress address) => IsOutstanding(
        _rowHolders.TryGetValue(address, out var sequence) ? _state.Tracker.RowOf(sequence).Points : _state.Rows.Pool.FrontierOf(address));

    private bool IsUnusedPinned(Segment run) => IsOutstanding(run.Frontier.Points);

    /// <summary>Whether a point has not been observed: nobody's but the stalled client's can be.</summary>
    private bool IsOutstanding(ReadOnlySpan<Point> points)
    {
        foreach (var point in points)
        {
            if (!_state.Timelines.IsObserved(point))
            {
                return _state.Lanes[point.Lane]?.Client == _stalled
                    ? true
                    : throw Broken($"and a {point.Kind} point of lane {point.Lane}, which is not its own, is not reached");
            }
        }

        return false;
    }

    /// <summary>Whether a block may be part of what another tenant is guaranteed.</summary>
    private bool IsGuaranteed(BlockAddress address, LaneState lane) =>
        _state.Pool.HolderOf(address) is >= 0 and var number && _state.TenantOf(_state.Sequences[_state.Blocks[number].Sequence]) is { Limits.MinBytes: > 0 } tenant && tenant != lane.Client.Tenant;

    /// <summary>Whether a block cannot be evicted for a step, whoever pins it: the step needs it, or there is no cold copy nor room for one, and it is no window.</summary>
    private bool IsKept(BlockAddress address, StepDemand demand)
    {
        var number = _state.Pool.HolderOf(address);
        if (number < 0)
        {
            return false;
        }

        ref var block = ref _state.Blocks[number];
        return demand.Has(_state.Sequences[block.Sequence]) || !(block.IsWindow || block.IsClean || (_hasColdRoom && ColdLayoutOf(in block) >= 0));
    }

    private int ColdLayoutOf(ref readonly BlockState block) => _state.LayoutOf(_state.Sequences[block.Sequence], block.Row).ColdLayout;

    /// <summary>Whether cold memory has slots for every block that can be copied out and is not clean, which is more than any step needs.</summary>
    private bool HasColdRoom()
    {
        if (_state.Cold.Memory is null)
        {
            return false;
        }

        var dirty = new Dictionary<int, int>();
        _pool.BytesOf(address =>
        {
            var number = _state.Pool.HolderOf(address);
            if (number >= 0 && !_state.Blocks[number].IsWindow && !_state.Blocks[number].IsClean && ColdLayoutOf(in _state.Blocks[number]) is >= 0 and var layout)
            {
                dirty[layout] = dirty.GetValueOrDefault(layout) + 1;
            }

            return false;
        });
        return new ArenaCensus(_state.Cold.Pool).Fits(dirty, _ => true, IsUnusedPinned);
    }

    private InvalidOperationException Broken(string what) => new($"Client {_stalled.Number} has stalled {what}.");
}
