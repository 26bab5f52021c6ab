using System.Runtime.InteropServices;
using Kvcached.Kernels;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Tests.Devices;

/// <summary>The kernels of <see cref="TestKernels"/> for devices that compile them, and the golden vectors' lookup: <c>gpu/test.cl</c>.</summary>
internal static class GpuTestKernels
{
    /// <summary><see cref="GoldenArguments"/>: looks up what each <see cref="GoldenLookup"/> says.</summary>
    internal const string Golden = "test.golden";

    private static readonly GpuSource _source = new("test", typeof(GpuTestKernels).Assembly, "test.cl");

    /// <summary>Where the kernels of steps stand, which tests of whole caches have.</summary>
    internal static GpuSource Caches { get; } = new("caches", typeof(GpuTestKernels).Assembly, "caches.cl");

    internal static IReadOnlyList<GpuKernel> All { get; } =
    [
        new(TestKernels.AddU32, _source, ["test_add_u32"], PlanAdd, GpuKernel.OffsetOf<AddArguments>(nameof(AddArguments.Address))),
        new(
            TestKernels.CopyIndirect,
            _source,
            ["test_copy_indirect"],
            static (_, _) => new GpuLaunch(0, 32, 1),
            GpuKernel.OffsetOf<CopyIndirectArguments>(nameof(CopyIndirectArguments.Index)),
            GpuKernel.OffsetOf<CopyIndirectArguments>(nameof(CopyIndirectArguments.Words)),
            GpuKernel.OffsetOf<CopyIndirectArguments>(nameof(CopyIndirectArguments.Target))),
        new(
            TestKernels.CountItems,
            _source,
            ["test_count_items"],
            static (_, computeUnits) => new GpuLaunch(0, 128, (uint)computeUnits),
            GpuKernel.OffsetOf<CountItemsArguments>(nameof(CountItemsArguments.Items)),
            GpuKernel.OffsetOf<CountItemsArguments>(nameof(CountItemsArguments.Counters))),
        new(Golden, _source, ["test_golden"], static (_, _) => new GpuLaunch(0, 128, 1), GpuKernel.OffsetOf<GoldenArguments>(nameof(GoldenArguments.Vectors))),
    ];

    private static GpuLaunch PlanAdd(ReadOnlySpan<byte> blob, int computeUnits) =>
        new(0, 128, Math.Min((GpuKernel.ArgumentsAs<AddArguments>(blob).Words + 127) / 128, (uint)computeUnits * 8));
}

/// <summary>One lookup of <see cref="GpuTestKernels.Golden"/>: what it is told, and what it found.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GoldenLookup
{
    public KvShape Shape;
    public SequenceView View;
    public uint Token;
    public uint Layer;
    public uint Plane;
    public uint Head;
    public uint Entry;
    public uint FoundIndex;
    public ulong FoundOffset;
}

[StructLayout(LayoutKind.Sequential)]
internal struct GoldenArguments
{
    public ulong Vectors;
    public uint Count;
    public uint Reserved;
}
