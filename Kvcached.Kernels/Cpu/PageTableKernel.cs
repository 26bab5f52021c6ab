namespace Kvcached.Kernels.Cpu;

/// <summary>
/// Writes the page tables of a step's views. An item is up to <see cref="SequencesPerItem"/> sequences; items run in any order, so each counts
/// the pages before its own.
/// </summary>
internal static unsafe class PageTableKernel
{
    private const int SequencesPerItem = 64;

    internal static int Items(void* arguments) => ((int)((PageTableArguments*)arguments)->Batch + SequencesPerItem - 1) / SequencesPerItem;

    internal static void Run(void* arguments, int item, int worker)
    {
        var tables = (PageTableArguments*)arguments;
        var views = (SequenceView*)tables->Views;
        var indptr = (int*)tables->Table.Indptr;
        var first = item * SequencesPerItem;
        var end = int.Min(first + SequencesPerItem, (int)tables->Batch);
        var pages = 0;
        for (var i = 0; i < first; i++)
        {
            pages += Visible(views[i]);
        }

        for (var i = first; i < end; i++)
        {
            indptr[i] = pages;
            WriteLengths(tables, i);
            WritePages(tables, i, (int*)tables->Table.Indices + pages);
            pages += Visible(views[i]);
        }

        if (end == (int)tables->Batch)
        {
            indptr[end] = pages;
        }
    }

    private static void WriteLengths(PageTableArguments* tables, int sequence)
    {
        ref readonly var view = ref ((SequenceView*)tables->Views)[sequence];
        var tokens = ViewOrder.IsEmpty(view) ? 0 : (int)view.TokenCount;
        ((int*)tables->Table.SequenceLengths)[sequence] = tokens;
        ((int*)tables->Table.LastPageLengths)[sequence] = tokens == 0 ? 0 : ((tokens - 1) & ((1 << (int)tables->TokensPerBlockShift) - 1)) + 1;
    }

    private static void WritePages(PageTableArguments* tables, int sequence, int* indices)
    {
        ref readonly var view = ref ((SequenceView*)tables->Views)[sequence];
        var row = (int*)tables->Table.BlockTable + ((nuint)sequence * tables->Table.MaxPages);
        var entries = (uint*)tables->Entries + view.RowStart;
        var visible = Visible(view);
        var first = (int)view.FirstVisibleBlock;
        for (var i = 0; i < visible; i++)
        {
            indices[i] = row[first + i] = (int)(entries[first + i] >> (int)tables->GranulesPerBlockShift);
        }

        if (visible > 0)
        {
            // Entries out of sight are stale, and a kernel that reads a whole row must find pages of the pool.
            new Span<int>(row, first).Fill(row[first]);
        }
    }

    private static int Visible(in SequenceView view) => ViewOrder.IsEmpty(view) ? 0 : int.Max(0, (int)view.BlockCount - (int)view.FirstVisibleBlock);
}
