using Kvcached.Memory;
using Kvcached.Sequences;
using Kvcached.Tables;

namespace Kvcached.Engine;

/// <summary>
/// The loop at the heart of the project: bytes of the pool pass from block to block, enqueued on device queues, and no host thread waits.
/// <code>
///   enqueue DMA: copy block A out to cold memory     TryClean, where A has no clean copy yet
///   enqueue DMA: copy block B into A's bytes         Drop, then Reload (waits on A's last readers and on the copy out)
///   enqueue table update: B's entry = A's offset     the next publish (StepPublisher)
///   enqueue the kernels that read B                  the client (they wait on the publish)
/// </code>
/// What waits on what is the access tracker's to derive. Submissions stay open until <see cref="Flush"/>, in the order out, background, in.
/// </summary>
internal sealed class TransferLoop(EngineState state, ColdSlots coldSlots)
{
    private readonly TimelineTable _timelines = state.Timelines;

    /// <summary>Copies a block out to cold memory, if it has no clean copy there yet.</summary>
    /// <returns>Whether the block is clean, that is, a copy of this version is ordered.</returns>
    public bool TryClean(SequenceState sequence, int number, LaneState? lane)
    {
        ref var block = ref state.Blocks[number];
        if (block.IsClean)
        {
            return true;
        }

        // A live writer's block is touched by its own lane only; another client's by the background queue, once its writer is observed (I3).
        var own = lane is not null && sequence.Client == lane.Client.Number;
        var writer = _timelines.IsObserved(block.Writer) ? Point.BackgroundLane : block.Writer.Lane;
        if (writer != Point.BackgroundLane && !(own && writer == lane!.Number) && !RuleFaults.Is(RuleFault.LiveWriterCopied))
        {
            return false;
        }

        ref readonly var layout = ref state.LayoutOf(sequence, block.Row);
        // To clean one block ahead of need in the slot of another that is as clean would go on for ever.
        if (!coldSlots.TryFind(in layout, own ? lane!.Number : Point.BackgroundLane, mayTakeBack: lane is not null, out var slot, out var frontier))
        {
            return false;
        }

        var submission = own ? lane!.OpenOut() : state.OpenBackground();
        state.Tracker.CopyOut(submission, ref block, ref frontier);
        submission.Commands.Copy(state.Cold.Memory!, state.Cold.Pool.OffsetOf(slot), state.Options.Pool, state.Pool.OffsetOf(block.Device), layout.BlockBytes);
        state.Cold.Pool.SetHolder(slot, number);
        block.Cold = slot;
        state.Counters.CleanedBlocks++;
        state.Counters.BytesOut += layout.BlockBytes;
        var tenant = state.TenantOf(sequence);
        tenant.ColdBytes += layout.BlockBytes;
        tenant.Counters.CleanedBlocks++;
        tenant.Counters.BytesOut += layout.BlockBytes;
        return true;
    }

    /// <summary>What a block holds on the device has changed: its cold copy is of a version that no longer is, and goes (I7).</summary>
    public void NewVersion(ref BlockState block)
    {
        if (!block.Cold.IsNone)
        {
            state.Cold.Pool.Free(state.TakeSlot(ref block), state.Tracker.SlotOf(ref block));
        }
    }

    /// <summary>Gives up the device copy of a clean block: its bytes are free with their frontier.</summary>
    public void Drop(SequenceState sequence, ref BlockState block)
    {
        var row = sequence.Rows[block.Row];
        state.Pool.Free(block.Device, state.Tracker.BytesOf(ref block, sequence));
        state.Runs.Remove(row, block.Index);
        block.Device = default;
        row.ResidentBlocks--;
        if (block.Index >= row.FirstVisible)
        {
            row.Missing++;
        }

        var bytes = state.LayoutOf(sequence, block.Row).BlockBytes;
        state.AddResident(sequence, -bytes);
        state.Counters.EvictedBlocks++;
        var tenant = state.TenantOf(sequence);
        tenant.EvictedBytes += bytes;
        tenant.Counters.EvictedBlocks++;
        if (sequence.Plan != state.Plan)
        {
            // A plan counts on the rows of its own sequences.
            DropRowsIfEmpty(sequence);
        }
    }

    /// <summary>Gives the rows of a sequence back that has nothing on the device: nothing would find them again when the heap runs short.</summary>
    public void DropRowsIfEmpty(SequenceState sequence)
    {
        if (sequence.ResidentBytes == 0)
        {
            foreach (var row in sequence.Rows)
            {
                DropRow(sequence, row);
            }
        }
    }

    /// <summary>Gives a row back to the heap, with its frontier: views of the sequence's steps may cover it.</summary>
    public void DropRow(SequenceState sequence, SequenceRow row)
    {
        if (row.Heap.IsNone)
        {
            return;
        }

        state.Rows.Pool.Free(row.Heap, state.Tracker.RowOf(sequence));
        state.AddRow(sequence, -RowHeap.BytesOf(row.Capacity));
        row.Heap = default;
        row.Capacity = 0;
        row.Covered = 0;
    }

