using System.Numerics;
using System.Runtime.InteropServices;
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
internal sealed class StepKernel(Func<long, SimulatedStep> stepOf, bool looksAtAll) : SimKernel("step")
{
    /// <summary>Bits of a stamp that tell its tenant.</summary>
    private const ulong TenantMask = 0xFF;

    public override bool Run(ref SimKernelContext context, int slice)
    {
        ref readonly var arguments = ref context.ArgumentsAs<StepKernelArguments>();
        var step = stepOf(arguments.Step);
        var shapes = step.Lane.Shapes;
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

        var tenant = step.Lane.State.Client.Tenant.Number;
        if (looksAtAll && !writes && !expectation.IsRefused)
        {
            for (var block = view.FirstVisibleBlock; block < view.BlockCount; block++)
            {
                LookAtAll(ref context, arguments.Pool + OffsetOf(ref context, arguments, table, item, view, block, shape, isCsr: false), (int)shape.BlockBytes, view, tenant);
            }

            if (window != 0)
            {
                LookAtAll(ref context, window, LeastWindowBytes(view, shape), view, tenant);
            }
        }

        if (!expectation.IsRefused)
        {
            var firstNew = expectation.Tokens - expectation.NewTokens;
            var end = writes ? expectation.Tokens : firstNew;
            for (var token = writes ? firstNew : (int)(view.FirstVisibleBlock << (int)shape.TokensPerBlockShift); token < end; token++)
            {
                if (window != 0)
                {
                    Token(ref context, window + ((ulong)token * WindowShape.Of(shape).TokenStride), view, expectation, layout, token, tenant, writes);
                    if (writes)
                    {
                        continue;
                    }
                }

                var offset = OffsetOf(ref context, arguments, table, item, view, (uint)token >> (int)shape.TokensPerBlockShift, shape, isCsr: writes);
                Token(ref context, arguments.Pool + offset + (((ulong)token & (shape.TokensPerBlock - 1)) * shape.TokenStride), view, expectation, layout, token, tenant, writes);
            }
        }

        return slice + 1 == step.Items.Count * shapes.Length * 2;
    }

    private static ulong OffsetOf(ref SimKernelContext context, in StepKernelArguments arguments, in PageTable table, int item, in SequenceView view, uint block, in KvShape shape, bool isCsr) => table.MaxPages == 0
        ? (ulong)context.Read<uint>(arguments.Entries + ((view.RowStart + (ulong)block) * sizeof(uint))) * KvShape.GranuleBytes
        : (ulong)PageOf(ref context, table, item, view, block, isCsr) * shape.BlockBytes;

    /// <summary>Bytes that a window of so many tokens has at least.</summary>
    private static int LeastWindowBytes(in SequenceView view, in KvShape shape) =>
        (int)Math.Max(SimulationRun.UnitBytes, BitOperations.RoundUpToPowerOf2((ulong)view.TokenCount * WindowShape.Of(shape).TokenStride));

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

    private static void Token(ref SimKernelContext context, ulong place, in SequenceView view, Expectation expectation, int layout, int token, int tenant, bool write)
    {
        var stamp = StampOf(view.SequenceId, token, expectation.Versions[token], layout, tenant);
        if (write)
        {
            context.Write(place, stamp);
        }
        else if (context.Read<ulong>(place) is var found && found != stamp)
        {
            context.Fail($"token {token} of sequence {view.SequenceId}, layout {layout}, 0x{place:x}: found 0x{found:x}, expected 0x{stamp:x} (version {expectation.Versions[token]})");
        }
    }

    /// <summary>What a view's blocks, and the window, hold of another tenant, tokens or not: there must be nothing (I8).</summary>
    private static void LookAtAll(ref SimKernelContext context, ulong address, int bytes, in SequenceView view, int tenant)
    {
        foreach (var word in MemoryMarshal.Cast<byte, ulong>(context.Read(address, bytes)))
        {
            if (word != 0 && (word & TenantMask) != TagOf(tenant))
            {
                context.Fail($"a kernel of tenant {tenant} finds 0x{word:x} of another tenant in what sequence {view.SequenceId} has at 0x{address:x}");
            }
        }
    }

    /// <summary>Never 0: bytes that nobody wrote, and those that have been scrubbed, are.</summary>
    private static ulong TagOf(int tenant) => ((ulong)tenant << 1) | 1;

    private static ulong StampOf(uint sequence, int token, uint version, int layout, int tenant)
    {
        var x = ((ulong)sequence << 32) ^ ((ulong)version << 8) ^ ((ulong)(uint)token << 40) ^ (uint)layout;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        return ((x ^ (x >> 27)) & ~TenantMask) | TagOf(tenant);
    }
}
