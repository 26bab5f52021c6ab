using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Restores the physical order of a sequence: joins runs that follow each other in it into longer ones, so that copies coalesce and scans stream. Moves
/// run on the background queue, from writers that have been observed into bytes that have been observed (I3), while steps in flight go on reading the old
/// bytes (I5).
/// <code>
///   behind the run before       … aaa......        →  … aaabbc…
///   into places found           a.b..c.bbb         →  abc…
/// </code>
/// A run moves whole or stays, and only where the one that it becomes is at least twice as long. So no run ever gets shorter, a block moves no more than
/// log2 of a segment's blocks times, and to restore what has been restored moves nothing. A run does not reach from one segment into the next but by chance.
/// </summary>
internal sealed class OrderRestorer(EngineState state, TransferLoop loop)
{
    /// <summary>Restores what can move now and has places to go to. Returns the moves enqueued.</summary>
    public int Restore(ClientState client, SequenceState sequence)
    {
        var moved = 0;
        for (var r = 0; r < state.Models[sequence.Model].Layouts.Length; r++)
        {
            moved += sequence.Rows[r].Runs > 1 ? Restore(client, sequence, r) : 0;
        }

        loop.Flush(null);
        return moved;
    }

    private int Restore(ClientState client, SequenceState sequence, int r)
    {
        var row = sequence.Rows[r];
        ref readonly var layout = ref state.LayoutOf(sequence, r);
        var (moved, before, most) = (0, 0, state.Pool.BlocksPerSegment(layout.PoolLayout));
        for (var first = FirstRun(row); first < row.Count;)
        {
            var end = FindGroup(row, first, before, layout.PoolLayout, ref most, out var place, out var joins);
            if (end > first && !state.CanPin(client, layout.BlockBytes * (end - first)))
            {
                break;
            }

            moved += Move(sequence, row, first, end, place);
            before = joins ? before + end - first : end - first;
            if (end == first)
            {
                end = EndOfRun(row, first);
                before = state.Blocks[row[first]].IsResident ? end - first : 0;
            }

            first = end;
        }

        return moved;
    }

    /// <summary>What has left the sliding window is not worth a move, nor a run that reaches into it.</summary>
    private int FirstRun(SequenceRow row)
    {
        var first = row.FirstVisible;
        while (first < row.Count && state.Runs.Continues(row, first))
        {
            first++;
        }

        return first;
    }

    /// <summary>Finds runs from a block on that can move together, behind the run before them or elsewhere. Returns where they end; the block itself where there are none.</summary>
    private int FindGroup(SequenceRow row, int first, int before, int layout, ref int most, out BlockAddress place, out bool joins)
    {
        (place, joins) = (default, false);
        if (before > 0)
        {
            var last = state.Blocks[row[first - 1]].Device;
            var joined = EndOfGroup(row, first, before, state.Pool.PlacesBehind(last));
            if (joined > first)
            {
                (place, joins) = (last.Next, true);
                return joined;
            }
        }

        var end = EndOfGroup(row, first, before: 0, most);
        if (end > first && state.Pool.FindPlaces(layout, end - first, out place) is var found && found < end - first)
        {
            // What has not been found is not looked for again: places only get fewer.
            most = found;
            end = EndOfGroup(row, first, before: 0, most);
        }

        return end;
    }

    /// <summary>Where runs end that can move now, fit so many places, and come to be twice as long at least, behind a run of so many blocks.</summary>
    private int EndOfGroup(SequenceRow row, int first, int before, int places)
    {
        var (end, longest) = (first, 0);
        while (end < row.Count && EndOfRun(row, end) is var next && next - first <= places && CanMove(row, end, next))
        {
            var together = before + end - first;
            if (together > 0 && next - end > together)
            {
                break;
            }

            longest = Math.Max(longest, next - end);
            end = next;
        }

        return 2 * longest <= before + end - first ? end : first;
    }

    private int EndOfRun(SequenceRow row, int first)
    {
        var end = first + 1;
        while (end < row.Count && state.Runs.Continues(row, end) && !RuleFaults.Is(RuleFault.RunParted))
        {
            end++;
        }

        return end;
    }

    /// <summary>The background queue waits for no lane: writers have been observed.</summary>
    private bool CanMove(SequenceRow row, int first, int end)
    {
        for (var i = first; i < end; i++)
        {
            ref var block = ref state.Blocks[row[i]];
            if (!block.IsResident || !(RuleFaults.Is(RuleFault.LiveWriterReordered) || state.Timelines.IsObserved(block.Writer) || block.Writer.Lane == Point.BackgroundLane))
            {
                return false;
            }
        }

        return true;
    }

    private int Move(SequenceState sequence, SequenceRow row, int first, int end, BlockAddress place)
    {
        var observed = default(Frontier);
        for (var i = first; i < end; i++)
        {
            state.Pool.TakePlace(place);
            loop.Move(sequence, row[i], state.OpenBackground(), place, in observed);
            place = i + 1 < end ? place.Next : place;
        }

        state.Counters.ReorderedBlocks += end - first;
        return end - first;
    }
}
