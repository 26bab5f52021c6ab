using System.Runtime.InteropServices;
using Kvcached.Kernels;
using Kvcached.Memory;
using Kvcached.Sequences;
using Kvcached.Tables;

namespace Kvcached.Engine;

/// <summary>
/// Commits a step that has been planned: reloads, then the publish, which writes dirty and new entries and the views and signals the begin
/// point. A resident decode step costs one pass over its batch.
/// </summary>
internal sealed class StepPublisher(EngineState state, TransferLoop loop, Windows windows)
{
    public void Commit(LaneState lane, StepRecord step, Reservations reservations)
    {
        var end = lane.EndOf(step.Number);
        lane.Publish.Open(lane.BeginOf(step.Number));
        var views = StageViews(lane, step);
        var layouts = state.Models[step.Model].Layouts;
        var gathering = 0UL;
        for (var i = 0; i < step.Count; i++)
        {
            ref var item = ref step.Items[i];
            var sequence = state.Sequences[item.Sequence.Index];
            for (var r = 0; r < layouts.Length; r++)
            {
                if (Windows.IsOpen(item.Windows, r) && !sequence.Refused && CommitWindow(lane, step, i, r, end))
                {
                    gathering |= 1UL << r;
                }

                ref var view = ref views[(r * lane.MaxBatch) + i];
                view = sequence.Refused
                    ? new SequenceView { Flags = ViewFlags.Refused, SequenceId = sequence.Id }
                    : CommitRow(lane, sequence, r, item.NewTokens, end, reservations);
            }

            if (!sequence.Refused)
            {
                Stamp(sequence, lane, item.NewTokens, end);
            }
        }

        lane.Client.Tenant.Counters.Steps++;
        PublishViews(lane, step, layouts, gathering);
        if (RuleFaults.Is(RuleFault.PublishBeforeCopyIn) && lane.Transfers.IsOpen)
        {
            FlushWrongly(lane);
            return;
        }

        loop.Flush(lane);
        lane.Publish.Submit(state.Submitter);
        state.Counters.Steps++;
    }

    public void Refuse(LaneState lane, StepRecord step)
    {
        lane.Publish.Open(lane.BeginOf(step.Number));
        var views = StageViews(lane, step);
        var layouts = state.Models[step.Model].Layouts;
        for (var i = 0; i < step.Count; i++)
        {
            var sequence = state.Sequences[step.Items[i].Sequence.Index];
            sequence.Refused = !RuleFaults.Is(RuleFault.RefusalNotCarried);
            for (var r = 0; r < layouts.Length; r++)
            {
                views[(r * lane.MaxBatch) + i] = new SequenceView { Flags = ViewFlags.Refused, SequenceId = sequence.Id };
            }
        }

        PublishViews(lane, step, layouts, gathering: 0);
        loop.Flush(lane);
        lane.Publish.Submit(state.Submitter);
        state.Counters.RefusedSteps++;
        lane.Client.Tenant.Counters.RefusedSteps++;
    }

    private SequenceView CommitRow(LaneState lane, SequenceState sequence, int r, int newTokens, Point end, Reservations reservations)
    {
        ref readonly var layout = ref state.LayoutOf(sequence, r);
        var row = sequence.Rows[r];
        var tokens = sequence.Tokens + newTokens;
        var count = layout.BlocksFor(tokens);
        for (var i = row.FirstVisible; row.Missing > 0; i++)
        {
            if (!state.Blocks[row[i]].IsResident)
            {
                ref readonly var frontier = ref reservations.TakeBlock(out var bytes);
                loop.Reload(sequence, row[i], lane, bytes, in frontier);
            }
        }

        if (newTokens > 0 && (sequence.Tokens & (layout.TokensPerBlock - 1)) != 0)
        {
            Append(lane, row.Last, end);
        }

        while (row.Count < count)
        {
            AddBlock(lane, sequence, r, in layout, end, reservations);
        }

        PublishEntries(lane, sequence, row, reservations);
        return new SequenceView
        {
            RowStart = row.Start,
            BlockCount = (uint)count,
            TokenCount = (uint)tokens,
            NewTokens = (uint)newTokens,
            FirstVisibleBlock = (uint)row.FirstVisible,
            SequenceId = sequence.Id,
        };
    }

    /// <summary>Stages the address of a window. Returns whether the publish has to gather tokens into it.</summary>
    private bool CommitWindow(LaneState lane, StepRecord step, int i, int r, Point end)
    {
        var sequence = state.Sequences[step.Items[i].Sequence.Index];
        var (offset, first) = windows.Commit(lane.Publish, sequence, r, step.Items[i].NewTokens, end);
        lane.Windows!.StagedAddresses(step.Number, r)[i] = lane.Windows.AddressAt(offset);
        lane.Windows.StagedFirst(step.Number, r)[i] = (uint)first;
        return first < sequence.Tokens;
    }

