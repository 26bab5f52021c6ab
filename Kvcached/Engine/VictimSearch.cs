using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>Which other tenants' blocks are victims.</summary>
internal enum Taking
{
    /// <summary>None.</summary>
    Own,

    /// <summary>Those of tenants over their share.</summary>
    OverShare,

    /// <summary>Those of tenants over what they are guaranteed.</summary>
    OverMin,
}

/// <summary>
/// Walks the sequences in the policy's order and finds blocks whose bytes a lane may reuse enqueue-ahead: every point not yet observed is the
/// lane's own or the background's (I2), and the sequence is not one of the plan's.
/// </summary>
internal sealed class VictimSearch(EngineState state, ColdSlots coldSlots)
{
    private Cursor[] _cursors = [];

    /// <summary>Per layout of the pool, for either way to take from other tenants.</summary>
    private Cursor[] _others = [];

    private Cursor _windows;
    private Cursor _ofTenant;
    private ulong _searches;
    private ulong _costs;
    private bool _sparesOwn;

    /// <summary>Whether blocks of the plan's own sequences are victims too.</summary>
    public bool TakesOwn { get; set; }

    public void Begin(bool sparesOwn)
    {
        _sparesOwn = sparesOwn;
        TakesOwn = false;
        _cursors.AsSpan().Clear();
        _others.AsSpan().Clear();
        _windows = _ofTenant = default;
        while (state.Policy.First() is { ResidentBytes: 0 } empty)
        {
            state.Policy.Forget(empty);
        }
    }

    /// <summary>Finds the next victim of a layout. A plan sees every block at most once.</summary>
    public bool TryNext(int layout, LaneState lane, out SequenceState sequence, out int number)
    {
        if (layout >= _cursors.Length)
        {
            Array.Resize(ref _cursors, layout + 1);
        }

        ref var cursor = ref _cursors[layout];
        if (!cursor.Started)
        {
            cursor = new Cursor { Started = true, Sequence = state.Policy.First() };
        }

        while (cursor.Sequence is { } candidate)
        {
            if (TryNextOf(candidate, layout, lane, ref cursor, out number))
            {
                sequence = candidate;
                return true;
            }

            cursor = new Cursor { Started = true, Sequence = state.Policy.Next(candidate) };
        }

        (sequence, number) = (null!, 0);
        return false;
    }

    /// <summary>Finds the next victim among all blocks and windows of the lane's tenant. A plan sees every one at most once.</summary>
    public bool TryNextOfTenant(LaneState lane, out SequenceState sequence, out int number)
    {
        if (!_ofTenant.Started)
        {
            _ofTenant = new Cursor { Started = true, Sequence = state.Policy.First(), Index = BlockState.WindowIndex };
        }

        for (; _ofTenant.Sequence is { } candidate; _ofTenant = new Cursor { Started = true, Sequence = state.Policy.Next(candidate), Index = BlockState.WindowIndex })
        {
            if (state.TenantOf(candidate) == lane.Client.Tenant && TryNextOfAny(candidate, lane, ref _ofTenant, out number))
            {
                sequence = candidate;
                return true;
            }
        }

        (sequence, number) = (null!, 0);
        return false;
    }

    /// <summary>Whether the next sequence that would lose blocks to the lane is another tenant's, which is over its share, rather than one of the lane's.</summary>
    public bool IsOtherOlder(int layout, LaneState lane)
    {
        var other = OthersOf(layout, Taking.OverShare).Sequence;
        while (other is not null && !IsOfOther(other, lane, Taking.OverShare))
        {
            other = state.Policy.Next(other);
        }

        var own = layout < _cursors.Length && _cursors[layout].Started ? _cursors[layout].Sequence : state.Policy.First();
        while (own is not null && state.TenantOf(own) != lane.Client.Tenant)
        {
            own = state.Policy.Next(own);
        }

        return other is not null && (own is null || other.UsedAt < own.UsedAt);
    }

