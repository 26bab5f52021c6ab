using System.Runtime.CompilerServices;

namespace Kvcached.Kernels.Cpu;

/// <summary>Merges the parts that <see cref="DecodeKernel"/> left, in ascending order. An item is one sequence.</summary>
internal static unsafe class MergeKernel
{
    internal static int Items(void* arguments) => (int)((AttentionArguments*)arguments)->Kv.Batch;

    [SkipLocalsInit]
    internal static void Run(void* arguments, int item, int worker)
    {
        var attention = (AttentionArguments*)arguments;
        var view = (SequenceView*)attention->Kv.Views + item;
        var parts = DecodeKernel.Parts(attention, *view, out _);
        if (parts == 0)
        {
            return;
        }

        var dim = (int)attention->Kv.Shape.HeadDim;
        var heads = (int)attention->QueryHeads;
        var accumulator = stackalloc float[dim];
        var outputRow = (nuint)((uint*)attention->RowStarts)[item] + view->NewTokens - 1;
        var output = (float*)attention->Outputs + (outputRow * (nuint)heads * (nuint)dim);
        for (var head = 0; head < heads; head++, output += dim)
        {
            var total = new PartialSum(float.NegativeInfinity, 0, accumulator);
            for (var part = 0; part < parts; part++)
            {
                var partial = DecodeKernel.Partial(attention, item, part, head);
                total.Add(new PartialSum(partial[dim], partial[dim + 1], partial), dim);
            }

            total.WriteResult(output, dim);
        }
    }
}
