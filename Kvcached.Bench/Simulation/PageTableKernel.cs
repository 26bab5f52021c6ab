using Kvcached.Devices.Sim;
using Kvcached.Kernels;

namespace Kvcached.Bench.Simulation;

/// <summary>
/// Writes page tables on the simulated device: reads views and entries from simulated memory as its slices run, one sequence a slice.
/// </summary>
internal sealed class PageTableKernel() : SimKernel(KernelNames.PageTable)
{
    public override bool Run(ref SimKernelContext context, int slice)
    {
        ref readonly var arguments = ref context.ArgumentsAs<PageTableArguments>();
        var table = arguments.Table;
        var view = context.Read<SequenceView>(arguments.Views + ((ulong)slice * SequenceView.Bytes));
        var isEmpty = (view.Flags & ViewFlags.Refused) != 0 || view.TokenCount == 0;
        var tokens = isEmpty ? 0 : (int)view.TokenCount;
        Write(ref context, table.Indptr, slice, (int)context.State);
        Write(ref context, table.SequenceLengths, slice, tokens);
        Write(ref context, table.LastPageLengths, slice, isEmpty ? 0 : ((tokens - 1) & ((1 << (int)arguments.TokensPerBlockShift) - 1)) + 1);

        var first = (int)view.FirstVisibleBlock;
        for (var block = first; !isEmpty && block < (int)view.BlockCount; block++)
        {
            var entry = context.Read<uint>(arguments.Entries + ((ulong)(view.RowStart + block) * sizeof(uint)));
            var page = (int)(entry >> (int)arguments.GranulesPerBlockShift);
            for (var column = block == first ? 0 : block; column <= block; column++)
            {
                Write(ref context, table.BlockTable, (slice * (int)table.MaxPages) + column, page);
            }

            Write(ref context, table.Indices, (int)context.State++, page);
        }

        Write(ref context, table.Indptr, slice + 1, (int)context.State);
        return slice + 1 == (int)arguments.Batch;
    }

    private static void Write(ref SimKernelContext context, ulong array, int index, int value) => context.Write(array + ((ulong)index * sizeof(int)), value);
}
