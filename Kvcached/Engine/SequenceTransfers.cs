using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Commands that move a sequence's blocks apart from any step. They take what room there is and do as much as it allows; behind another lane's
/// reservation, or beyond what the client may pin, they do nothing more.
/// </summary>
internal sealed class SequenceTransfers(EngineState state, TransferLoop loop, RoomMaker room, SequenceCommands sequences, Windows windows)
{
    private readonly Reservations _reservations = new();
    private readonly OrderRestorer _order = new(state, loop);

    /// <summary>Enqueues transfers of a sequence, a move of up to <paramref name="maxBlocks"/> blocks. Returns the blocks that they are of.</summary>
    public int Run(TransferKind kind, LaneState lane, SequenceHandle handle, int maxBlocks) => kind switch
    {
        TransferKind.Clean => Clean(lane, handle),
        TransferKind.Evict => Evict(lane, handle),
        TransferKind.Prefetch => Prefetch(lane, handle),
        TransferKind.Move => Move(lane, handle, 0, maxBlocks, background: false),
        TransferKind.RestoreOrder => RestoreOrder(lane, handle),
        _ => throw new KvException(KvError.InvalidArgument, $"There is no transfer of kind {kind}."),
    };

    /// <summary>Copies out what has no clean copy, and keeps it on the device. Returns the copies enqueued.</summary>
    public int Clean(LaneState lane, SequenceHandle handle) => ForEachResident(lane, handle, drop: false);

    /// <summary>Cleans and drops. Returns the blocks dropped.</summary>
    public int Evict(LaneState lane, SequenceHandle handle) => ForEachResident(lane, handle, drop: true);

    /// <summary>Reloads what is not on the device, as far as there is room. Returns the copies enqueued.</summary>
    public int Prefetch(LaneState lane, SequenceHandle handle)
    {
        var sequence = FindFor(lane, handle);
        if (sequence is null || state.Reservation.Binds(lane, takesRoom: true))
        {
            return 0;
        }

        BeginPlan(sequence);
        lane.Client.Tenant.LastUse = state.Tenants.Now;
        var layouts = state.Models[sequence.Model].Layouts;
        for (var r = 0; r < layouts.Length; r++)
        {
            var first = _reservations.BlockCount;
            for (var missing = sequence.Rows[r].Missing; missing > 0; missing--)
            {
                var newlyPinned = layouts[r].BlockBytes * (sequence.IsLive ? 2 : 1) * (1 + _reservations.Left);
                if (!state.CanPin(lane.Client, newlyPinned)
                    || !room.TryShrink(lane, lane.Client.Tenant.Limits.MaxBytes - (layouts[r].BlockBytes * (1 + _reservations.Left)))
                    || !room.TryMakeRoom(layouts[r].PoolLayout, lane, newlyPinned, out var bytes, out var frontier))
                {
                    break;
                }

                _reservations.AddBlock(bytes, frontier);
            }

            _reservations.Sort(first);
            var pinned = layouts[r].BlockBytes * _reservations.Left;
            var row = sequence.Rows[r];
            for (var i = row.FirstVisible; i < row.Count && _reservations.HasBlock; i++)
            {
                if (!state.Blocks[row[i]].IsResident)
                {
                    ref readonly var frontier = ref _reservations.TakeBlock(out var bytes);
                    loop.Reload(sequence, row[i], lane, bytes, in frontier);
                }
            }

            Pin(lane, lane.Transfers.Signal, pinned);

            // Evictions for the next layout wait for nothing that is still to be submitted.
            loop.Flush(lane);
        }

        if (sequence.ResidentBytes > 0)
        {
            state.Policy.Touch(sequence);
        }

        return _reservations.BlockCount;
    }