    /// <summary>Copies a block in to bytes of the pool; its entry is dirty until the next publish.</summary>
    public void Reload(SequenceState sequence, int number, LaneState lane, BlockAddress bytes, ref readonly Frontier frontier)
    {
        ref var block = ref state.Blocks[number];
        ref readonly var layout = ref state.LayoutOf(sequence, block.Row);
        var submission = lane.OpenTransfers();
        state.Tracker.CopyIn(submission, ref block, in frontier);
        submission.Commands.Copy(state.Options.Pool, state.Pool.OffsetOf(bytes), state.Cold.Memory!, state.Cold.Pool.OffsetOf(block.Cold), layout.BlockBytes);
        state.Pool.Overwrite(bytes);
        var row = sequence.Rows[block.Row];
        row.ResidentBlocks++;
        if (block.Index >= row.FirstVisible)
        {
            row.Missing--;
        }

        Place(sequence, number, bytes, submission.Signal);
        state.AddResident(sequence, layout.BlockBytes);
        state.Counters.ReloadedBlocks++;
        state.Counters.BytesIn += layout.BlockBytes;
        var tenant = state.TenantOf(sequence);
        tenant.EvictedBytes -= layout.BlockBytes;
        tenant.Counters.ReloadedBlocks++;
        tenant.Counters.BytesIn += layout.BlockBytes;
    }

    /// <summary>Moves a block to other bytes of the pool, on a lane or on the background queue; steps in flight go on reading the old ones (I5).</summary>
    public void Move(SequenceState sequence, int number, Submission submission, BlockAddress bytes, ref readonly Frontier frontier)
    {
        ref var block = ref state.Blocks[number];
        var blockBytes = state.LayoutOf(sequence, block.Row).BlockBytes;
        var old = block.Device;
        var oldFrontier = state.Tracker.BytesOf(ref block, sequence);
        state.Tracker.Move(submission, ref block, in frontier);
        submission.Commands.Copy(state.Options.Pool, state.Pool.OffsetOf(bytes), state.Options.Pool, state.Pool.OffsetOf(old), blockBytes);
        state.Pool.Overwrite(bytes);
        if (!RuleFaults.Is(RuleFault.MoveSourceFreedEarly))
        {
            oldFrontier.Add(submission.Signal, _timelines);
        }

        state.Pool.Free(old, oldFrontier);
        state.Runs.Remove(sequence.Rows[block.Row], block.Index);
        Place(sequence, number, bytes, submission.Signal);
        state.Counters.BytesMoved += blockBytes;
    }

    /// <summary>Submits what is open, each queue's after those that it waits for.</summary>
    public void Flush(LaneState? lane)
    {
        if (lane is not null && lane.Out.IsOpen)
        {
            Submit(lane.Out);
        }

        if (state.Background.IsOpen)
        {
            Submit(state.Background);
        }

        if (lane is not null && lane.Transfers.IsOpen)
        {
            Submit(lane.Transfers);
        }
    }

    /// <summary>Cleans (where it must) and drops one block.</summary>
    public bool TryEvict(SequenceState sequence, int number, LaneState lane)
    {
        if (!TryClean(sequence, number, lane))
        {
            return false;
        }

        Drop(sequence, ref state.Blocks[number]);
        return true;
    }

    /// <summary>Evicts a block whose bytes nothing takes at once, if its client pins them already, or may until they are free.</summary>
    public bool TryGiveUp(SequenceState sequence, int number, LaneState lane)
    {
        ref var block = ref state.Blocks[number];
        var isFree = block.IsClean && FrontierHome.Of(state.Tracker.BytesOf(ref block, sequence).Points, _timelines).IsObserved;
        return (sequence.IsLive || isFree || state.CanPin(lane.Client, state.LayoutOf(sequence, block.Row).BlockBytes)) && TryEvict(sequence, number, lane);
    }

    private void Submit(Submission copies)
    {
        state.Counters.Copies += copies.Commands.Commands.Length;
        copies.Submit(state.Submitter);
    }

    private void Place(SequenceState sequence, int number, BlockAddress bytes, Point transfer)
    {
        ref var block = ref state.Blocks[number];
        block.Device = bytes;
        state.Pool.SetHolder(bytes, number);
        state.Runs.Add(sequence.Rows[block.Row], block.Index);
        if (!RuleFaults.Is(RuleFault.MoveLeavesEntry))
        {
            sequence.Rows[block.Row].MarkDirty(block.Index);
        }

        if (!RuleFaults.Is(RuleFault.TransferNotNoted))
        {
            sequence.Transfers.Add(transfer, _timelines);
        }
    }
}
