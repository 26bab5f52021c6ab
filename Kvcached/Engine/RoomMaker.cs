using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Finds bytes of the pool for the blocks of a plan: what is free, then what other layouts waste, then contiguous windows, which are copies, then what victims give up, then a window of
/// units emptied for the layout. While memory of the pool comes, nothing gives way to a plan: it waits for that. Among victims, tenants over their share go first: what others hold of them comes in whole windows of units.
/// </summary>
internal sealed class RoomMaker(EngineState state, TransferLoop loop, ColdSlots coldSlots, Compactor compactor, Windows windows)
{
    private readonly VictimSearch _victims = new(state, coldSlots);

    /// <summary>Whether blocks of the plan's own sequences have been evicted, other than those out of sight: what the plan counted on is to be measured again.</summary>
    public bool TookOwn { get; private set; }

    /// <summary>Whether the plan has found that there are no cold slots of some kind: it may fit once there are.</summary>
    public bool LacksColdSlots => coldSlots.FullKinds > 0;

    /// <summary>Starts a new search for victims: call once a plan.</summary>
    /// <param name="sparesOwn">Whether the plan's own sequences keep even those blocks that have left their sliding window.</param>
    public void BeginPlan(bool sparesOwn)
    {
        TookOwn = false;
        _victims.Begin(sparesOwn);
        coldSlots.Begin();
    }

    /// <summary>Finds bytes for a block of a layout, evicting other blocks where none are free.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="lane">The lane that will use them.</param>
    /// <param name="newlyPinned">Bytes that its client will pin by the plan, these included.</param>
    /// <param name="bytes">Where they are.</param>
    /// <param name="frontier">What must be reached before they are written.</param>
    public bool TryMakeRoom(int layout, LaneState lane, long newlyPinned, out BlockAddress bytes, out Frontier frontier)
    {
        while (!state.Pool.TryAllocate(layout, lane.Number, out bytes, out frontier))
        {
            if (state.Pool.IsGrowing || !TryClear(layout, lane, newlyPinned))
            {
                return false;
            }
        }

        return true;
    }

    private bool TryClear(int layout, LaneState lane, long newlyPinned) =>
        compactor.TryMakeSegment(layout, lane)
        || (!state.Pool.IsGrowing
            && (TryDropWindow(lane) || TryEvictByShare(layout, lane, newlyPinned) || TryEmptyWindow(layout, lane, newlyPinned) || TryTake(layout, lane, newlyPinned, Taking.OverMin)));

    /// <summary>
    /// Finds a run of units for a window, as for a block; at last it evicts blocks of the plan's own sequences that lie in the way, which come back
    /// elsewhere with the step. Before the plan reserves blocks.
    /// </summary>
    public bool TryMakeRun(int layout, LaneState lane, long newlyPinned, out BlockAddress bytes, out Frontier frontier)
    {
        if (TryMakeRoom(layout, lane, newlyPinned, out bytes, out frontier))
        {
            return true;
        }

        if (state.Pool.IsGrowing)
        {
            return false;
        }

        TookOwn = _victims.TakesOwn = true;
        var isMade = TryEmptyWindow(layout, lane, newlyPinned) && state.Pool.TryAllocate(layout, lane.Number, out bytes, out frontier);
        _victims.TakesOwn = false;
        return isMade;
    }

