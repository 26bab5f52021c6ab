namespace Kvcached.Kernels.Cpu;

/// <summary>Stores the keys and values of new tokens. An item is up to <see cref="TokensPerItem"/> new tokens of one sequence.</summary>
internal static unsafe class WriteKernel
{
    private const int TokensPerItem = 32;
    private const int KeyPlane = 0;
    private const int ValuePlane = 1;

    internal static int Items(void* arguments)
    {
        var kv = &((KvWriteArguments*)arguments)->Kv;
        var views = (SequenceView*)kv->Views;
        var items = 0;
        for (var i = 0; i < (int)kv->Batch; i++)
        {
            items += Chunks(views[i]);
        }

        return items;
    }

    internal static void Run<TSource>(void* arguments, int item, int worker)
        where TSource : struct, ITokenSource<TSource>
    {
        var write = (KvWriteArguments*)arguments;
        switch (write->Kv.Format)
        {
            case ElementFormat.Float16:
                Run<TSource, Float16Elements>(write, item);
                break;
            case ElementFormat.BFloat16:
                Run<TSource, BFloat16Elements>(write, item);
                break;
            case ElementFormat.Float32:
                Run<TSource, Float32Elements>(write, item);
                break;
        }
    }

    private static void Run<TSource, TElements>(KvWriteArguments* write, int item)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        var view = (SequenceView*)write->Kv.Views;
        var sequence = 0;
        for (; item >= Chunks(*view); view++, sequence++)
        {
            item -= Chunks(*view);
        }

        ref readonly var shape = ref write->Kv.Shape;
        var source = TSource.Create(&write->Kv, sequence);
        var firstNew = (int)(view->TokenCount - view->NewTokens);
        var first = firstNew + (item * TokensPerItem);
        var end = int.Min(first + TokensPerItem, (int)view->TokenCount);
        var row = (long)((uint*)write->RowStarts)[sequence] + first - firstNew;
        for (var token = first; token < end;)
        {
            var target = source.Locate(token, out var run);
            run = int.Min(run, end - token);
            for (var i = 0; i < run; i++, token++, row++, target += shape.TokenStride)
            {
                StoreToken<TElements>((float*)write->Keys, row, target + (KeyPlane * (ulong)shape.PlaneStride), shape);
                StoreToken<TElements>((float*)write->Values, row, target + (ValuePlane * (ulong)shape.PlaneStride), shape);
            }
        }
    }

    private static void StoreToken<TElements>(float* rows, long row, byte* target, in KvShape shape)
        where TElements : struct, IElements
    {
        var values = rows + (row * shape.Heads * shape.HeadDim);
        for (var head = 0; head < (int)shape.Heads; head++)
        {
            TElements.Narrow(values, target, (int)shape.HeadDim);
            values += shape.HeadDim;
            target += shape.HeadStride;
        }
    }

    private static int Chunks(in SequenceView view) => (ViewOrder.NewTokens(view) + TokensPerItem - 1) / TokensPerItem;
}
