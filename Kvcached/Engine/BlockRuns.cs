using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Counts runs: blocks on the device whose neighbours in the sequence are their neighbours in the pool. Kept up to date as blocks come and go, by a look at
/// both neighbours, so that to ask costs nothing; a step that adds no block counts nothing.
/// </summary>
internal sealed class BlockRuns(BlockPool pool, BlockTable blocks)
{
    /// <summary>Runs of all sequences.</summary>
    public long Count { get; private set; }

    /// <summary>Whether a block of a row goes on where the one before it ends.</summary>
    public bool Continues(SequenceRow row, int index)
    {
        if (index == 0)
        {
            return false;
        }

        var (before, address) = (blocks[row[index - 1]].Device, blocks[row[index]].Device);
        return !before.IsNone && !address.IsNone
            && (address.Block > 0 ? address == before.Next : pool.OffsetOf(before) + pool.BlockBytesOf(before) == pool.OffsetOf(address));
    }

    /// <summary>A block has come to where it lies now.</summary>
    public void Add(SequenceRow row, int index) => Change(row, (Continues(row, index) ? 0 : 1) - (GoesOn(row, index) ? 1 : 0));

    /// <summary>A block is about to leave.</summary>
    public void Remove(SequenceRow row, int index) => Change(row, (GoesOn(row, index) ? 1 : 0) - (Continues(row, index) ? 0 : 1));

    private bool GoesOn(SequenceRow row, int index) => index + 1 < row.Count && Continues(row, index + 1);

    private void Change(SequenceRow row, int runs)
    {
        row.Runs += runs;
        Count += runs;
    }
}
