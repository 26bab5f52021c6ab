using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Moves all blocks of a segment away, or none, on the background queue: from writers that have been observed into bytes that have been observed (I3), while steps
/// in flight go on reading the old bytes (I5). What cannot move now (a tail whose writer is live, a block that is being reloaded, a window) keeps its segment.
/// </summary>
internal sealed class SegmentEmptier(EngineState state, TransferLoop loop)
{
    private readonly Reservations _places = new();

    /// <summary>Whether a block need not move where a step waits for its bytes: it is clean, of a sequence of the step's tenant that is not likely to be back soon, and is reloaded should it be.</summary>
    public bool IsBetterDropped(int number, int tenant)
    {
        ref var block = ref state.Blocks[number];
        var sequence = state.Sequences[block.Sequence];
        return block.IsClean && state.TenantOf(sequence).Number == tenant && state.Policy.IsOlderHalf(sequence);
    }

    /// <summary>Whether every block of a segment can leave it now; for a lane, whether it may use the bytes that they leave. A plan counts on the entries of its own sequences.</summary>
    /// <param name="segment">The segment.</param>
    /// <param name="lane">The lane, or the background queue.</param>
    /// <param name="pinned">Bytes that clients would keep by what is to be emptied with it; gets those of the segment, too.</param>
    public bool CanEmpty(Segment segment, int lane, ref long pinned)
    {
        for (var i = 0; i < segment.Fresh; i++)
        {
            var use = segment.Uses[i];
            if (use.IsReserved)
            {
                return false;
            }

            if (!use.IsHeld)
            {
                continue;
            }

            ref var block = ref state.Blocks[use.Holder];
            var sequence = state.Sequences[block.Sequence];
            if (!CanMove(in block)
                || (!IsUsableBy(ref block, sequence, Point.BackgroundLane) && !RuleFaults.Is(RuleFault.CompactedBeyondLimit) && !state.CanPin(state.Clients[sequence.Client], pinned += state.Pool.BlockBytes(segment.Layout)))
                || (lane != Point.BackgroundLane && !(sequence.Plan != state.Plan && IsUsableBy(ref block, sequence, lane))))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Empties a segment, or leaves it as it is. Call where it can be.</summary>
    /// <param name="segment">The segment.</param>
    /// <param name="start">First unit of a window where nothing is moved to.</param>
    /// <param name="units">Units of the window.</param>
    /// <param name="leastUsed">Blocks that a segment holds at least into which others are moved.</param>
    /// <param name="tenant">Whose step waits for it, if one does: blocks go that are better dropped, and the others rather not where its plan may look next.</param>
    /// <param name="bytes">Bytes that have been moved.</param>
    /// <returns>False if there are not places enough.</returns>
    public bool TryEmpty(Segment segment, int start, int units, int leastUsed, int? tenant, out long bytes)
    {
        bytes = 0;
        _places.Clear();
        for (var i = 0; i < segment.Fresh; i++)
        {
            if (!segment.Uses[i].IsHeld || (tenant is { } own && IsBetterDropped(segment.Uses[i].Holder, own)))
            {
                continue;
            }

            if (!(tenant is not null && state.Pool.TryAllocateOutside(segment.Layout, start, units, leastUsed, state.Plan, out var place, out var frontier))
                && !state.Pool.TryAllocateOutside(segment.Layout, start, units, leastUsed, plan: 0, out place, out frontier))
            {
                if (!RuleFaults.Is(RuleFault.PlacesNotGivenBack))
                {
                    _places.GiveBack(state);
                }

                return false;
            }

            _places.AddBlock(place, frontier);
            bytes += state.Pool.BlockBytes(segment.Layout);
        }

        for (var i = 0; i < segment.Fresh; i++)
        {
            if (segment.Uses[i].IsHeld)
            {
                Empty(segment.Uses[i].Holder, tenant);
            }
        }

        state.Counters.CompactedSegments++;
        return true;
    }

    private void Empty(int number, int? tenant)
    {
        var sequence = state.Sequences[state.Blocks[number].Sequence];
        if (tenant is { } own && IsBetterDropped(number, own))
        {
            loop.Drop(sequence, ref state.Blocks[number]);
            return;
        }

        ref readonly var frontier = ref _places.TakeBlock(out var place);
        loop.Move(sequence, number, state.OpenBackground(), place, in frontier);
        state.Counters.CompactedBlocks++;
    }

    /// <summary>Whether a lane, or the background queue, may use a block's bytes when it has left them: else its client pins them, too.</summary>
    private bool IsUsableBy(ref BlockState block, SequenceState sequence, int lane) =>
        FrontierHome.Of(state.Tracker.BytesOf(ref block, sequence).Points, state.Timelines).IsUsableBy(lane);

    /// <summary>The background queue waits for no lane: writers have been observed.</summary>
    private bool CanMove(ref readonly BlockState block) => !block.IsWindow && (state.Timelines.IsObserved(block.Writer) || RuleFaults.Is(RuleFault.LiveWriterCompacted) || block.Writer.Lane == Point.BackgroundLane);
}
