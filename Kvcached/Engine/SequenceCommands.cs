using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Commands on sequences. Truncate and free apply to steps begun later: where a step of the sequence still waits, they are noted on that step
/// and done once it has been planned.
/// </summary>
internal sealed class SequenceCommands(EngineState state, TransferLoop loop, Windows windows)
{
    public const int MaxTokens = int.MaxValue / 2;

    /// <summary>The client's sequence that a handle names.</summary>
    public SequenceState Find(ClientState client, SequenceHandle handle)
    {
        client.ThrowIfCondemned();
        var sequence = state.Sequences.Find(handle);
        if (sequence is null || IsFreed(sequence))
        {
            throw new KvException(KvError.StaleHandle, $"Sequence handle {handle.Index}:{handle.Generation} is stale: its sequence has been freed.");
        }

        return sequence.Client == client.Number || RuleFaults.Is(RuleFault.OwnerNotChecked) ? sequence : throw new KvException(KvError.ForeignHandle, $"Sequence {sequence.Id} is another client's.");
    }

    public SequenceHandle Create(ClientState client, int model, uint? id = null)
    {
        client.ThrowIfCondemned();
        if ((uint)model >= (uint)state.Models.Count || state.Models[model].Client != client.Number)
        {
            throw new KvException(KvError.ForeignHandle, $"Model {model} is not one of the client's.");
        }

        var sequence = state.Sequences.Create(client.Number, model, state.Models[model].Layouts.Length)
            ?? throw new KvException(KvError.CapacityExceeded, $"The cache holds {state.Sequences.Capacity} sequences, which is its limit.");
        sequence.Id = id ?? sequence.Id;
        return sequence.Handle;
    }

    public void Truncate(ClientState client, SequenceHandle handle, int tokens)
    {
        var sequence = Find(client, handle);
        if (tokens < 0 || tokens > sequence.BegunTokens)
        {
            throw new KvException(KvError.InvalidArgument, $"Cannot keep {tokens} tokens of a sequence that has {sequence.BegunTokens}.");
        }

        if (sequence.WaitingSteps > 0 && !RuleFaults.Is(RuleFault.TruncateOvertakesStep))
        {
            ref var item = ref LastWaiting(sequence);
            item.TruncateAfter = item.TruncateAfter < 0 ? tokens : Math.Min(item.TruncateAfter, tokens);
            sequence.BegunTokens = tokens;
            sequence.CommittedTokens = Math.Min(sequence.CommittedTokens, RuleFaults.Is(RuleFault.TokensStayCommitted) ? int.MaxValue : tokens);
            return;
        }

        Apply(sequence, tokens);
        sequence.BegunTokens = sequence.Tokens;
    }

    public void Free(ClientState client, SequenceHandle handle)
    {
        var sequence = Find(client, handle);
        if (sequence.WaitingSteps > 0)
        {
            LastWaiting(sequence).FreeAfter = true;
            return;
        }

        End(sequence);
    }

    /// <summary>Tells token ids, from the first not told yet on. A seam: hashing and sharing of full blocks come with prefix sharing.</summary>
    public void Commit(ClientState client, SequenceHandle handle, int count)
    {
        var sequence = Find(client, handle);
        if (count > sequence.BegunTokens - sequence.CommittedTokens)
        {
            throw new KvException(KvError.InvalidArgument, $"{count} token ids, but only {sequence.BegunTokens - sequence.CommittedTokens} of the sequence's {sequence.BegunTokens} tokens have not been committed.");
        }

        sequence.CommittedTokens += count;
    }

    /// <summary>Opens a sequence's contiguous window for a layout, for steps begun later.</summary>
    public void OpenWindow(ClientState client, SequenceHandle handle, int layout) => windows.Open(FindWithLayout(client, handle, layout), layout);

    /// <summary>Closes a window, for steps begun later.</summary>
    public void CloseWindow(ClientState client, SequenceHandle handle, int layout) => windows.Close(FindWithLayout(client, handle, layout), layout);

    public long WindowBytes(ClientState client, SequenceHandle handle, int layout) => windows.BytesOf(FindWithLayout(client, handle, layout), layout);

    /// <summary>Lets go of what ended steps pinned.</summary>
    public void EndSteps(LaneState lane)
    {
        var observed = state.Timelines.Observed(Point.TimelineOf(lane.Number, TimelineKind.End));
        while (lane.Ended < observed)
        {
            var number = ++lane.Ended;
            var end = lane.EndOf(number);
            foreach (ref var item in lane.StepAt(number).Batch)
            {
                var sequence = state.Sequences.Find(item.Sequence);
                if (sequence is not null && sequence.LastStep == end)
                {
                    Settle(sequence);
                }
            }
        }
    }

    public void NoteWaiting(LaneState lane, StepRecord step)
    {
        for (var i = 0; i < step.Count; i++)
        {
            var sequence = state.Sequences[step.Items[i].Sequence.Index];
            sequence.WaitingSteps++;
            sequence.WaitingLane = lane.Number;
            sequence.WaitingStep = step.Number;
            sequence.WaitingItem = i;
            if (sequence.Refused)
            {
                // A truncate noted on a step before this one has cleared the refusal by the time that this one is planned.
                CountBegun(lane, sequence);
            }
            else
            {
                sequence.BegunTokens += step.Items[i].NewTokens;
            }
        }
    }

