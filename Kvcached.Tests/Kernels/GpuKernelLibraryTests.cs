using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Daemon.Demo;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;
using Kvcached.Kernels.Gpu;
using Kvcached.Tests.Client;
using Kvcached.Tests.Contiguous;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>What GPU kernels say of themselves: their sources, entry points and launches. No device runs here.</summary>
public class GpuKernelLibraryTests
{
    private const int ComputeUnits = 132;

    private static IEnumerable<GpuKernel> AllKernels => [.. GpuKernelLibrary.All, .. Transformer.GpuKernels, .. GpuTestKernels.All, PatternKernel.GpuKernel, WindowStamps.GpuKernel];

    [Fact]
    public void Every_kernel_of_the_cpu_device_is_there() =>
        Assert.Equal(CpuKernelLibrary.All.Select(k => k.Name).Append(KernelNames.UpdateTable).Append(KernelNames.CopyBatch).Order(), GpuKernelLibrary.All.Select(k => k.Name).Order());

    [Fact]
    public void Every_kernel_of_the_demo_is_there() =>
        Assert.Equal(Transformer.CpuKernels.Select(k => k.Name), Transformer.GpuKernels.Select(k => k.Name));

    /// <summary>As <c>gpu/caches.cl</c> has them.</summary>
    [Fact]
    public void Structs_of_the_tests_kernels_have_the_sizes_that_their_source_says()
    {
        Assert.Equal((16, 32, 112), (Marshal.SizeOf<PatternExpectation>(), Marshal.SizeOf<PatternTally>(), Marshal.SizeOf<PatternArguments>()));
        Assert.Equal((24, 192), (Marshal.SizeOf<WindowExpectation>(), Marshal.SizeOf<WindowStampArguments>()));
    }

    [Theory]
    [InlineData(80)]
    [InlineData(90)]
    public void Every_entry_point_is_in_the_PTX(int computeCapability)
    {
        foreach (var source in AllKernels.GroupBy(kernel => kernel.Source))
        {
            var ptx = source.Key.Ptx(computeCapability);
            Assert.NotNull(ptx);
            Assert.Contains($".target sm_{computeCapability}", ptx, StringComparison.Ordinal);
            Assert.All(source.SelectMany(kernel => kernel.EntryPoints), entry => Assert.Contains($".visible .entry {entry}(", ptx, StringComparison.Ordinal));
        }
    }

    [Theory]
    [InlineData(75, null)]
    [InlineData(80, 80)]
    [InlineData(89, 80)]
    [InlineData(90, 90)]
    [InlineData(120, 90)]
    public void PTX_is_the_best_that_a_device_can_run(int computeCapability, int? expected)
    {
        var ptx = GpuKernelLibrary.Source.Ptx(computeCapability);
        Assert.Equal(expected is null ? null : GpuKernelLibrary.Source.Ptx(expected.Value), ptx);
    }

    [Fact]
    public void The_text_for_OpenCL_includes_nothing() =>
        Assert.All(AllKernels.Select(kernel => kernel.Source).Distinct(), source => Assert.DoesNotContain("#include \"", source.OpenClText, StringComparison.Ordinal));

    [Theory]
    [InlineData(KernelNames.DecodePaged, 7u, 4u, ElementFormat.Float32, "kv_decode_paged_4x128_f32")]
    [InlineData(KernelNames.DecodePaged, 128u, 5u, ElementFormat.Float16, "kv_decode_paged_8x128_f16")]
    [InlineData(KernelNames.DecodeContiguous, 576u, 16u, ElementFormat.BFloat16, "kv_decode_contiguous_4x640_bf16")]
    [InlineData(KernelNames.PrefillPaged, 128u, 4u, ElementFormat.BFloat16, "kv_prefill_paged_16x128_bf16")]
    [InlineData(KernelNames.PrefillContiguous, 256u, 4u, ElementFormat.Float16, "kv_prefill_contiguous_4x640_f16")]
    public void Attention_picks_an_entry_point_with_room(string name, uint headDim, uint group, ElementFormat format, string expected)
    {
        var kernel = GpuKernelLibrary.All.Single(k => k.Name == name);
        var launch = Plan(kernel, Attention(headDim, group, format));
        Assert.Equal(expected, kernel.EntryPoints[launch.EntryPoint]);
        Assert.False(launch.IsEmpty);
    }

