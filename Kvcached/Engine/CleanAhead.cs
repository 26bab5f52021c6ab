using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Cleans ahead of need while the background queue is idle: full blocks whose writers have been observed, of the sequences that would go first,
/// so that an eviction finds them clean and only drops them.
/// </summary>
internal sealed class CleanAhead(EngineState state, TransferLoop loop, RoomMaker room)
{
    /// <summary>Sequences looked at in a turn.</summary>
    private const int SequenceBudget = 16;

    public void Run()
    {
        var budget = state.Options.CleanAheadBlocks;
        if (budget == 0 || state.Cold.Memory is null || !state.IsBackgroundIdle || !IsWanted())
        {
            return;
        }

        room.BeginPlan(sparesOwn: true);
        var sequences = SequenceBudget;
        for (var sequence = state.Policy.First(); sequence is not null && sequences-- > 0 && budget > 0; sequence = state.Policy.Next(sequence))
        {
            Clean(sequence, ref budget);
        }

        loop.Flush(null);
    }

    /// <summary>The pool is more than half full, and the cold tier has room to spare.</summary>
    private bool IsWanted() => state.Pool.UsedBytes * 2 > state.Options.Pool.Bytes && state.Cold.Pool.UsedBytes * 4 < state.Cold.Memory!.Bytes * 3;

    private void Clean(SequenceState sequence, ref int budget)
    {
        var layouts = state.Models[sequence.Model].Layouts;
        for (var r = 0; r < layouts.Length; r++)
        {
            var row = sequence.Rows[r];
            var full = sequence.Tokens >> (int)layouts[r].Shape.TokensPerBlockShift;
            for (; row.CleanCursor < full && budget > 0; row.CleanCursor++)
            {
                ref var block = ref state.Blocks[row[row.CleanCursor]];
                if (block.IsClean || !block.IsResident)
                {
                    continue;
                }

                if (!loop.TryClean(sequence, row[row.CleanCursor], null))
                {
                    break;
                }

                budget--;
            }
        }
    }
}