    /// <summary>A step that waited has been planned: does what the client asked for after it.</summary>
    public void NoteServed(LaneState lane, StepRecord step)
    {
        foreach (ref var item in step.Batch)
        {
            var sequence = state.Sequences[item.Sequence.Index];
            sequence.WaitingSteps--;
            if (item.TruncateAfter >= 0)
            {
                Apply(sequence, Math.Min(item.TruncateAfter, sequence.Tokens));
            }

            if (item.FreeAfter)
            {
                End(sequence);
            }
            else if (step.Status != KvStepStatus.Accepted || item.TruncateAfter >= 0 || sequence.Refused)
            {
                CountBegun(lane, sequence);
            }

            windows.DropClosed(sequence);
        }
    }

    /// <summary>Forgets the steps of a lane that wait: they are never published. What was asked for after them is not done either.</summary>
    public void DropWaiting(LaneState lane)
    {
        for (; lane.Begun > lane.Planned; lane.Begun--)
        {
            foreach (ref var item in lane.StepAt(lane.Begun).Batch)
            {
                var sequence = state.Sequences[item.Sequence.Index];
                sequence.WaitingSteps = 0;
                sequence.BegunTokens = sequence.Tokens;
                sequence.CommittedTokens = Math.Min(sequence.CommittedTokens, sequence.Tokens);
                windows.DropClosed(sequence);
            }
        }
    }

    private SequenceState FindWithLayout(ClientState client, SequenceHandle handle, int layout)
    {
        var sequence = Find(client, handle);
        KvCacheOptions.Check(nameof(layout), layout, 0, state.Models[sequence.Model].Layouts.Length - 1, 1);
        return sequence;
    }

    private bool IsFreed(SequenceState sequence) => sequence.WaitingSteps > 0 && LastWaiting(sequence).FreeAfter;

    private ref StepItemState LastWaiting(SequenceState sequence) =>
        ref state.Lanes[sequence.WaitingLane]!.StepAt(sequence.WaitingStep).Items[sequence.WaitingItem];

    private void Settle(SequenceState sequence)
    {
        state.SetLive(sequence, false);
        foreach (var row in sequence.Rows)
        {
            row.Covered = 0;
        }
    }

    /// <summary>Keeps the first tokens; blocks beyond go, each with the frontier that it has.</summary>
    private void Apply(SequenceState sequence, int tokens)
    {
        sequence.Refused = false;
        sequence.Tokens = Math.Min(tokens, sequence.Tokens);
        sequence.CommittedTokens = Math.Min(sequence.CommittedTokens, sequence.Tokens);
        var layouts = state.Models[sequence.Model].Layouts;
        for (var r = 0; r < layouts.Length; r++)
        {
            var row = sequence.Rows[r];
            var keep = layouts[r].BlocksFor(sequence.Tokens);
            while (row.Count > keep)
            {
                RemoveLast(sequence, row, layouts[r]);
            }

            if (RuleFaults.Is(RuleFault.VersionByTruncateOnly) && row.Count > 0 && state.Blocks[row[row.Count - 1]].IsResident)
            {
                loop.NewVersion(ref state.Blocks[row[row.Count - 1]]);
            }

            row.DirtyHigh = Math.Min(row.DirtyHigh, row.Count);
            row.CleanCursor = Math.Min(row.CleanCursor, Math.Max(0, row.Count - 1));
            windows.Truncate(sequence, r);
        }

        loop.DropRowsIfEmpty(sequence);
    }

    private void RemoveLast(SequenceState sequence, SequenceRow row, in ModelLayout layout)
    {
        var number = row.RemoveLast();
        ref var block = ref state.Blocks[number];
        if (block.IsResident)
        {
            state.Pool.Free(block.Device, state.Tracker.BytesOf(ref block, sequence));
            state.Runs.Remove(row, block.Index);
            state.AddResident(sequence, -layout.BlockBytes);
            row.ResidentBlocks--;
        }
        else
        {
            row.Missing -= block.Index >= row.FirstVisible ? 1 : 0;
            state.TenantOf(sequence).EvictedBytes -= layout.BlockBytes;
        }

        if (!block.Cold.IsNone)
        {
            state.Cold.Pool.Free(state.TakeSlot(ref block), state.Tracker.SlotOf(ref block));
        }

        row.FirstVisible = Math.Min(row.FirstVisible, row.Count);
        state.Blocks.Delete(number);
    }

    /// <summary>Ends a sequence that no step waits with: what it has is free with the frontiers that it has.</summary>
    public void End(SequenceState sequence)
    {
        Apply(sequence, 0);
        Settle(sequence);

        state.Policy.Forget(sequence);
        state.Sequences.Delete(sequence);
    }

    /// <summary>Counts the tokens that the client sees: the sequence's own, and those of its steps that still wait.</summary>
    private void CountBegun(LaneState lane, SequenceState sequence)
    {
        sequence.BegunTokens = sequence.Tokens;
        var refused = sequence.Refused;
        for (var number = lane.Planned + 1; sequence.WaitingSteps > 0 && number <= lane.Begun; number++)
        {
            foreach (ref var item in lane.StepAt(number).Batch)
            {
                if (item.Sequence != sequence.Handle)
                {
                    continue;
                }

                sequence.BegunTokens += refused ? 0 : item.NewTokens;
                if (item.TruncateAfter >= 0)
                {
                    refused = false;
                    sequence.BegunTokens = Math.Min(sequence.BegunTokens, item.TruncateAfter);
                }
            }
        }

        sequence.CommittedTokens = Math.Min(sequence.CommittedTokens, sequence.BegunTokens);
    }
}
