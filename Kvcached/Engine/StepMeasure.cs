using Kvcached.Memory;
using Kvcached.Sequences;
using Kvcached.Tables;

namespace Kvcached.Engine;

/// <summary>Measures what steps need, one at a time. Moves the first visible blocks of their sequences' rows to where the step sees them.</summary>
internal sealed class StepMeasure(EngineState state, Windows windows)
{
    private long[] _blocksByLayout = [];

    /// <summary>What a step needs.</summary>
    /// <returns>False if that is more than the pool has: what is measured is not all, then.</returns>
    public bool TryMeasure(StepRecord step, out StepDemand demand)
    {
        demand = default;
        _blocksByLayout.AsSpan().Clear();
        foreach (ref var item in step.Batch)
        {
            var sequence = state.Sequences[item.Sequence.Index];
            if (sequence.Refused)
            {
                continue;
            }

            sequence.Plan = state.Plan;
            var layouts = state.Models[sequence.Model].Layouts;
            if (!sequence.IsLive)
            {
                demand.NewlyPinned += sequence.ResidentBytes;
                demand.NewlyPinnedRows += sequence.RowBytes;
            }

            for (var r = 0; r < layouts.Length; r++)
            {
                MeasureRow(sequence, r, item.NewTokens, layouts[r], ref demand);
                var fits = !Windows.IsOpen(item.Windows, r) || TryMeasureWindow(sequence, r, item.NewTokens, layouts[r], ref demand);
                if (!fits || demand.Bytes > state.Options.Pool.Bytes)
                {
                    return false;
                }
            }
        }

        return true;
    }

    private void MeasureRow(SequenceState sequence, int r, int newTokens, in ModelLayout layout, ref StepDemand demand)
    {
        var row = sequence.Rows[r];
        ShowFrom(row, layout.FirstVisibleBlock(sequence.Tokens, newTokens));
        var count = layout.BlocksFor(sequence.Tokens + newTokens);
        var newBytes = (row.Missing + count - row.Count) * layout.BlockBytes;
        demand.NewBytes += newBytes;
        demand.Growth += newBytes;
        demand.NewlyPinned += newBytes;
        demand.Bytes += (count - row.FirstVisible) * layout.BlockBytes;
        demand.MaxRowEntries = Math.Max(demand.MaxRowEntries, count);
        demand.RowBytes += RowHeap.BytesOf(RowHeap.CapacityFor(count));
        if (NeedsFreshRow(sequence, row, count))
        {
            demand.NewlyPinnedRows += RowHeap.BytesOf(RowHeap.CapacityFor(count));
        }

        CountBlocks(layout.PoolLayout, count - row.FirstVisible);
    }

    /// <summary>What a window needs: as if it did not grow in place, and its bytes went back where no point keeps them.</summary>
    /// <returns>False if the pool has no run as long.</returns>
    private bool TryMeasureWindow(SequenceState sequence, int r, int newTokens, in ModelLayout layout, ref StepDemand demand)
    {
        var window = sequence.Rows[r].Window!;
        var order = windows.OrderFor(layout, sequence.Tokens + newTokens);
        if (order < 0)
        {
            return false;
        }

        if (windows.BytesOf(window) < windows.BytesOf(order))
        {
            demand.NewBytes += windows.BytesOf(order);
            demand.Growth += windows.BytesOf(order) - windows.BytesOf(window);
            demand.NewlyPinned += RuleFaults.Is(RuleFault.WindowNotMeasured) ? 0 : windows.BytesOf(order) - windows.UnpinnedBytesOf(sequence, window);
        }

        demand.Bytes += Math.Max(windows.BytesOf(order), windows.BytesOf(window));
        CountBlocks(windows.PoolLayoutOf(state.TenantOf(sequence), order), 1);
        return true;
    }

    private void CountBlocks(int poolLayout, int blocks)
    {
        if (poolLayout >= _blocksByLayout.Length)
        {
            Array.Resize(ref _blocksByLayout, poolLayout + 1);
        }

        _blocksByLayout[poolLayout] += blocks;
    }

    /// <summary>Whether the step that was measured last is larger than the client's share, or than an empty pool or heap.</summary>
    public bool NeverFits(ClientState client, in StepDemand demand)
    {
        var units = 0L;
        for (var layout = 0; layout < _blocksByLayout.Length; layout++)
        {
            if (_blocksByLayout[layout] > 0)
            {
                var segments = (_blocksByLayout[layout] + state.Pool.BlocksPerSegment(layout) - 1) / state.Pool.BlocksPerSegment(layout);
                units += segments << state.Pool.SegmentOrder(layout);
            }
        }

        return units > state.Pool.Units.Count
            || demand.Bytes > client.MaxPinnedBytes
            || demand.RowBytes > Math.Min(client.MaxPinnedRowBytes, state.Options.Entries.Bytes)
            || demand.MaxRowEntries > state.Rows.MaxEntries;
    }

    /// <summary>
    /// Whether the next publish may not write the row that is there: it is too short, or an entry that a live step's view covers would change (I4).
    /// </summary>
    public static bool NeedsFreshRow(SequenceState sequence, SequenceRow row, int count)
    {
        if (row.Capacity < count || row.Heap.IsNone)
        {
            return count > 0;
        }

        if (!sequence.IsLive || RuleFaults.Is(RuleFault.CoveredEntryWritten))
        {
            return false;
        }

        var lowest = row.Missing > 0 ? 0 : Math.Min(row.DirtyLow, count > row.Count ? row.Count : int.MaxValue);
        return lowest < row.Covered;
    }

    /// <summary>Moves the first visible block, and counts again what is missing from there on.</summary>
    private void ShowFrom(SequenceRow row, int first)
    {
        first = Math.Min(first, row.Count);
        if (first == row.FirstVisible)
        {
            return;
        }

        for (var i = row.FirstVisible; i < first; i++)
        {
            row.Missing -= state.Blocks[row[i]].IsResident ? 0 : 1;
        }

        for (var i = first; i < row.FirstVisible; i++)
        {
            // Nothing kept the entry of a block that was out of sight.
            row.Missing += state.Blocks[row[i]].IsResident ? 0 : 1;
            if (!RuleFaults.Is(RuleFault.WindowLeavesEntry))
            {
                row.MarkDirty(i);
            }
        }

        row.FirstVisible = first;
    }
}

/// <summary>What a step needs, in bytes but for the longest row.</summary>
internal struct StepDemand
{
    /// <summary>Bytes that its tenant holds with it, beyond what it does.</summary>
    public long Growth;

    /// <summary>Bytes of the pool that the step must get.</summary>
    public long NewBytes;

    /// <summary>Bytes of pool and heap that the client pins with it, beyond what it does.</summary>
    public long NewlyPinned;
    public long NewlyPinnedRows;

    /// <summary>Bytes of pool and heap that its sequences need in all, and the longest row.</summary>
    public long Bytes;
    public long RowBytes;
    public int MaxRowEntries;
}