    /// <summary>
    /// Moves up to a number of resident blocks, from block <paramref name="from"/> on, to other bytes: on the lane, or on the background queue,
    /// which takes only blocks whose writers have been observed. Returns the moves enqueued.
    /// </summary>
    public int Move(LaneState lane, SequenceHandle handle, int from, int maxBlocks, bool background)
    {
        var sequence = FindFor(lane, handle);
        if (sequence is null || state.Reservation.Binds(lane, takesRoom: true))
        {
            return 0;
        }

        BeginPlan(sequence);
        var layouts = state.Models[sequence.Model].Layouts;
        var moved = 0;
        for (var r = 0; r < layouts.Length && moved < maxBlocks; r++)
        {
            var row = sequence.Rows[r];

            // Until it has been observed, a move pins the bytes that it leaves and, on the lane, those that it takes.
            var pinnedByOne = layouts[r].BlockBytes * (background ? 1 : 2);
            _reservations.Clear();
            for (var i = Math.Min(from, row.Count); i < row.Count && moved + _reservations.BlockCount < maxBlocks; i++)
            {
                var newlyPinned = pinnedByOne * (1 + _reservations.Left);
                if (!CanMove(row[i], background)
                    || !state.CanPin(lane.Client, newlyPinned)
                    || !TryFindPlace(layouts[r].PoolLayout, lane, newlyPinned, background, out var bytes, out var frontier))
                {
                    continue;
                }

                _reservations.AddBlock(bytes, frontier);
            }

            // Evictions on the way are submitted before the moves, which wait for them.
            _reservations.Sort(0);
            loop.Flush(lane);
            var pinned = layouts[r].BlockBytes * _reservations.Left;
            for (var i = Math.Min(from, row.Count); i < row.Count && _reservations.HasBlock; i++)
            {
                if (CanMove(row[i], background))
                {
                    ref readonly var frontier = ref _reservations.TakeBlock(out var bytes);
                    loop.Move(sequence, row[i], background ? state.OpenBackground() : lane.OpenTransfers(), bytes, in frontier);
                    moved++;
                    state.Counters.MovedBlocks++;
                }
            }

            Pin(lane, lane.Transfers.Signal, background ? 0 : pinned);
            loop.Flush(lane);
        }

        return moved;
    }

    /// <summary>Restores the physical order of a sequence, on the background queue, as far as it can be now. Returns the moves enqueued.</summary>
    public int RestoreOrder(LaneState lane, SequenceHandle handle) =>
        FindFor(lane, handle) is { } sequence && !state.Reservation.Binds(lane, takesRoom: true) ? _order.Restore(lane.Client, sequence) : 0;

    /// <summary>The sequence, if the lane may enqueue transfers of it: what is outstanding must be the lane's own or the background's.</summary>
    private SequenceState? FindFor(LaneState lane, SequenceHandle handle)
    {
        var sequence = sequences.Find(lane.Client, handle);
        var frontier = sequence.Transfers;
        frontier.Add(sequence.LastStep, state.Timelines);
        return FrontierHome.Of(frontier.Points, state.Timelines).IsUsableBy(lane.Number) ? sequence : null;
    }

    private int ForEachResident(LaneState lane, SequenceHandle handle, bool drop)
    {
        var sequence = FindFor(lane, handle);
        if (sequence is null)
        {
            return 0;
        }

        BeginPlan(sequence);
        var done = 0;
        var pinned = 0L;
        for (var r = 0; r < state.Models[sequence.Model].Layouts.Length; r++)
        {
            var row = sequence.Rows[r];
            for (var i = 0; i < row.Count; i++)
            {
                ref var block = ref state.Blocks[row[i]];
                if (block.IsResident && (drop ? loop.TryGiveUp(sequence, row[i], lane) : !block.IsClean && TryClean(sequence, row[i], lane, ref pinned)))
                {
                    done++;
                }
            }
        }

        Pin(lane, lane.Out.Signal, pinned);
        if (drop)
        {
            windows.DropAll(sequence);
        }

        loop.DropRowsIfEmpty(sequence);
        loop.Flush(lane);
        return done;
    }

    /// <summary>Cleans a block, if its client may pin it until the copy has been observed: the copy may stand behind those of blocks with live writers.</summary>
    private bool TryClean(SequenceState sequence, int number, LaneState lane, ref long pinned)
    {
        var bytes = state.LayoutOf(sequence, state.Blocks[number].Row).BlockBytes;
        if (!state.CanPin(lane.Client, pinned + bytes) || !loop.TryClean(sequence, number, lane))
        {
            return false;
        }

        pinned += bytes;
        return true;
    }

    private bool CanMove(int number, bool background)
    {
        ref var block = ref state.Blocks[number];
        return block.IsResident && (!background || RuleFaults.Is(RuleFault.LiveWriterMoved) || state.Timelines.IsObserved(block.Writer) || block.Writer.Lane == Point.BackgroundLane);
    }

    private bool TryFindPlace(int layout, LaneState lane, long newlyPinned, bool background, out BlockAddress bytes, out Frontier frontier) => background
        ? state.Pool.TryAllocate(layout, RuleFaults.Is(RuleFault.BackgroundIntoUnobserved) ? lane.Number : Point.BackgroundLane, out bytes, out frontier)
        : room.TryMakeRoom(layout, lane, newlyPinned, out bytes, out frontier);

    /// <summary>Notes what a transfer pins that is open on the lane. It may outlast the step that makes its sequence live, so it counts beside it.</summary>
    private void Pin(LaneState lane, Point signal, long bytes)
    {
        if (bytes > 0)
        {
            state.PinTransfer(lane, signal, bytes);
        }
    }

    private void BeginPlan(SequenceState sequence)
    {
        sequence.Plan = ++state.Plan;
        room.BeginPlan(sparesOwn: true);
        _reservations.Clear();
    }
}
