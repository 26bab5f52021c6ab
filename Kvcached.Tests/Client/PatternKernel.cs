using System.Runtime.InteropServices;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;
using Kvcached.Kernels.Gpu;
using Kvcached.Tests.Devices;

namespace Kvcached.Tests.Client;

/// <summary>What the host expects of one sequence of a step. Positions from <see cref="ChangedFrom"/> on were written anew.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PatternExpectation
{
    public uint SequenceId;
    public uint Tokens;
    public uint NewTokens;
    public uint ChangedFrom;
}

/// <summary>What the kernels of all steps have counted.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PatternTally
{
    public long Right;
    public long Wrong;
    public long LostViews;
    public long RefusedViews;
}

[StructLayout(LayoutKind.Sequential)]
internal struct PatternArguments
{
    public ulong Pool;
    public ulong Entries;
    public ulong Views;
    public ulong Expectations;
    public ulong Tally;
    public KvShape Shape;
    public int Count;
    public int Reserved;
}

/// <summary>
/// Writes the new tokens of a step and compares all visible ones, through views and entries: for any layout, since every vector of every
/// layer, plane and head is found by the table ABI. Vectors must have a multiple of 8 bytes.
/// </summary>
internal static unsafe class PatternKernel
{
    public const string Name = "test.pattern";

    public static CpuKernel Kernel => new(Name, &Items, &Run);

    /// <summary>The same for devices that compile it.</summary>
    public static GpuKernel GpuKernel { get; } = new(
        Name,
        GpuTestKernels.Caches,
        ["test_pattern"],
        static (blob, _) => new GpuLaunch(0, 64, (uint)GpuKernel.ArgumentsAs<PatternArguments>(blob).Count),
        GpuKernel.OffsetOf<PatternArguments>(nameof(PatternArguments.Pool)),
        GpuKernel.OffsetOf<PatternArguments>(nameof(PatternArguments.Entries)),
        GpuKernel.OffsetOf<PatternArguments>(nameof(PatternArguments.Views)),
        GpuKernel.OffsetOf<PatternArguments>(nameof(PatternArguments.Expectations)),
        GpuKernel.OffsetOf<PatternArguments>(nameof(PatternArguments.Tally)));

    private static int Items(void* arguments) => ((PatternArguments*)arguments)->Count;

    private static void Run(void* blob, int item, int worker)
    {
        var arguments = (PatternArguments*)blob;
        var view = ((SequenceView*)arguments->Views)[item];
        var expected = ((PatternExpectation*)arguments->Expectations)[item];
        var tally = (PatternTally*)arguments->Tally;
        if (view.SequenceId != expected.SequenceId || (view.Flags == ViewFlags.None && (view.TokenCount != expected.Tokens || view.NewTokens != expected.NewTokens)))
        {
            Interlocked.Increment(ref tally->LostViews);
            return;
        }

        if (view.Flags != ViewFlags.None)
        {
            Interlocked.Increment(ref tally->RefusedViews);
            return;
        }

        for (var token = (int)(view.TokenCount - view.NewTokens); token < view.TokenCount; token++)
        {
            Walk(arguments, view, expected, token, write: true);
        }

        var wrong = 0L;
        var first = view.FirstVisibleBlock << (int)arguments->Shape.TokensPerBlockShift;
        for (var token = (int)first; token < view.TokenCount; token++)
        {
            wrong += Walk(arguments, view, expected, token, write: false);
        }

        Interlocked.Add(ref tally->Right, view.TokenCount - first - wrong);
        Interlocked.Add(ref tally->Wrong, wrong);
    }

    /// <summary>Writes or compares all of a token. Returns 1 where something differs.</summary>
    private static long Walk(PatternArguments* arguments, in SequenceView view, in PatternExpectation expected, int token, bool write)
    {
        ref readonly var shape = ref arguments->Shape;
        var version = token >= expected.ChangedFrom ? 1UL : 0;
        var difference = 0UL;
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            for (var plane = 0; plane < shape.Planes; plane++)
            {
                for (var head = 0; head < shape.Heads; head++)
                {
                    var offset = TableLookup.Offset(new EntryHeap(arguments->Entries), view, shape, token, layer, plane, head);
                    var vector = new Span<ulong>((void*)(arguments->Pool + offset), (int)(shape.HeadDim * shape.ElementBytes / sizeof(ulong)));
                    var seed = ((((((ulong)expected.SequenceId << 20) | (uint)token) * 64) + (uint)layer) * 64) + ((uint)plane * 32) + (uint)head + (version << 60);
                    for (var i = 0; i < vector.Length; i++)
                    {
                        var word = (seed + (ulong)i + 1) * 0x9E3779B97F4A7C15;
                        vector[i] = write ? word : vector[i];
                        difference |= vector[i] ^ word;
                    }
                }
            }
        }

        return difference == 0 ? 0 : 1;
    }
}
