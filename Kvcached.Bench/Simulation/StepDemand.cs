using System.Numerics;
using Kvcached.Engine;
using Kvcached.Sequences;
using Kvcached.Tables;

namespace Kvcached.Bench.Simulation;

/// <summary>What a step that waits needs, where its client has nothing under way.</summary>
internal sealed class StepDemand
{
    private readonly HashSet<SequenceState> _sequences = [];

    public StepDemand(EngineState state, StepRecord step)
    {
        foreach (ref var item in step.Batch)
        {
            var sequence = state.Sequences[item.Sequence.Index];
            if (!sequence.Refused)
            {
                _sequences.Add(sequence);
                AddSequence(state, sequence, item);
            }
        }
    }

    /// <summary>Blocks that it must get, by layout of the pool.</summary>
    public Dictionary<int, int> Blocks { get; } = [];

    /// <summary>Rows that it must get, by layout of the entry heap.</summary>
    public Dictionary<int, int> Rows { get; } = [];

    /// <summary>Bytes of the pool that its client would pin.</summary>
    public long Pinned { get; private set; }

    /// <summary>Bytes of rows that its client would pin.</summary>
    public long PinnedRows { get; private set; }

    /// <summary>Whether blocks that have left a sliding window are still on the device.</summary>
    public bool HasUnseen { get; private set; }

    /// <summary>Whether a sequence is one of the step's.</summary>
    public bool Has(SequenceState? sequence) => sequence is not null && _sequences.Contains(sequence);

    private void AddSequence(EngineState state, SequenceState sequence, in StepItemState item)
    {
        Pinned += sequence.ResidentBytes;
        PinnedRows += sequence.RowBytes;
        var layouts = state.Models[sequence.Model].Layouts;
        for (var r = 0; r < layouts.Length; r++)
        {
            var row = sequence.Rows[r];
            var count = layouts[r].BlocksFor(sequence.Tokens + item.NewTokens);
            var blocks = row.Missing + count - row.Count;
            Pinned += blocks * layouts[r].BlockBytes;
            Add(Blocks, layouts[r].PoolLayout, blocks);
            if (Engine.Windows.IsOpen(item.Windows, r))
            {
                AddWindow(state, row.Window!, (sequence.Tokens + item.NewTokens) * (long)layouts[r].Window.TokenStride, state.TenantOf(sequence).Number);
            }

            for (var i = 0; i < row.FirstVisible; i++)
            {
                HasUnseen |= state.Blocks[row[i]].IsResident;
            }

            if (count > row.Capacity)
            {
                PinnedRows += RowHeap.BytesOf(RowHeap.CapacityFor(count));
                Add(Rows, state.Rows.LayoutOf(RowHeap.CapacityFor(count)), 1);
            }
        }
    }

    /// <summary>A window that is too small needs a run of units: the next power of two, of which what it has comes free.</summary>
    private void AddWindow(EngineState state, SequenceWindow window, long tokenBytes, int tenant)
    {
        var unit = state.Options.UnitBytes;
        var bytes = (long)BitOperations.RoundUpToPowerOf2((ulong)Math.Max(1, (tokenBytes + unit - 1) / unit)) * unit;
        var has = window.HasBytes ? unit << window.Order : 0;
        if (bytes > has)
        {
            Pinned += bytes - has;
            Add(Blocks, state.Pool.AddLayout(bytes, tenant), 1);
        }
    }

    private static void Add(Dictionary<int, int> counts, int layout, int count)
    {
        if (count > 0)
        {
            counts[layout] = counts.GetValueOrDefault(layout) + count;
        }
    }
}
