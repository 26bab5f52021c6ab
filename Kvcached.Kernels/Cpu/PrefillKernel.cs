using System.Runtime.CompilerServices;

namespace Kvcached.Kernels.Cpu;

/// <summary>
/// Causal attention of all new tokens. An item is some rows, (position, query head) pairs, of one sequence that share a KV head: keys and
/// values are widened once for all of them.
/// </summary>
internal static unsafe class PrefillKernel
{
    internal static int Items(void* arguments)
    {
        var attention = (AttentionArguments*)arguments;
        var views = (SequenceView*)attention->Kv.Views;
        var items = 0;
        for (var i = 0; i < (int)attention->Kv.Batch; i++)
        {
            items += Items(attention, views[i]);
        }

        return items;
    }

    internal static void Run<TSource>(void* arguments, int item, int worker)
        where TSource : struct, ITokenSource<TSource>
    {
        var attention = (AttentionArguments*)arguments;
        switch (attention->Kv.Format)
        {
            case ElementFormat.Float16:
                Run<TSource, Float16Elements>(attention, item);
                break;
            case ElementFormat.BFloat16:
                Run<TSource, BFloat16Elements>(attention, item);
                break;
            case ElementFormat.Float32:
                Run<TSource, Float32Elements>(attention, item);
                break;
        }
    }

    private static int Items(AttentionArguments* attention, in SequenceView view)
    {
        var heads = (int)attention->Kv.Shape.Heads;
        var rows = ViewOrder.NewTokens(view) * ((int)attention->QueryHeads / heads);
        var maxRows = AttentionPlan.MaxRows((int)attention->Kv.Shape.HeadDim);
        return (rows + maxRows - 1) / maxRows * heads;
    }

    [SkipLocalsInit]
    private static void Run<TSource, TElements>(AttentionArguments* attention, int item)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        var kv = &attention->Kv;
        var view = (SequenceView*)kv->Views;
        var sequence = 0;
        for (int items; item >= (items = Items(attention, *view)); view++, sequence++)
        {
            item -= items;
        }

        var heads = (int)kv->Shape.Heads;
        var head = item % heads;
        var dim = (int)kv->Shape.HeadDim;
        var group = (int)attention->QueryHeads / heads;
        var maxRows = AttentionPlan.MaxRows(dim);
        var firstRow = item / heads * maxRows;
        var plan = new AttentionPlan(dim, int.Min(maxRows, ((int)view->NewTokens * group) - firstRow));
        var memory = stackalloc float[plan.Floats];
        var rows = new AttentionRows(plan, memory);
        for (var row = 0; row < plan.Rows; row++)
        {
            var position = (int)(view->TokenCount - view->NewTokens) + ((firstRow + row) / group);
            var low = ViewOrder.FirstVisible(*view, kv->Shape, attention->WindowTokens, position);
            var query = (float*)attention->Queries + Element(attention, sequence, head, firstRow + row);
            rows.SetRow(row, query, attention->Scale, low, position + 1);
        }

        var tokens = new HeadTokens<TSource>(kv, TSource.Create(kv, sequence), head);
        for (var part = rows.First / AttentionArguments.PartTokens; part * AttentionArguments.PartTokens < rows.End; part++)
        {
            var next = int.Min((part + 1) * AttentionArguments.PartTokens, rows.End - 1);
            rows.ComputePart<TSource, TElements>(tokens, part, tokens.Locate(KvPlane.Key, next, out _));
            rows.AddPartToTotal();
        }

        for (var row = 0; row < plan.Rows; row++)
        {
            rows.Total(row).WriteResult((float*)attention->Outputs + Element(attention, sequence, head, firstRow + row), dim);
        }
    }

    // Index of a row's first element in queries and outputs.
    private static nuint Element(AttentionArguments* attention, int sequence, int head, int row)
    {
        var group = (int)(attention->QueryHeads / attention->Kv.Shape.Heads);
        var token = (nuint)((uint*)attention->RowStarts)[sequence] + (nuint)(row / group);
        var queryHead = (head * group) + (row % group);
        return ((token * attention->QueryHeads) + (nuint)queryHead) * attention->Kv.Shape.HeadDim;
    }
}
