namespace Kvcached.Kernels.Cpu;

/// <summary>
/// Splits the tokens that a step stamps or verifies into items of up to <see cref="BlocksPerItem"/> blocks of one sequence, so that
/// all workers have something to do however few the sequences are.
/// </summary>
internal readonly unsafe struct StampWalk
{
    /// <summary>1 MiB at 16 KiB a block: long enough to stream, short enough to share out evenly.</summary>
    internal const uint BlocksPerItem = 64;

    private StampWalk(int sequence, uint firstBlock, uint endBlock)
    {
        Sequence = sequence;
        FirstBlock = firstBlock;
        EndBlock = endBlock;
    }

    /// <summary>Place in the batch; −1 where there is no such item.</summary>
    internal int Sequence { get; }

    /// <summary>First block of the item.</summary>
    internal uint FirstBlock { get; }

    /// <summary>Block past the item's last.</summary>
    internal uint EndBlock { get; }

    /// <summary>Items of a launch that walks the blocks of the step's new tokens, or of all tokens.</summary>
    internal static int Items(StampArguments* arguments, bool newTokensOnly)
    {
        var items = 0u;
        for (var i = 0; i < arguments->Count; i++)
        {
            var (first, end) = Blocks(arguments, i, newTokensOnly);
            items += (end - first + BlocksPerItem - 1) / BlocksPerItem;
        }

        return (int)items;
    }

    /// <summary>Finds item <paramref name="item"/>.</summary>
    internal static StampWalk Find(StampArguments* arguments, int item, bool newTokensOnly)
    {
        var left = (uint)item;
        for (var i = 0; i < arguments->Count; i++)
        {
            var (first, end) = Blocks(arguments, i, newTokensOnly);
            var items = (end - first + BlocksPerItem - 1) / BlocksPerItem;
            if (left < items)
            {
                first += left * BlocksPerItem;
                return new StampWalk(i, first, Math.Min(first + BlocksPerItem, end));
            }

            left -= items;
        }

        return new StampWalk(-1, 0, 0);
    }

    private static (uint First, uint End) Blocks(StampArguments* arguments, int index, bool newTokensOnly)
    {
        var sequence = (StampedSequence*)arguments->Sequences + index;
        var shift = (int)arguments->Shape.TokensPerBlockShift;
        var first = newTokensOnly ? (sequence->TokenCount - sequence->NewTokens) >> shift : 0;
        var end = (sequence->TokenCount + arguments->Shape.TokensPerBlock - 1) >> shift;
        return (first, Math.Max(first, end));
    }
}
