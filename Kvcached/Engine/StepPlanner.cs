using Kvcached.Memory;
using Kvcached.Sequences;
using Kvcached.Tables;

namespace Kvcached.Engine;

/// <summary>
/// Plans a step against limits and reserves all that it needs, then commits it whole, or gives the reservations back (I10). Evictions made on
/// the way stand: they are complete by themselves.
/// </summary>
internal sealed class StepPlanner(EngineState state, TransferLoop loop, RoomMaker room, Windows windows)
{
    private readonly StepPublisher _publisher = new(state, loop, windows);
    private readonly StepMeasure _measure = new(state, windows);
    private readonly Reservations _reservations = new();

    /// <summary>Tries to commit the lane's next step.</summary>
    /// <returns>Accepted, Busy (not committed: try again when points have been observed), NeverFits or NoRoom (the step is not committed: refuse it).</returns>
    public KvStepStatus TryCommit(LaneState lane, StepRecord step)
    {
        state.Plan++;
        room.BeginPlan(sparesOwn: false);
        _reservations.Clear();
        if (!_measure.TryMeasure(step, out var demand) || _measure.NeverFits(lane.Client, demand))
        {
            return KvStepStatus.NeverFits;
        }

        var tenant = lane.Client.Tenant;
        if (demand.Bytes > tenant.Limits.MaxBytes && !RuleFaults.Is(RuleFault.MaxNotApplied))
        {
            return KvStepStatus.OverQuota;
        }

        if (state.Reservation.Binds(lane, demand.NewBytes > 0))
        {
            return KvStepStatus.Busy;
        }

        if (demand.Growth > 0 && demand.Growth > tenant.Limits.MaxBytes - tenant.ResidentBytes && !room.TryShrink(lane, tenant.Limits.MaxBytes - demand.Growth))
        {
            return Postpone(lane, step, Lack.Quota);
        }

        var isOverPinned = demand.NewlyPinned + demand.NewlyPinnedRows > 0 && !state.CanPin(lane.Client, demand.NewlyPinned, demand.NewlyPinnedRows);
        if (!isOverPinned && step.HasWindows)
        {
            if (!TryGrowWindows(lane, step, demand.NewlyPinned))
            {
                return Postpone(lane, step, Lack.Room);
            }

            // Blocks of its own that were in the way come back with it.
            isOverPinned = room.TookOwn && !(_measure.TryMeasure(step, out demand) && state.CanPin(lane.Client, demand.NewlyPinned, demand.NewlyPinnedRows));
        }

        if (isOverPinned || !TryReserve(lane, step, demand.NewlyPinned))
        {
            return Postpone(lane, step, isOverPinned ? Lack.Pins : Lack.Room);
        }

        _publisher.Commit(lane, step, _reservations);
        state.Reservation.Release(lane);
        return KvStepStatus.Accepted;
    }

    /// <summary>Publishes refused views for a step: kernels find nothing to do, now and in later steps of the same sequences.</summary>
    public void Refuse(LaneState lane, StepRecord step)
    {
        _publisher.Refuse(lane, step);
        state.Reservation.Release(lane);
    }

    private KvStepStatus Postpone(LaneState lane, StepRecord step, Lack lack)
    {
        if (!RuleFaults.Is(RuleFault.PlanNotAtomic))
        {
            _reservations.GiveBack(state);
        }

        var mayStillFit = lack switch
        {
            Lack.Pins => MayPinLess(lane, step),
            Lack.Quota => state.IsAnythingUnderWay(lane.Client.Tenant) || (room.LacksColdSlots && state.IsAnythingUnderWay()),
            _ => state.Pool.IsGrowing || (state.IsAnythingUnderWay() && !state.Reservation.IsOver(lane)),
        };
        loop.Flush(lane);
        if (!mayStillFit)
        {
            return KvStepStatus.NoRoom;
        }

        state.Reservation.TryTake(lane, wantsQuota: lack == Lack.Quota);
        return KvStepStatus.Busy;
    }

    /// <summary>
    /// Whether a client that pins too much for a step may come to pin less: by what it has under way itself, or by what has left the sliding windows of the step's
    /// sequences. That is pinned with them and not needed, so it is evicted; where there are no cold slots for it now, others' may come free.
    /// </summary>
    private bool MayPinLess(LaneState lane, StepRecord step)
    {
        var evicted = state.Counters.EvictedBlocks;
        var isLeft = false;
        foreach (ref var item in step.Batch)
        {
            var sequence = state.Sequences[item.Sequence.Index];
            for (var r = 0; r < state.Models[sequence.Model].Layouts.Length; r++)
            {
                isLeft |= !room.TryEvictUnseen(sequence, sequence.Rows[r], lane);
            }
        }

        return state.Counters.EvictedBlocks > evicted || state.IsAnythingUnderWay(lane.Client) || (isLeft && state.IsAnythingUnderWay());
    }

