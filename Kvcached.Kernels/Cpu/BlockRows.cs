namespace Kvcached.Kernels.Cpu;

/// <summary>The visible blocks of all sequences of a batch as one run of items, and where each lies.</summary>
internal static unsafe class BlockRows
{
    internal static int Count(BlockRowsArguments* arguments)
    {
        var views = (SequenceView*)arguments->Views;
        var count = 0;
        for (var i = 0; i < (int)arguments->Batch; i++)
        {
            count += Visible(views[i]);
        }

        return count;
    }

    /// <summary>The addresses of block number <paramref name="item"/> in the pool and in its sequence's buffer.</summary>
    internal static void Locate(BlockRowsArguments* arguments, int item, out byte* inPool, out byte* inBuffer)
    {
        var view = (SequenceView*)arguments->Views;
        var sequence = 0;
        for (; item >= Visible(*view); view++, sequence++)
        {
            item -= Visible(*view);
        }

        var block = (int)view->FirstVisibleBlock + item;
        inPool = (byte*)arguments->Pool + TableLookup.BlockOffset(new EntryHeap(arguments->Entries), *view, block);
        inBuffer = (byte*)((ulong*)arguments->Buffers)[sequence] + ((ulong)block * arguments->BlockBytes);
    }

    private static int Visible(in SequenceView view) =>
        ViewOrder.IsEmpty(view) ? 0 : int.Max(0, (int)view.BlockCount - (int)view.FirstVisibleBlock);
}
