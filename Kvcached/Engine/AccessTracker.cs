using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Derives every wait (I6): each command says here what it reads and writes, and this turns that into waits of its submission and into stamps
/// on what it touched. Reads by steps are one stamp on the sequence; blocks hold their last writer and the transfers that read them.
/// </summary>
internal sealed class AccessTracker(TimelineTable timelines)
{
    /// <summary>A copy-out reads a block's bytes and writes a cold slot.</summary>
    public void CopyOut(Submission submission, ref BlockState block, ref readonly Frontier slot)
    {
        submission.Wait(block.Writer, IsStep(block.Writer) ? WaitReason.CopyOutAfterWriter : WaitReason.CopyOutAfterTransfer);
        foreach (var point in slot.Points)
        {
            submission.Wait(point, point.Lane == Point.BackgroundLane ? WaitReason.ColdReuseAfterBackground : WaitReason.ColdReuseAfterCopyIn);
        }

        block.CopyOut = RuleFaults.Is(RuleFault.CleanBeforeOrdered) ? default : submission.Signal;
        block.ColdReader = default;
    }

    /// <summary>A copy-in reads a block's cold slot and writes bytes of the pool.</summary>
    public void CopyIn(Submission submission, ref BlockState block, ref readonly Frontier bytes)
    {
        submission.Wait(
            block.CopyOut,
            block.CopyOut.Lane == submission.Lane ? WaitReason.ReloadAfterCopyOut
            : block.CopyOut.Lane == Point.BackgroundLane ? WaitReason.ReloadAfterBackground
            : WaitReason.ReloadAcrossLanes);
        submission.Wait(block.ColdReader, WaitReason.ReloadAfterReload);
        foreach (var point in bytes.Points)
        {
            submission.Wait(point, IsStep(point) ? WaitReason.CopyInAfterReaders : IsCopyOut(point) ? WaitReason.CopyInAfterCopyOut : WaitReason.CopyInAfterTransfer);
        }

        block.Writer = submission.Signal;
        block.ColdReader = submission.Signal;
    }

    /// <summary>A move reads a block's bytes and writes others of the pool.</summary>
    public void Move(Submission submission, ref BlockState block, ref readonly Frontier bytes)
    {
        submission.Wait(block.Writer, IsStep(block.Writer) ? WaitReason.MoveAfterWriter : WaitReason.MoveAfterTransfer);
        foreach (var point in bytes.Points)
        {
            submission.Wait(point, IsStep(point) ? WaitReason.MoveIntoAfterReaders : IsCopyOut(point) ? WaitReason.MoveIntoAfterCopyOut : WaitReason.MoveIntoAfterTransfer);
        }

        block.Writer = submission.Signal;
        block.CopyOut = RuleFaults.Is(RuleFault.MoveForgetsCopyOut) ? default : block.CopyOut;
    }

    /// <summary>A step uses a sequence: it reads all blocks, written by whatever transfers there were, after the sequence's last step.</summary>
    public void Step(Submission publish, SequenceState sequence, Point end)
    {
        foreach (var point in sequence.Transfers.Points)
        {
            publish.Wait(point, point.Lane == Point.BackgroundLane ? WaitReason.StepAfterBackground : WaitReason.StepAfterTransfer);
        }

        if (sequence.LastStep.Lane != end.Lane)
        {
            publish.Wait(sequence.LastStep, WaitReason.StepAfterOtherLane);
        }

        sequence.Transfers = default;
        sequence.LastStep = end;
    }

    /// <summary>A step writes tokens into a block that has some: a new version (I7).</summary>
    public void Append(Submission publish, ref BlockState block, Point end)
    {
        publish.Wait(block.CopyOut, WaitReason.AppendAfterCopyOut);
        block.Writer = RuleFaults.Is(RuleFault.LastWriterNotNoted) ? block.Writer : end;
    }