    /// <summary>Finds the next window of units for a layout in which a block of another tenant's lies that would go first. A plan sees every one at most once for either way to take.</summary>
    public bool TryNextOfOthers(int layout, LaneState lane, Taking taking, out int start)
    {
        ref var cursor = ref OthersOf(layout, taking);
        var size = 1 << state.Pool.SegmentOrder(layout);
        for (; cursor.Sequence is { } candidate; cursor = cursor with { Sequence = state.Policy.Next(candidate), Row = 0, Index = BlockState.WindowIndex })
        {
            while (IsOfOther(candidate, lane, taking) && TryNextOfAny(candidate, lane, ref cursor, out var number))
            {
                start = state.Blocks[number].Device.Segment & ~(size - 1);
                if (start + size <= state.Pool.Units.Count && state.Pool.Units[start].LookedAtBy != cursor.Search)
                {
                    state.Pool.Units[start].LookedAtBy = cursor.Search;
                    if (CostOf(start, size, layout, lane, taking, long.MaxValue) < long.MaxValue)
                    {
                        return true;
                    }
                }
            }
        }

        start = -1;
        return false;
    }

    /// <summary>Finds the next contiguous window whose bytes the lane may use. A plan sees every one at most once.</summary>
    public bool TryNextWindow(LaneState lane, out SequenceState sequence, out int number)
    {
        if (state.WindowBytes > 0 && !_windows.Started)
        {
            _windows = new Cursor { Started = true, Sequence = state.Policy.First() };
        }

        for (; state.WindowBytes > 0 && _windows.Sequence is { } candidate; _windows = new Cursor { Started = true, Sequence = state.Policy.Next(candidate) })
        {
            while (candidate.WindowBytes > 0 && _windows.Row < state.Models[candidate.Model].Layouts.Length)
            {
                if (candidate.Rows[_windows.Row++].Window is { HasBytes: true } window && (state.TenantOf(candidate) == lane.Client.Tenant || MayTake(state.TenantOf(candidate), state.Options.UnitBytes << window.Order, Taking.OverShare)) && IsVictim(candidate, window.Block, lane))
                {
                    (sequence, number) = (candidate, window.Block);
                    return true;
                }
            }
        }

        (sequence, number) = (null!, 0);
        return false;
    }

    /// <summary>Chooses the window of units that is cheapest to empty for a layout whose own blocks gave nothing.</summary>
    public bool TryChooseWindow(int layout, LaneState lane, out int start)
    {
        var units = state.Pool.Units;
        var size = 1 << state.Pool.SegmentOrder(layout);
        var best = long.MaxValue;
        start = -1;
        for (var first = 0; first + size <= units.Count; first += size)
        {
            var cost = CostOf(first, size, layout, lane, Taking.Own, best);
            if (cost < best)
            {
                (best, start) = (cost, first);
            }
        }

        return start >= 0;
    }

    /// <summary>Whether all that lies in a window of units is free or a victim.</summary>
    public bool CanEmpty(int first, int size, LaneState lane) => CostOf(first, size, layout: -1, lane, Taking.OverShare, long.MaxValue) < long.MaxValue;

    private bool TryNextOf(SequenceState sequence, int layout, LaneState lane, ref Cursor cursor, out int number)
    {
        var layouts = state.Models[sequence.Model].Layouts;
        for (; cursor.Row < layouts.Length; cursor.Row++, cursor.Index = 0)
        {
            var row = sequence.Rows[cursor.Row];
            if (layouts[cursor.Row].PoolLayout != layout || row.ResidentBlocks == 0)
            {
                continue;
            }

            while (cursor.Index < row.Count)
            {
                number = row[cursor.Index++];
                if (IsVictim(sequence, number, lane))
                {
                    return true;
                }
            }
        }

        number = 0;
        return false;
    }

    /// <summary>Finds the next victim of a sequence in whatever layout: its windows first, then its blocks.</summary>
    private bool TryNextOfAny(SequenceState sequence, LaneState lane, ref Cursor cursor, out int number)
    {
        for (; cursor.Row < state.Models[sequence.Model].Layouts.Length; cursor.Row++, cursor.Index = BlockState.WindowIndex)
        {
            var row = sequence.Rows[cursor.Row];
            while (cursor.Index < row.Count)
            {
                var index = cursor.Index++;
                number = index == BlockState.WindowIndex ? row.Window?.Block ?? -1 : row[index];
                if (number >= 0 && IsVictim(sequence, number, lane))
                {
                    return true;
                }
            }
        }

        number = 0;
        return false;
    }