    /// <summary>
    /// Gives windows the runs that they need: before any block gets bytes, which could be those that a window grows into. A run stays with its
    /// window should the step turn out Busy: like any other it is given up to whoever needs it.
    /// </summary>
    private bool TryGrowWindows(LaneState lane, StepRecord step, long newlyPinned)
    {
        foreach (ref var item in step.Batch)
        {
            var sequence = state.Sequences[item.Sequence.Index];
            for (var r = 0; item.Windows >> r != 0 && r < ModelState.MaxLayouts && !sequence.Refused; r++)
            {
                if (Windows.IsOpen(item.Windows, r) && !TryGrowWindow(lane, newlyPinned, sequence, r, windows.OrderFor(state.LayoutOf(sequence, r), sequence.Tokens + item.NewTokens)))
                {
                    return false;
                }
            }
        }

        return true;
    }

    private bool TryReserve(LaneState lane, StepRecord step, long newlyPinned)
    {
        foreach (ref var item in step.Batch)
        {
            var sequence = state.Sequences[item.Sequence.Index];
            if (sequence.Refused)
            {
                continue;
            }

            var layouts = state.Models[sequence.Model].Layouts;
            for (var r = 0; r < layouts.Length; r++)
            {
                var row = sequence.Rows[r];
                var count = layouts[r].BlocksFor(sequence.Tokens + item.NewTokens);
                if (StepMeasure.NeedsFreshRow(sequence, row, count) && !TryReserveRow(lane, row, count))
                {
                    return false;
                }

                var first = _reservations.BlockCount;
                for (var needed = row.Missing + count - row.Count; needed > 0; needed--)
                {
                    if (!room.TryMakeRoom(layouts[r].PoolLayout, lane, newlyPinned, out var bytes, out var frontier))
                    {
                        AskForRest(layouts[r].PoolLayout, needed);
                        return false;
                    }

                    _reservations.AddBlock(bytes, frontier);
                }

                _reservations.Sort(first);
            }
        }

        return true;
    }

    /// <summary>Where memory comes, has it come for all blocks of a row that have no place yet, and not for one segment after the other.</summary>
    private void AskForRest(int layout, int blocks)
    {
        if (state.Pool.IsGrowing)
        {
            state.Pool.Ask(layout, blocks);
        }
    }

    /// <summary>
    /// Grows a window in place. Where that cannot be: into a larger run that is free, into the units behind it once they have been emptied, or into a
    /// larger run that is. Into another run the publish gathers all of it.
    /// </summary>
    private bool TryGrowWindow(LaneState lane, long newlyPinned, SequenceState sequence, int r, int order)
    {
        var window = sequence.Rows[r].Window!;
        if (windows.TryGrow(sequence, window, order, lane))
        {
            return true;
        }

        if (state.Pool.IsGrowing)
        {
            // What comes may be what it can grow into, and it is gathered again wherever else it goes.
            return false;
        }

        var isFree = windows.TryAllocate(order, lane, out var bytes, out var frontier);
        if (!isFree && window.HasBytes && room.TryEmptyBehind(windows.RunOf(window), window.Order, order, lane) && windows.TryGrow(sequence, window, order, lane))
        {
            return true;
        }

        state.Counters.WindowsMoved += window.HasBytes ? 1 : 0;
        windows.Drop(sequence, window);
        if (!isFree && !room.TryMakeRun(windows.PoolLayoutOf(lane.Client.Tenant, order), lane, newlyPinned, out bytes, out frontier))
        {
            return false;
        }

        windows.Give(sequence, r, order, bytes, in frontier);
        return true;
    }

    private bool TryReserveRow(LaneState lane, SequenceRow row, int entries)
    {
        var capacity = RowHeap.CapacityFor(entries);
        BlockAddress place;
        Frontier frontier;
        while (!state.Rows.TryAllocate(capacity, lane.Number, out place, out frontier))
        {
            if (!TryDropRow())
            {
                return false;
            }
        }

        _reservations.AddRow(new ReservedRow(row, place, capacity, frontier));
        return true;
    }

    /// <summary>Takes the row of a sequence that no live step uses: its next step publishes a fresh one.</summary>
    private bool TryDropRow()
    {
        for (var sequence = state.Policy.First(); sequence is not null; sequence = state.Policy.Next(sequence))
        {
            if (sequence.Plan == state.Plan || !state.Timelines.IsObserved(sequence.LastStep))
            {
                continue;
            }

            foreach (var row in sequence.Rows)
            {
                if (!row.Heap.IsNone)
                {
                    loop.DropRow(sequence, row);
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>What a step has too little of.</summary>
    private enum Lack
    {
        /// <summary>Bytes or rows that it can use.</summary>
        Room,

        /// <summary>What its client may pin.</summary>
        Pins,

        /// <summary>What its tenant may hold.</summary>
        Quota,
    }
}
