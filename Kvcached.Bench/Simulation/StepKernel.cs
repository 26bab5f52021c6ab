using Kvcached.Devices.Sim;
using Kvcached.Engine;
using Kvcached.Kernels;

namespace Kvcached.Bench.Simulation;

/// <summary>Arguments of <see cref="StepKernel"/>.</summary>
internal readonly struct StepKernelArguments
{
    public long Step { get; init; }

    public ulong Views { get; init; }

    public ulong Entries { get; init; }

    public ulong Pool { get; init; }

    public ulong LayoutStride { get; init; }
}

/// <summary>
/// The kernel of a simulated step. It reads views, entries and blocks from simulated memory as its slices run, checks the stamps of every
/// token before the step's own, and writes those. Slices alternate: read one sequence's layout, write it. Where the layout has page tables, blocks
/// are found by them alone: by the block table to read, by the CSR form to write. Where the sequence has a contiguous window, tokens are read in window
/// and blocks, and written to the window: what stores them stands behind.
/// </summary>
internal sealed class StepKernel(Func<long, SimulatedStep> stepOf, Func<SimulatedStep, KvShape[]> shapesOf) : SimKernel("step")
{
    public override bool Run(ref SimKernelContext context, int slice)
    {
        ref readonly var arguments = ref context.ArgumentsAs<StepKernelArguments>();
        var step = stepOf(arguments.Step);
        var shapes = shapesOf(step);
        var part = slice >> 1;
        var item = part / shapes.Length;
        var layout = part % shapes.Length;
        var expectation = step.Items[item];
        var shape = shapes[layout];
        var table = shape.PageShift == 0 ? default : step.Lane.State.PageTables!.TableOf(step.Number, layout);
        var view = context.Read<SequenceView>(arguments.Views + ((ulong)layout * arguments.LayoutStride) + ((ulong)item * SequenceView.Bytes));
        var window = step.Lane.State.Windows is { } ring ? context.Read<ulong>(ring.AddressesOf(step.Number, layout) + ((ulong)item * sizeof(ulong))) : 0;
        var writes = (slice & 1) != 0;
        if (!writes)
        {
            Check(ref context, view, expectation, shape);
        }

        if ((window != 0) != (!expectation.IsRefused && Engine.Windows.IsOpen(expectation.Windows, layout)))
        {
            context.Fail($"the window of sequence {expectation.SequenceId} (refused: {expectation.IsRefused}), layout {layout}, is 0x{window:x}; open are those of mask {expectation.Windows}");
        }

        if (table.MaxPages > 0)
        {
            CheckLengths(ref context, table, item, view, expectation, shape);
        }

        if (!expectation.IsRefused)
        {
            var firstNew = expectation.Tokens - expectation.NewTokens;
            var end = writes ? expectation.Tokens : firstNew;
            for (var token = writes ? firstNew : (int)(view.FirstVisibleBlock << (int)shape.TokensPerBlockShift); token < end; token++)
            {
                if (window != 0)
                {
                    Token(ref context, window + ((ulong)token * WindowShape.Of(shape).TokenStride), view, expectation, layout, token, writes);
                    if (writes)
                    {
                        continue;
                    }
                }

                var block = (uint)token >> (int)shape.TokensPerBlockShift;
                var offset = table.MaxPages == 0
                    ? (ulong)context.Read<uint>(arguments.Entries + ((view.RowStart + (ulong)block) * sizeof(uint))) * KvShape.GranuleBytes
                    : (ulong)PageOf(ref context, table, item, view, block, isCsr: writes) * shape.BlockBytes;
                Token(ref context, arguments.Pool + offset + (((ulong)token & (shape.TokensPerBlock - 1)) * shape.TokenStride), view, expectation, layout, token, writes);
            }
        }

        return slice + 1 == step.Items.Count * shapes.Length * 2;
    }

    private static void Check(ref SimKernelContext context, in SequenceView view, Expectation expectation, in KvShape shape)
    {
        var refused = (view.Flags & ViewFlags.Refused) != 0;
        if (view.SequenceId != expectation.SequenceId || refused != expectation.IsRefused)
        {
            context.Fail($"the view of sequence {expectation.SequenceId} (refused: {expectation.IsRefused}) names sequence {view.SequenceId} (refused: {refused})");
        }

        var blocks = refused ? 0 : ((uint)expectation.Tokens + shape.TokensPerBlock - 1) >> (int)shape.TokensPerBlockShift;
        if (view.TokenCount != (refused ? 0 : (uint)expectation.Tokens) || view.BlockCount != blocks || (!refused && view.NewTokens != (uint)expectation.NewTokens))
        {
            context.Fail($"the view of sequence {view.SequenceId} has {view.TokenCount} tokens, {view.NewTokens} new, in {view.BlockCount} blocks; expected {expectation.Tokens}, {expectation.NewTokens} new, in {blocks}");
        }
    }

    private static void CheckLengths(ref SimKernelContext context, in PageTable table, int item, in SequenceView view, Expectation expectation, in KvShape shape)
    {
        var tokens = Read(ref context, table.SequenceLengths, item);
        var pages = Read(ref context, table.Indptr, item + 1) - Read(ref context, table.Indptr, item);
        var tokensOfCsr = pages == 0 ? 0 : ((pages - 1 + (int)view.FirstVisibleBlock) << (int)shape.TokensPerBlockShift) + Read(ref context, table.LastPageLengths, item);
        var expected = expectation.IsRefused ? 0 : expectation.Tokens;
        if (tokens != expected || tokensOfCsr != expected)
        {
            context.Fail($"the page tables of sequence {view.SequenceId} have {tokens} tokens and by CSR {tokensOfCsr}; expected {expected}");
        }
    }

    private static int PageOf(ref SimKernelContext context, in PageTable table, int item, in SequenceView view, uint block, bool isCsr) => isCsr
        ? Read(ref context, table.Indices, Read(ref context, table.Indptr, item) + (int)(block - view.FirstVisibleBlock))
        : Read(ref context, table.BlockTable, (item * (int)table.MaxPages) + (int)block);

    private static int Read(ref SimKernelContext context, ulong array, int index) => context.Read<int>(array + ((ulong)index * sizeof(int)));

    private static void Token(ref SimKernelContext context, ulong place, in SequenceView view, Expectation expectation, int layout, int token, bool write)
    {
        var stamp = StampOf(view.SequenceId, token, expectation.Versions[token], layout);
        if (write)
        {
            context.Write(place, stamp);
        }
        else if (context.Read<ulong>(place) is var found && found != stamp)
        {
            context.Fail($"token {token} of sequence {view.SequenceId}, layout {layout}, 0x{place:x}: found 0x{found:x}, expected 0x{stamp:x} (version {expectation.Versions[token]})");
        }
    }

    private static ulong StampOf(uint sequence, int token, uint version, int layout)
    {
        var x = ((ulong)sequence << 32) ^ ((ulong)version << 8) ^ ((ulong)(uint)token << 40) ^ (uint)layout;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        return x ^ (x >> 27) | 1;
    }
}