    private ref Cursor OthersOf(int layout, Taking taking)
    {
        var index = (layout * 2) + (taking == Taking.OverShare ? 0 : 1);
        if (index >= _others.Length)
        {
            Array.Resize(ref _others, (layout + 1) * 2);
        }

        ref var cursor = ref _others[index];
        if (!cursor.Started)
        {
            cursor = new Cursor { Started = true, Sequence = state.Policy.First(), Index = BlockState.WindowIndex, Search = ++_searches };
        }

        return ref cursor;
    }

    /// <summary>Whether a sequence is of another tenant than the lane's, which may lose something.</summary>
    private bool IsOfOther(SequenceState sequence, LaneState lane, Taking taking) =>
        state.TenantOf(sequence) is var tenant && tenant != lane.Client.Tenant && MayTake(tenant, 1, taking);

    private bool MayTake(TenantState tenant, long bytes, Taking taking)
    {
        state.Tenants.CountShares();
        return taking != Taking.Own && tenant.ResidentBytes - bytes >= (taking == Taking.OverShare ? tenant.Share : RuleFaults.Is(RuleFault.TakenBelowMin) ? 0 : tenant.Limits.MinBytes);
    }

    private bool IsVictim(SequenceState sequence, int number, LaneState lane)
    {
        ref var block = ref state.Blocks[number];
        return block.IsResident
            && (block.IsWindow ? sequence.Plan != state.Plan : IsVictim(sequence, in block, lane))
            && FrontierHome.Of(state.Tracker.BytesOf(ref block, sequence).Points, state.Timelines).IsUsableBy(lane.Number);
    }

    private bool IsVictim(SequenceState sequence, ref readonly BlockState block, LaneState lane) =>
        (sequence.Plan != state.Plan || TakesOwn || (!_sparesOwn && block.Index < sequence.Rows[block.Row].FirstVisible))
        && (block.IsClean || !coldSlots.IsFull(state.LayoutOf(sequence, block.Row).ColdLayout, sequence.Client == lane.Client.Number ? lane.Number : Point.BackgroundLane));

    private long CostOf(int first, int size, int layout, LaneState lane, Taking taking, long limit)
    {
        var cost = 0L;
        _costs++;
        for (var unit = first; unit < first + size; unit += state.Pool.Units[unit].Units)
        {
            var segment = state.Pool.Units[unit];
            if (segment.State == SegmentState.Interior
                || (segment.State == SegmentState.InUse && segment.Layout == layout)
                || !state.Pool.IsUsableBy(segment, lane.Number))
            {
                return long.MaxValue;
            }

            if (segment.State == SegmentState.Free)
            {
                continue;
            }

            var used = segment.Used * state.Pool.BlockBytes(segment.Layout);
            if (used > 0 && state.Tenants[state.Pool.TenantOf(segment.Layout)] is var tenant && tenant != lane.Client.Tenant && !MayTakeToo(tenant, used, taking))
            {
                return long.MaxValue;
            }

            cost += used;
            for (var block = 0; block < segment.Fresh && cost < limit; block++)
            {
                var use = segment.Uses[block];
                if (use.IsReserved || (use.IsHeld && !IsVictim(state.Sequences[state.Blocks[use.Holder].Sequence], use.Holder, lane)))
                {
                    return long.MaxValue;
                }
            }
        }

        return cost;
    }

    /// <summary>Whether a tenant may lose these bytes beside those that the same window takes from it.</summary>
    private bool MayTakeToo(TenantState tenant, long bytes, Taking taking)
    {
        (tenant.Taken, tenant.TakenBy) = ((tenant.TakenBy == _costs ? tenant.Taken : 0) + bytes, _costs);
        return MayTake(tenant, tenant.Taken, taking);
    }

    private struct Cursor
    {
        public ulong Search;
        public bool Started;
        public SequenceState? Sequence;
        public int Row;
        public int Index;
    }
}
