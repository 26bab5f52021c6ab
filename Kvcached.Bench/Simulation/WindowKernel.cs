using Kvcached.Devices.Sim;
using Kvcached.Kernels;

namespace Kvcached.Bench.Simulation;

/// <summary>
/// Copies tokens between blocks and windows on the simulated device: reads views, entries and addresses from simulated memory as its slices run,
/// one sequence a slice.
/// </summary>
internal sealed class WindowKernel(string name) : SimKernel(name)
{
    /// <summary>Both of them.</summary>
    public static IReadOnlyList<SimKernel> All { get; } = [new WindowKernel(KernelNames.GatherWindows), new WindowKernel(KernelNames.StoreWindows)];

    public override bool Run(ref SimKernelContext context, int slice)
    {
        ref readonly var arguments = ref context.ArgumentsAs<WindowArguments>();
        var gathers = Name == KernelNames.GatherWindows;
        var view = context.Read<SequenceView>(arguments.Views + ((ulong)slice * SequenceView.Bytes));
        var window = context.Read<ulong>(arguments.Windows + ((ulong)slice * sizeof(ulong)));
        if ((view.Flags & ViewFlags.Refused) == 0 && window != 0)
        {
            var firstNew = view.TokenCount - view.NewTokens;
            var first = gathers ? context.Read<uint>(arguments.FirstTokens + ((ulong)slice * sizeof(uint))) : firstNew;
            for (var token = first; token < (gathers ? firstNew : view.TokenCount); token++)
            {
                CopyToken(ref context, arguments, view, window, (int)token, gathers);
            }
        }

        return slice + 1 == (int)arguments.Batch;
    }

    private static void CopyToken(ref SimKernelContext context, in WindowArguments arguments, in SequenceView view, ulong window, int token, bool gathers)
    {
        ref readonly var shape = ref arguments.Block;
        var entry = context.Read<uint>(arguments.Entries + ((ulong)TableLookup.EntryIndex(view, shape, token) * sizeof(uint)));
        var vectorBytes = (int)(shape.HeadDim * shape.ElementBytes);
        for (var layer = 0; layer < (int)shape.Layers; layer++)
        {
            for (var plane = 0; plane < (int)shape.Planes; plane++)
            {
                for (var head = 0; head < (int)shape.Heads; head++)
                {
                    var inBlock = arguments.Pool + TableLookup.BlockOffset(entry) + TableLookup.OffsetInBlock(shape, token, layer, plane, head);
                    var inWindow = window + ((ulong)token * arguments.Window.TokenStride) + TableLookup.OffsetInBlock(arguments.Window, 0, layer, plane, head);
                    context.Write(gathers ? inWindow : inBlock, context.Read(gathers ? inBlock : inWindow, vectorBytes));
                }
            }
        }
    }
}
