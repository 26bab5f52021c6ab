using System.Runtime.CompilerServices;

namespace Kvcached.Kernels.Cpu;

/// <summary>Which way tokens are copied, and which.</summary>
internal unsafe interface IWindowCopy
{
    /// <summary>The tokens of one sequence that are copied: from the first up to the end.</summary>
    static abstract (int First, int End) Tokens(WindowArguments* arguments, int sequence);

    static abstract void Copy(byte* inBlock, byte* inWindow, uint bytes);
}

/// <summary>From blocks to windows: what lay in the blocks before the step.</summary>
internal readonly unsafe struct GatherCopy : IWindowCopy
{
    public static (int First, int End) Tokens(WindowArguments* arguments, int sequence)
    {
        ref readonly var view = ref ((SequenceView*)arguments->Views)[sequence];
        return ((int)((uint*)arguments->FirstTokens)[sequence], (int)(view.TokenCount - view.NewTokens));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(byte* inBlock, byte* inWindow, uint bytes) => Unsafe.CopyBlockUnaligned(inWindow, inBlock, bytes);
}

/// <summary>From windows to blocks: the step's new tokens.</summary>
internal readonly unsafe struct StoreCopy : IWindowCopy
{
    public static (int First, int End) Tokens(WindowArguments* arguments, int sequence)
    {
        ref readonly var view = ref ((SequenceView*)arguments->Views)[sequence];
        return ((int)(view.TokenCount - view.NewTokens), (int)view.TokenCount);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(byte* inBlock, byte* inWindow, uint bytes) => Unsafe.CopyBlockUnaligned(inBlock, inWindow, bytes);
}

/// <summary>
/// Copies tokens between blocks and windows. An item is up to <see cref="TokensPerItem"/> tokens of one sequence. Views that are refused or have no
/// blocks, and sequences without a window, are passed over.
/// </summary>
internal static unsafe class WindowKernel<TCopy>
    where TCopy : struct, IWindowCopy
{
    private const int TokensPerItem = 32;

    internal static int Items(void* arguments)
    {
        var windows = (WindowArguments*)arguments;
        var items = 0;
        for (var i = 0; i < (int)windows->Batch; i++)
        {
            items += Chunks(windows, i);
        }

        return items;
    }

    internal static void Run(void* arguments, int item, int worker)
    {
        var windows = (WindowArguments*)arguments;
        var sequence = 0;
        for (; item >= Chunks(windows, sequence); sequence++)
        {
            item -= Chunks(windows, sequence);
        }

        ref readonly var view = ref ((SequenceView*)windows->Views)[sequence];
        var entries = new EntryHeap(windows->Entries);
        var target = (byte*)(((ulong*)windows->Windows)[sequence] + windows->Displacement);
        var (first, end) = TCopy.Tokens(windows, sequence);
        first += item * TokensPerItem;
        end = int.Min(end, first + TokensPerItem);
        for (var token = first; token < end; token++)
        {
            var inBlock = (byte*)windows->Pool + TableLookup.Offset(entries, view, windows->Block, token, layer: 0, plane: 0, head: 0);
            CopyToken(windows, inBlock, target + ((ulong)(uint)token * windows->Window.TokenStride));
        }
    }

    private static void CopyToken(WindowArguments* arguments, byte* inBlock, byte* inWindow)
    {
        ref readonly var block = ref arguments->Block;
        ref readonly var window = ref arguments->Window;

        // Heads that lie side by side in the block as well are copied at once.
        var heads = block.HeadStride == window.HeadStride ? 1 : (int)block.Heads;
        var bytes = window.PlaneStride / (uint)heads;
        for (var layer = 0; layer < (int)block.Layers; layer++)
        {
            for (var plane = 0; plane < (int)block.Planes; plane++)
            {
                for (var head = 0; head < heads; head++)
                {
                    TCopy.Copy(inBlock + TableLookup.OffsetInBlock(block, 0, layer, plane, head), inWindow + ((ulong)layer * window.LayerStride) + ((ulong)plane * window.PlaneStride) + ((ulong)head * window.HeadStride), bytes);
                }
            }
        }
    }

    private static int Chunks(WindowArguments* arguments, int sequence)
    {
        if (ViewOrder.IsEmpty(((SequenceView*)arguments->Views)[sequence]) || ((ulong*)arguments->Windows)[sequence] == 0)
        {
            return 0;
        }

        var (first, end) = TCopy.Tokens(arguments, sequence);
        return (int.Max(0, end - first) + TokensPerItem - 1) / TokensPerItem;
    }
}
