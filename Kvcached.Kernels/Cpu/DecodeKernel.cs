using System.Runtime.CompilerServices;

namespace Kvcached.Kernels.Cpu;

/// <summary>
/// Attention of each sequence's last position, split over tokens: an item is one part of the tokens of one sequence for one KV head, and
/// leaves a <see cref="PartialSum"/> for each of the query heads that share it: acc, m, l at
/// [sequence][part from the first visible one][query head].
/// </summary>
internal static unsafe class DecodeKernel
{
    internal static int Items(void* arguments)
    {
        var attention = (AttentionArguments*)arguments;
        var views = (SequenceView*)attention->Kv.Views;
        var items = 0;
        for (var i = 0; i < (int)attention->Kv.Batch; i++)
        {
            items += Parts(attention, views[i], out _);
        }

        return items * (int)attention->Kv.Shape.Heads;
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

    /// <summary>Parts that hold tokens which the last position sees; 0 where there is nothing to do.</summary>
    internal static int Parts(AttentionArguments* attention, in SequenceView view, out int firstPart)
    {
        firstPart = 0;
        if (ViewOrder.NewTokens(view) == 0)
        {
            return 0;
        }

        var last = (int)view.TokenCount - 1;
        var low = ViewOrder.FirstVisible(view, attention->Kv.Shape, attention->WindowTokens, last);
        firstPart = low / AttentionArguments.PartTokens;
        var parts = low > last ? 0 : (last / AttentionArguments.PartTokens) - firstPart + 1;
        return parts <= (int)attention->MaxParts ? parts : 0;
    }

    /// <summary>Where a query head's state of a part is kept.</summary>
    internal static float* Partial(AttentionArguments* attention, int sequence, int partSlot, int queryHead)
    {
        var slot = (((nuint)sequence * attention->MaxParts) + (nuint)partSlot) * attention->QueryHeads;
        return (float*)attention->Partials + ((slot + (nuint)queryHead) * (attention->Kv.Shape.HeadDim + 2));
    }

    [SkipLocalsInit]
    private static void Run<TSource, TElements>(AttentionArguments* attention, int item)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        var kv = &attention->Kv;
        var heads = (int)kv->Shape.Heads;
        var dim = (int)kv->Shape.HeadDim;
        var view = (SequenceView*)kv->Views;
        var sequence = 0;
        int firstPart;
        for (int items; item >= (items = Parts(attention, *view, out firstPart) * heads); view++, sequence++)
        {
            item -= items;
        }

        var slot = item / heads;
        var head = item % heads;
        var group = (int)attention->QueryHeads / heads;
        var last = (int)view->TokenCount - 1;
        var low = ViewOrder.FirstVisible(*view, kv->Shape, attention->WindowTokens, last);
        var queryRow = (nuint)((uint*)attention->RowStarts)[sequence] + view->NewTokens - 1;
        var source = TSource.Create(kv, sequence);
        var tokens = new HeadTokens<TSource>(kv, source, head);
        var after = After(kv, source, head, firstPart + slot, low, last);
        var maxRows = AttentionPlan.MaxRows(dim);
        var memory = stackalloc float[new AttentionPlan(dim, int.Min(group, maxRows)).Floats];
        for (var first = 0; first < group; first += maxRows)
        {
            var plan = new AttentionPlan(dim, int.Min(group - first, maxRows));
            var rows = new AttentionRows(plan, memory);
            var queryHead = (head * group) + first;
            var query = (float*)attention->Queries + (((queryRow * attention->QueryHeads) + (nuint)queryHead) * (nuint)dim);
            for (var row = 0; row < plan.Rows; row++, query += dim)
            {
                rows.SetRow(row, query, attention->Scale, low, last + 1);
            }

            rows.ComputePart<TSource, TElements>(tokens, firstPart + slot, after);
            for (var row = 0; row < plan.Rows; row++)
            {
                Store(rows.Part(row), Partial(attention, sequence, slot, queryHead + row), dim);
            }
        }
    }

    // What the next item reads first, which the same worker most likely takes next: the part's keys for the next head, or the next part's.
    private static byte* After<TSource>(KvBatch* kv, TSource source, int head, int part, int low, int last)
        where TSource : struct, ITokenSource<TSource>
    {
        var isLastHead = head + 1 == (int)kv->Shape.Heads;
        var token = int.Clamp((isLastHead ? part + 1 : part) * AttentionArguments.PartTokens, low, last);
        return new HeadTokens<TSource>(kv, source, isLastHead ? 0 : head + 1).Locate(KvPlane.Key, token, out _);
    }

    private static void Store(in PartialSum part, float* target, int dim)
    {
        Buffer.MemoryCopy(part.Accumulator, target, dim * sizeof(float), dim * sizeof(float));
        target[dim] = part.Max;
        target[dim + 1] = part.Sum;
    }
}
