using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Bench.Simulation;

/// <summary>
/// Notes in which conditions commands meet blocks, and whether a step in flight covers them: one of their sequence that has not been observed as ended, the
/// one that wrote them included. What an operation drops of other sequences to make room is told by looking at all blocks before it and
/// at those that are gone after it.
/// </summary>
internal sealed class BlockCensus(EngineState state, SimulationCoverage coverage)
{
    private readonly List<(int Number, BlockAddress Device, BlockCondition Condition, bool IsLive)> _resident = [];
    private int _dying;
    private long _evicted;
    private long _compacted;

    /// <summary>Counts every block of a sequence that a command is about; None for a row that has none.</summary>
    public void Meet(SimulatedCommand command, SequenceHandle handle)
    {
        var sequence = state.Sequences.Find(handle)!;
        for (var r = 0; r < state.Models[sequence.Model].Layouts.Length; r++)
        {
            var row = sequence.Rows[r];
            if (row.Count == 0)
            {
                coverage.Meet(command, BlockCondition.None, sequence.IsLive);
            }

            for (var i = 0; i < row.Count; i++)
            {
                var condition = BlockConditions.Of(in state.Blocks[row[i]], state.Timelines);
                coverage.Meet(command, condition, IsCovered(sequence, condition));
            }
        }
    }

    /// <summary>Notes what is on the device, before something that may make room.</summary>
    public void BeforeRoomIsMade()
    {
        _dying = state.Dying.Count;
        _evicted = state.Counters.EvictedBlocks;
        _compacted = state.Counters.CompactedBlocks;
        _resident.Clear();
        foreach (var sequence in state.Sequences.All)
        {
            if (!sequence.InUse || sequence.ResidentBytes == 0)
            {
                continue;
            }

            for (var r = 0; r < state.Models[sequence.Model].Layouts.Length; r++)
            {
                var row = sequence.Rows[r];
                for (var i = 0; row.ResidentBlocks > 0 && i < row.Count; i++)
                {
                    ref var block = ref state.Blocks[row[i]];
                    if (block.IsResident)
                    {
                        var condition = BlockConditions.Of(in block, state.Timelines);
                        _resident.Add((row[i], block.Device, condition, IsCovered(sequence, condition)));
                    }
                }
            }
        }
    }

    /// <summary>Counts what has been dropped since, and what has been moved to empty its segment: on the background queue, where no other move was asked for.</summary>
    public void AfterRoomWasMade()
    {
        // Where a client has been reclaimed since, blocks are gone that nobody dropped, and others may have their numbers.
        if (state.Dying.Count < _dying || (state.Counters.EvictedBlocks == _evicted && state.Counters.CompactedBlocks == _compacted))
        {
            return;
        }

        foreach (var (number, device, condition, isLive) in _resident)
        {
            ref var block = ref state.Blocks[number];
            if (!block.IsResident)
            {
                coverage.Meet(SimulatedCommand.MakeRoom, condition, isLive);
            }
            else if (block.Device != device && !block.IsWindow && block.Writer.Lane == Point.BackgroundLane && state.Counters.CompactedBlocks > _compacted)
            {
                coverage.Meet(SimulatedCommand.Empty, condition, isLive);
            }
        }
    }

    private static bool IsCovered(SequenceState sequence, BlockCondition condition) =>
        sequence.IsLive || condition is BlockCondition.WrittenDirty or BlockCondition.WrittenCleaning or BlockCondition.WrittenClean;
}
