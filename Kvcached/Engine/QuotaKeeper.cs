using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Has tenants that hold more than they may give up what no live step uses, the longest unused first, on the background queue: nobody but a tenant whose limit has been
/// lowered ever does, since a step that would take its tenant over the limit waits.
/// </summary>
internal sealed class QuotaKeeper(EngineState state, TransferLoop loop, RoomMaker room, Windows windows)
{
    /// <summary>Blocks that one turn evicts while the background queue is idle.</summary>
    private const int BlockBudget = 256;

    public void Run()
    {
        var isOver = false;
        foreach (var tenant in state.Tenants.All)
        {
            isOver |= tenant.ResidentBytes > tenant.Limits.MaxBytes;
        }

        if (!isOver || !state.IsBackgroundIdle)
        {
            return;
        }

        state.Plan++;
        room.BeginPlan(sparesOwn: true);
        var budget = BlockBudget;
        for (var sequence = state.Policy.First(); sequence is not null && budget > 0;)
        {
            // One that has nothing left is forgotten by the next plan, not by this one.
            if (state.TenantOf(sequence) is var tenant && IsOver(tenant) && state.Timelines.IsObserved(sequence.LastStep))
            {
                Shrink(sequence, tenant, ref budget);
            }

            sequence = state.Policy.Next(sequence);
        }

        loop.Flush(null);
    }

    private static bool IsOver(TenantState tenant) => tenant.ResidentBytes > tenant.Limits.MaxBytes;

    private void Shrink(SequenceState sequence, TenantState tenant, ref int budget)
    {
        windows.DropAll(sequence);
        for (var r = 0; r < state.Models[sequence.Model].Layouts.Length; r++)
        {
            var row = sequence.Rows[r];
            for (var i = 0; i < row.Count && row.ResidentBlocks > 0 && IsOver(tenant) && budget > 0; i++)
            {
                if (state.Blocks[row[i]].IsResident && loop.TryClean(sequence, row[i], null))
                {
                    loop.Drop(sequence, ref state.Blocks[row[i]]);
                    budget--;
                }
            }
        }

        loop.DropRowsIfEmpty(sequence);
    }
}