    /// <summary>
    /// A step writes tokens into a new block. Steps that read what was there before are the lane's own, and run before it without a wait: a
    /// lane's kernels run in the order of its steps (I11). Where the publish scrubs the block, it is the one that overwrites what was there.
    /// </summary>
    public void NewBlock(Submission publish, ref BlockState block, ref readonly Frontier bytes, bool isScrubbed, Point end)
    {
        foreach (var point in bytes.Points)
        {
            if (isScrubbed)
            {
                Scrub(publish, point);
            }
            else if (!IsStep(point))
            {
                publish.Wait(point, IsCopyOut(point) ? WaitReason.NewBlockAfterCopyOut : WaitReason.NewBlockAfterTransfer);
            }
        }

        block.Writer = end;
    }

    /// <summary>
    /// A step uses a window, whose bytes from before are its own. What is gathered, the publish copies: it reads blocks that the sequence's last step
    /// writes, and writes bytes that steps read. What is not, the step's kernels write, as they do a new block. What is scrubbed, the publish writes.
    /// </summary>
    public void Window(Submission publish, SequenceState sequence, ref readonly Frontier bytes, bool isGathered, bool isScrubbed, Point end)
    {
        foreach (var point in bytes.Points)
        {
            if (isScrubbed)
            {
                Scrub(publish, point);
            }
            else if (!IsStep(point))
            {
                publish.Wait(point, IsCopyOut(point) ? WaitReason.NewBlockAfterCopyOut : WaitReason.NewBlockAfterTransfer);
            }
            else if (isGathered || point.Lane != end.Lane)
            {
                publish.Wait(point, WaitReason.GatherAfterReaders);
            }
        }

        if (isGathered)
        {
            publish.Wait(sequence.LastStep, WaitReason.GatherAfterWriter);
        }
    }

    /// <summary>A publish writes a row that was another's.</summary>
    public void Row(Submission publish, ref readonly Frontier row)
    {
        foreach (var point in row.Points)
        {
            publish.Wait(point, WaitReason.RowReuseAfterSteps);
        }
    }

    /// <summary>What must be reached before the bytes that a block leaves may be overwritten: the sequence's last step joins (I5).</summary>
    public Frontier BytesOf(ref readonly BlockState block, SequenceState sequence)
    {
        var frontier = default(Frontier);
        if (!RuleFaults.Is(RuleFault.LastStepNotHandedOver))
        {
            frontier.Add(sequence.LastStep, timelines);
        }

        frontier.Add(block.Writer, timelines);
        frontier.Add(block.CopyOut, timelines);
        if (block.IsWindow && !RuleFaults.Is(RuleFault.FreshWindowForgetsFrontier))
        {
            // No step has waited yet for what it has got since the last one.
            frontier.Add(sequence.Rows[block.Row].Window!.Fresh.Points, timelines);
        }

        return frontier;
    }

    /// <summary>What must be reached before a block's cold slot may be overwritten.</summary>
    public Frontier SlotOf(ref readonly BlockState block)
    {
        var frontier = default(Frontier);
        frontier.Add(block.CopyOut, timelines);
        if (!RuleFaults.Is(RuleFault.ColdReaderNotNoted))
        {
            frontier.Add(block.ColdReader, timelines);
        }

        return frontier;
    }

    /// <summary>What must be reached before a sequence's row may be overwritten.</summary>
    public Frontier RowOf(SequenceState sequence)
    {
        var frontier = default(Frontier);
        if (!RuleFaults.Is(RuleFault.RowFrontierLost))
        {
            frontier.Add(sequence.LastStep, timelines);
        }

        return frontier;
    }

    /// <summary>A publish fills bytes with zeros.</summary>
    private static void Scrub(Submission publish, Point point)
    {
        if (!RuleFaults.Is(RuleFault.ScrubbedEarly))
        {
            publish.Wait(point, IsStep(point) ? WaitReason.ScrubAfterReaders : IsCopyOut(point) ? WaitReason.ScrubAfterCopyOut : WaitReason.ScrubAfterTransfer);
        }
    }

    private static bool IsStep(Point point) => point.Kind == TimelineKind.End;

    private static bool IsCopyOut(Point point) => point.Kind == TimelineKind.Out;
}