    /// <summary>Evicts blocks that have left the sliding window of one of the plan's sequences. False if some are left.</summary>
    public bool TryEvictUnseen(SequenceState sequence, SequenceRow row, LaneState lane)
    {
        for (var i = 0; i < row.FirstVisible && row.ResidentBlocks > 0; i++)
        {
            if (state.Blocks[row[i]].IsResident && !loop.TryGiveUp(sequence, row[i], lane))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Empties the units behind a run that starts where one of a larger order may, so that it can grow to that where it lies.</summary>
    /// <returns>False if none may start there, or something keeps them.</returns>
    public bool TryEmptyBehind(int start, int order, int larger, LaneState lane)
    {
        var (behind, units) = (start + (1 << order), (1 << larger) - (1 << order));
        return (start & ((1 << larger) - 1)) == 0 && behind + units <= state.Pool.Units.Count && _victims.CanEmpty(behind, units, lane) && TryEmpty(behind, units, lane);
    }

    /// <summary>
    /// Has the lane's tenant give up idle blocks and windows until it holds no more than so many bytes. Nothing takes their bytes at once, should the plan
    /// come to nothing: the client may have to be able to pin them until they are free.
    /// </summary>
    public bool TryShrink(LaneState lane, long bytes)
    {
        var tenant = lane.Client.Tenant;
        while (tenant.ResidentBytes > bytes && _victims.TryNextOfTenant(lane, out var sequence, out var number))
        {
            if (state.Blocks[number].IsWindow)
            {
                DropWindow(sequence, number);
            }
            else
            {
                loop.TryGiveUp(sequence, number, lane);
            }
        }

        return tenant.ResidentBytes <= bytes || RuleFaults.Is(RuleFault.MaxNotApplied);
    }

    private bool TryDropWindow(LaneState lane)
    {
        if (!_victims.TryNextWindow(lane, out var sequence, out var number))
        {
            return false;
        }

        DropWindow(sequence, number);
        return true;
    }

    private void DropWindow(SequenceState sequence, int number)
    {
        windows.Drop(sequence, sequence.Rows[state.Blocks[number].Row].Window!);
        state.Counters.WindowsDropped++;
    }

    /// <summary>Takes from tenants over their share, the lane's own if it is one of them: what was used longest ago.</summary>
    private bool TryEvictByShare(int layout, LaneState lane, long newlyPinned)
    {
        if (!state.Tenants.AreSeveral)
        {
            return TryEvictOne(layout, lane);
        }

        state.Tenants.CountShares();
        return !lane.Client.Tenant.IsOverShare || _victims.IsOtherOlder(layout, lane)
            ? TryTake(layout, lane, newlyPinned, Taking.OverShare) || TryEvictOne(layout, lane)
            : TryEvictOne(layout, lane) || TryTake(layout, lane, newlyPinned, Taking.OverShare);
    }

    /// <summary>Empties a window of units that other tenants hold, and carves it.</summary>
    private bool TryTake(int layout, LaneState lane, long newlyPinned, Taking taking)
    {
        while (state.Tenants.AreSeveral && CanPinWindow(layout, lane, newlyPinned) && _victims.TryNextOfOthers(layout, lane, taking, out var start))
        {
            if (state.Pool.Units.AskWindow(start, state.Pool.SegmentOrder(layout)))
            {
                return false;
            }

            if (TryEmpty(start, 1 << state.Pool.SegmentOrder(layout), lane))
            {
                return state.Pool.TryCarveWindow(layout, start, lane.Number);
            }
        }

        return false;
    }

    private bool TryEvictOne(int layout, LaneState lane)
    {
        while (_victims.TryNext(layout, lane, out var sequence, out var number))
        {
            if (loop.TryEvict(sequence, number, lane))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether a lane may empty a window of units for a block: copies out may stand behind live steps of its client, which pins the rest of the window then, too.</summary>
    private bool CanPinWindow(int layout, LaneState lane, long newlyPinned)
    {
        var rest = (state.Options.UnitBytes << state.Pool.SegmentOrder(layout)) - state.Pool.BlockBytes(layout);
        return !state.IsAnythingUnderWay(lane.Client) || state.CanPin(lane.Client, newlyPinned + rest);
    }

    /// <summary>Empties a window of units that other layouts of the tenant hold, and carves it.</summary>
    private bool TryEmptyWindow(int layout, LaneState lane, long newlyPinned)
    {
        // A window fails where cold memory turns out to be full; blocks that would have to be copied out then count as no victims.
        while (CanPinWindow(layout, lane, newlyPinned) && _victims.TryChooseWindow(layout, lane, out var start))
        {
            if (state.Pool.Units.AskWindow(start, state.Pool.SegmentOrder(layout)))
            {
                return false;
            }

            var knownFull = coldSlots.FullKinds;
            if (TryEmpty(start, 1 << state.Pool.SegmentOrder(layout), lane))
            {
                return state.Pool.TryCarveWindow(layout, start, lane.Number);
            }

            if (coldSlots.FullKinds == knownFull)
            {
                return false;
            }
        }

        return false;
    }

    private bool TryEmpty(int start, int units, LaneState lane)
    {
        for (var unit = start; unit < start + units; unit += state.Pool.Units[unit].Units)
        {
            var segment = state.Pool.Units[unit];
            for (var block = 0; segment.State == SegmentState.InUse && block < segment.Fresh; block++)
            {
                var use = segment.Uses[block];
                if (use.IsHeld && !TryGiveUp(use.Holder, lane))
                {
                    return false;
                }
            }
        }

        return true;
    }

    private bool TryGiveUp(int number, LaneState lane)
    {
        var sequence = state.Sequences[state.Blocks[number].Sequence];
        if (!state.Blocks[number].IsWindow)
        {
            return loop.TryEvict(sequence, number, lane);
        }

        DropWindow(sequence, number);
        return true;
    }
}