    /// <summary>The step writes into a block that has tokens: its cold copy is of a version that no longer is (I7).</summary>
    private void Append(LaneState lane, int number, Point end)
    {
        ref var block = ref state.Blocks[number];
        state.Tracker.Append(lane.Publish, ref block, end);
        if (RuleFaults.Is(RuleFault.ColdCopySurvivesAppend) || RuleFaults.Is(RuleFault.VersionByTruncateOnly))
        {
            return;
        }

        loop.NewVersion(ref block);
    }

    private void AddBlock(LaneState lane, SequenceState sequence, int r, in ModelLayout layout, Point end, Reservations reservations)
    {
        var row = sequence.Rows[r];
        var number = state.Blocks.Create(sequence.Index, r, row.Count);
        ref readonly var frontier = ref reservations.TakeBlock(out var bytes);
        ref var block = ref state.Blocks[number];
        block.Device = bytes;
        state.Pool.SetHolder(bytes, number);
        state.Tracker.NewBlock(lane.Publish, ref block, in frontier, state.Scrub(lane.Publish, bytes), end);
        row.MarkDirty(row.Count);
        row.Append(number);
        state.Runs.Add(row, block.Index);
        row.ResidentBlocks++;
        state.AddResident(sequence, layout.BlockBytes);
    }

    /// <summary>Writes dirty and new entries, into a fresh row where the plan reserved one.</summary>
    private void PublishEntries(LaneState lane, SequenceState sequence, SequenceRow row, Reservations reservations)
    {
        if (reservations.IsRowFor(row))
        {
            loop.DropRow(sequence, row);
            ref readonly var fresh = ref reservations.TakeRow();
            state.Tracker.Row(lane.Publish, in fresh.Frontier);
            row.Heap = fresh.Place;
            row.Capacity = fresh.Capacity;
            state.AddRow(sequence, RowHeap.BytesOf(fresh.Capacity));
            row.Start = state.Rows.StartOf(fresh.Place);
            row.DirtyLow = RuleFaults.Is(RuleFault.RowReplacedWithoutCopy) ? row.DirtyLow : row.FirstVisible;
            row.DirtyHigh = row.Count;
        }

        for (var i = row.DirtyLow; i < row.DirtyHigh; i++)
        {
            var bytes = state.Blocks[row[i]].Device;
            if (!bytes.IsNone)
            {
                lane.Publish.Commands.UpdateTable(state.Rows.Memory, row.Start + (uint)i, (uint)(state.Pool.OffsetOf(bytes) / KvShape.GranuleBytes));
            }
        }

        row.ClearDirty();
        row.Covered = Math.Max(row.Covered, row.Count);
    }

    private void Stamp(SequenceState sequence, LaneState lane, int newTokens, Point end)
    {
        state.Tracker.Step(lane.Publish, sequence, end);
        state.SetLive(sequence, true);

        sequence.Tokens += newTokens;
        if (sequence.WaitingSteps == 0)
        {
            sequence.BegunTokens = sequence.Tokens;
        }

        state.Policy.Touch(sequence);
    }

    private Span<SequenceView> StageViews(LaneState lane, StepRecord step)
    {
        lane.Windows?.Clear(step.Number, state.Models[step.Model].Layouts.Length, step.Count);
        return MemoryMarshal.Cast<byte, SequenceView>(lane.Staging.HostSpan(lane.StagingOffset(step.Number, 0), lane.MaxLayouts * lane.MaxBatch * SequenceView.Bytes));
    }

    /// <summary>Writes the views, and page tables and windows of them: entries have been written before.</summary>
    private void PublishViews(LaneState lane, StepRecord step, ModelLayout[] layouts, ulong gathering)
    {
        for (var r = 0; r < layouts.Length; r++)
        {
            var offset = lane.ViewOffset(step.Number, r);
            lane.Publish.Commands.Copy(lane.ViewRing, offset, lane.Staging, lane.StagingOffset(step.Number, r), (long)step.Count * SequenceView.Bytes);
            if (layouts[r].HasPageTable)
            {
                lane.PageTables?.Publish(lane.Publish.Commands, step.Number, r, layouts[r].Shape, lane.ViewRing.Address + (ulong)offset, step.Count, state.Rows.Memory.Address);
            }

            lane.Windows?.Publish(lane.Publish.Commands, step.Number, r, state.WindowArgumentsOf(lane, step, r), Windows.IsOpen(gathering, r));
        }
    }

    /// <summary>For the fault that puts the publish first.</summary>
    private void FlushWrongly(LaneState lane)
    {
        if (lane.Out.IsOpen)
        {
            lane.Out.Submit(state.Submitter);
        }

        lane.Publish.Submit(state.Submitter);
        loop.Flush(lane);
        state.Counters.Steps++;
    }
}
