using Kvcached.Devices.Sim;
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
/// token before the step's own, and writes those. Slices alternate: read one sequence's layout, write it.
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
        var view = context.Read<SequenceView>(arguments.Views + ((ulong)layout * arguments.LayoutStride) + ((ulong)item * SequenceView.Bytes));
        if ((slice & 1) == 0)
        {
            Check(ref context, view, expectation, shapes[layout]);
        }

        if (!expectation.IsRefused)
        {
            var first = (slice & 1) == 0 ? (int)(view.FirstVisibleBlock << (int)shapes[layout].TokensPerBlockShift) : expectation.Tokens - expectation.NewTokens;
            var end = (slice & 1) == 0 ? expectation.Tokens - expectation.NewTokens : expectation.Tokens;
            Tokens(ref context, arguments, view, expectation, shapes[layout], layout, first, end, write: (slice & 1) != 0);
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

    private static void Tokens(ref SimKernelContext context, in StepKernelArguments arguments, in SequenceView view, Expectation expectation, in KvShape shape, int layout, int first, int end, bool write)
    {
        for (var token = first; token < end; token++)
        {
            var block = (ulong)token >> (int)shape.TokensPerBlockShift;
            var entry = context.Read<uint>(arguments.Entries + ((view.RowStart + block) * sizeof(uint)));
            var place = arguments.Pool + ((ulong)entry * KvShape.GranuleBytes) + (((ulong)token & (shape.TokensPerBlock - 1)) * shape.TokenStride);
            var stamp = StampOf(view.SequenceId, token, expectation.Versions[token], layout);
            if (write)
            {
                context.Write(place, stamp);
            }
            else if (context.Read<ulong>(place) is var found && found != stamp)
            {
                context.Fail($"token {token} of sequence {view.SequenceId}, layout {layout}, entry {entry}: found 0x{found:x}, expected 0x{stamp:x} (version {expectation.Versions[token]})");
            }
        }
    }

    private static ulong StampOf(uint sequence, int token, uint version, int layout)
    {
        var x = ((ulong)sequence << 32) ^ ((ulong)version << 8) ^ ((ulong)(uint)token << 40) ^ (uint)layout;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        return x ^ (x >> 27) | 1;
    }
}
