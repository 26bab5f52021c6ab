using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Plans a step against limits and reserves all that it needs, then commits it whole, or gives the reservations back (I10). Evictions made on
/// the way stand: they are complete by themselves.
/// </summary>
internal sealed class StepPlanner(EngineState state, TransferLoop loop)
{
    private readonly StepPublisher _publisher = new(state, loop);
    private readonly Reservations _reservations = new();
    private LaneState? _reservedFor;

    /// <summary>Tries to commit the lane's next step.</summary>
    /// <returns>Accepted, Busy (nothing has changed), NeverFits or NoRoom (the step is not committed: refuse it).</returns>
    public KvStepStatus TryCommit(LaneState lane, StepRecord step)
    {
        state.Plan++;
        loop.BeginPlan();
        _reservations.Clear();
        var demand = Measure(step);
        var status = CheckLimits(lane, demand);
        if (status != KvStepStatus.Accepted)
        {
            return status;
        }

        if (!TryReserve(lane, step, demand.NewBytes))
        {
            _reservations.GiveBack(state);
            loop.Flush(lane);
            if (!state.IsAnythingUnderWay())
            {
                return KvStepStatus.NoRoom;
            }

            // A lane whose client has no live step waits for others alone: it goes first once there is room.
            if (_reservedFor is null && !HasLive(lane.Client))
            {
                _reservedFor = lane;
            }

            return KvStepStatus.Busy;
        }

        _publisher.Commit(lane, step, _reservations);
        Release(lane);
        return KvStepStatus.Accepted;
    }

    /// <summary>Publishes refused views for a step: kernels find nothing to do, now and in later steps of the same sequences.</summary>
    public void Refuse(LaneState lane, StepRecord step)
    {
        _publisher.Refuse(lane, step);
        Release(lane);
    }

    private void Release(LaneState lane)
    {
        if (_reservedFor == lane)
        {
            _reservedFor = null;
        }
    }

    private static bool HasLive(ClientState client)
    {
        foreach (var lane in client.Lanes)
        {
            if (lane.HasLive)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>What a step needs: bytes of the pool that it does not have, and bytes that it would pin in all, and beyond what is pinned.</summary>
    private Demand Measure(StepRecord step)
    {
        var demand = default(Demand);
        foreach (ref var item in step.Batch)
        {
            var sequence = state.Sequences[item.Sequence.Index];
            if (sequence.Refused)
            {
                continue;
            }

            sequence.Plan = state.Plan;
            var layouts = state.Models[sequence.Model].Layouts;
            var held = sequence.ResidentBytes;
            for (var r = 0; r < layouts.Length; r++)
            {
                var row = sequence.Rows[r];
                ShowFrom(row, layouts[r].FirstVisibleBlock(sequence.Tokens, item.NewTokens));
                var count = layouts[r].BlocksFor(sequence.Tokens + item.NewTokens);
                demand.MaxRowEntries = Math.Max(demand.MaxRowEntries, count);
                var bytes = (row.Missing + count - row.Count) * layouts[r].BlockBytes;
                demand.NewBytes += bytes;
                held += bytes;
                demand.NewlyPinned += bytes;
            }

            demand.Bytes += held;
            if (!sequence.IsLive)
            {
                demand.NewlyPinned += sequence.ResidentBytes;
            }
        }

        return demand;
    }

    private KvStepStatus CheckLimits(LaneState lane, Demand demand)
    {
        if (demand.Bytes > lane.Client.MaxPinnedBytes || demand.Bytes > state.Options.Pool.Bytes || demand.MaxRowEntries > state.Rows.MaxEntries)
        {
            return KvStepStatus.NeverFits;
        }

        // Both pass: what is pinned is let go of when steps end, and who holds the reservation is served or refused before that.
        var overPinned = demand.NewlyPinned > 0 && state.PinnedBytes(lane.Client) + demand.NewlyPinned > lane.Client.MaxPinnedBytes;
        var behindReservation = demand.NewBytes > 0 && _reservedFor is not null && _reservedFor != lane && (_reservedFor.Client == lane.Client || !HasLive(_reservedFor.Client));
        return overPinned || behindReservation ? KvStepStatus.Busy : KvStepStatus.Accepted;
    }

    private bool TryReserve(LaneState lane, StepRecord step, long newBytes)
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
                if (NeedsFreshRow(sequence, row, count) && !TryReserveRow(lane, row, count))
                {
                    return false;
                }

                for (var needed = newBytes == 0 ? 0 : row.Missing + count - row.Count; needed > 0; needed--)
                {
                    if (!loop.TryMakeRoom(layouts[r].PoolLayout, lane, out var bytes, out var frontier))
                    {
                        return false;
                    }

                    _reservations.AddBlock(bytes, frontier);
                }
            }
        }

        return true;
    }

    /// <summary>
    /// Whether the next publish may not write the row that is there: it is too short, or an entry that a live step's view covers would change (I4).
    /// </summary>
    private static bool NeedsFreshRow(SequenceState sequence, SequenceRow row, int count)
    {
        if (row.Capacity < count || row.Heap.IsNone)
        {
            return count > 0;
        }

        if (!sequence.IsLive || RuleFaults.Is(RuleFault.CoveredEntryWritten))
        {
            return false;
        }

        var lowest = row.Missing > 0 ? 0 : Math.Min(row.DirtyLow, count > row.Count ? row.Count : int.MaxValue);
        return lowest < row.Covered;
    }

    private bool TryReserveRow(LaneState lane, SequenceRow row, int entries)
    {
        var capacity = Tables.RowHeap.CapacityFor(entries);
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

    /// <summary>Moves the first visible block, and counts again what is missing from there on.</summary>
    private void ShowFrom(SequenceRow row, int first)
    {
        first = Math.Min(first, row.Count);
        if (first == row.FirstVisible)
        {
            return;
        }

        for (var i = row.FirstVisible; i < first; i++)
        {
            row.Missing -= state.Blocks[row[i]].IsResident ? 0 : 1;
        }

        for (var i = first; i < row.FirstVisible; i++)
        {
            // Nothing kept the entry of a block that was out of sight.
            row.Missing += state.Blocks[row[i]].IsResident ? 0 : 1;
            row.MarkDirty(i);
        }

        row.FirstVisible = first;
    }

    private struct Demand
    {
        public long NewBytes;
        public long NewlyPinned;
        public long Bytes;
        public int MaxRowEntries;
    }
}