    [Fact]
    public void Attention_refuses_heads_that_are_too_large()
    {
        var kernel = GpuKernelLibrary.All.Single(k => k.Name == KernelNames.DecodePaged);
        var error = Assert.Throws<ArgumentException>(() => Plan(kernel, Attention(641, 1, ElementFormat.Float16)));
        Assert.Contains("641", error.Message, StringComparison.Ordinal);
        Assert.Contains("640", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plans_refuse_arguments_of_another_size() =>
        Assert.All(GpuKernelLibrary.All, kernel => Assert.Throws<ArgumentException>(() => kernel.Plan(new byte[20], ComputeUnits)));

    [Theory]
    [InlineData(1, 16u, 1u, "entry point 1 of 1")]
    [InlineData(0, 8u, 1u, "8 lanes")]
    [InlineData(0, 272u, 1u, "up to 256")]
    [InlineData(0, 16u, 65_536u, "65535")]
    public void A_plan_that_no_device_can_run_is_refused(int entryPoint, uint groupSize, uint groupsY, string expected)
    {
        var kernel = new GpuKernel("wrong", GpuKernelLibrary.Source, ["kv_copy"], (_, _) => new GpuLaunch(entryPoint, groupSize, 1, groupsY));
        var error = Assert.Throws<InvalidOperationException>(() => kernel.Spread([], ComputeUnits));
        Assert.Contains("wrong", error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plans_allocate_nothing()
    {
        var decode = GpuKernelLibrary.All.Single(k => k.Name == KernelNames.DecodePaged);
        var copy = GpuKernelLibrary.All.Single(k => k.Name == KernelNames.Copy);
        var attention = Attention(128, 4, ElementFormat.Float16);
        var range = new CopyArguments { Bytes = 12345 };
        long before = 0;
        for (var i = 0; i < 100; i++)
        {
            // The first rounds compile.
            before = i == 50 ? GC.GetAllocatedBytesForCurrentThread() : before;
            decode.Spread(MemoryMarshal.AsBytes(new ReadOnlySpan<AttentionArguments>(in attention)), ComputeUnits);
            copy.Spread(MemoryMarshal.AsBytes(new ReadOnlySpan<CopyArguments>(in range)), ComputeUnits);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void Nothing_to_do_is_an_empty_launch()
    {
        var empty = Attention(128, 4, ElementFormat.Float16);
        empty.Kv.Batch = 0;
        Assert.All(GpuKernelLibrary.All.Where(k => k.Name.StartsWith("attention", StringComparison.Ordinal)), kernel => Assert.True(Plan(kernel, empty).IsEmpty));
        Assert.True(Plan(GpuKernelLibrary.All.Single(k => k.Name == KernelNames.Copy), default(CopyArguments)).IsEmpty);
        Assert.True(Plan(GpuKernelLibrary.All.Single(k => k.Name == KernelNames.CopyBatch), default(CopyBatchArguments)).IsEmpty);
        Assert.True(Plan(GpuKernelLibrary.All.Single(k => k.Name == KernelNames.UpdateTable), default(TableUpdateArguments)).IsEmpty);
    }

    [Fact]
    public void Addresses_stand_where_the_structs_have_them()
    {
        var write = GpuKernelLibrary.All.Single(k => k.Name == KernelNames.WritePaged);
        Assert.Equal([0, 8, 16, 24, 112, 120, 128], write.Addresses.ToArray());
        Assert.Equal(136, Unsafe.SizeOf<KvWriteArguments>());
        Assert.Equal([0, 8, 16, 24, 32, 40, 48], GpuKernelLibrary.All.Single(k => k.Name == KernelNames.PageTable).Addresses.ToArray());
    }

    private static GpuLaunch Plan<T>(GpuKernel kernel, T arguments)
        where T : unmanaged =>
        kernel.Spread(MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in arguments)), ComputeUnits);

    private static AttentionArguments Attention(uint headDim, uint group, ElementFormat format)
    {
        var elementBytes = format == ElementFormat.Float32 ? 4u : 2u;
        var shape = new KvShape { Layers = 1, Planes = 2, Heads = 2, HeadDim = headDim, ElementBytes = elementBytes };
        return new AttentionArguments { Kv = new KvBatch { Shape = shape, Batch = 3, Format = format }, QueryHeads = 2 * group, MaxParts = 9 };
    }
}
