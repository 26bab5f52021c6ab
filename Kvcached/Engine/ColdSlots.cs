using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>
/// Finds cold slots for copy-outs: free ones, or those of blocks that are on the device too and can be copied out again. A plan that has
/// found none looks no more.
/// </summary>
internal sealed class ColdSlots(EngineState state)
{
    /// <summary>Blocks looked at before a search for a slot to take back gives up.</summary>
    private const int ReclaimBudget = 1024;

    /// <summary>Per cold layout, for the background's copy-outs and for lanes'.</summary>
    private bool[] _full = [];

    /// <summary>How many kinds of slot this plan has found to be used up.</summary>
    public int FullKinds { get; private set; }

    public void Begin()
    {
        _full.AsSpan().Clear();
        FullKinds = 0;
    }

    /// <summary>Whether this plan has found that there is no slot of a layout for a lane's copy-outs, or the background's.</summary>
    public bool IsFull(int coldLayout, int lane)
    {
        if (coldLayout < 0)
        {
            return true;
        }

        var index = IndexOf(coldLayout, lane);
        if (index >= _full.Length)
        {
            Array.Resize(ref _full, (coldLayout + 1) * 2);
        }

        return _full[index];
    }

    /// <summary>
    /// Finds a slot that a copy-out of a lane, or of the background queue, may overwrite: a free one, or, where that may be, that of a block which can be
    /// copied out again. A plan that found none looks no more.
    /// </summary>
    public bool TryFind(in ModelLayout layout, int lane, bool mayTakeBack, out BlockAddress slot, out Frontier frontier)
    {
        (slot, frontier) = (default, default);
        if (layout.ColdLayout < 0 || IsFull(layout.ColdLayout, lane))
        {
            return false;
        }

        if (state.Cold.Pool.TryAllocate(layout.ColdLayout, lane, out slot, out frontier) || (mayTakeBack && TryReclaim(layout, lane, out slot, out frontier)))
        {
            return true;
        }

        _full[IndexOf(layout.ColdLayout, lane)] = true;
        FullKinds++;
        return false;
    }

    /// <summary>Takes the cold slot of a block that is clean and on the device: it can be copied out again.</summary>
    private bool TryReclaim(in ModelLayout layout, int lane, out BlockAddress slot, out Frontier frontier)
    {
        var budget = ReclaimBudget;
        for (var sequence = state.Policy.Last(); sequence is not null && budget > 0; sequence = state.Policy.Previous(sequence))
        {
            var layouts = state.Models[sequence.Model].Layouts;
            for (var r = 0; r < layouts.Length; r++)
            {
                var row = sequence.Rows[r];
                for (var i = 0; layouts[r].ColdLayout == layout.ColdLayout && i < row.Count && budget-- > 0; i++)
                {
                    ref var block = ref state.Blocks[row[i]];
                    // The copy-out also reads the block's bytes; the next one takes its place in the block's state, so it must be over.
                    if (!block.IsResident || block.Cold.IsNone || (!state.Timelines.IsObserved(block.CopyOut) && !RuleFaults.Is(RuleFault.SlotTakenWhileCopied)))
                    {
                        continue;
                    }

                    frontier = state.Tracker.SlotOf(ref block);
                    if (FrontierHome.Of(frontier.Points, state.Timelines).IsUsableBy(lane))
                    {
                        slot = state.TakeSlot(ref block);
                        row.CleanCursor = Math.Min(row.CleanCursor, i);
                        return true;
                    }
                }
            }
        }

        (slot, frontier) = (default, default);
        return false;
    }

    private static int IndexOf(int coldLayout, int lane) => (coldLayout * 2) + (lane == Point.BackgroundLane ? 0 : 1);
}
