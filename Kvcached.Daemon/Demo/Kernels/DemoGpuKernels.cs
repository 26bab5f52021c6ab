using Kvcached.Kernels.Gpu;

namespace Kvcached.Daemon.Demo.Kernels;

/// <summary>The demo's kernels for devices that compile them, <c>gpu/demo.cl</c>, and how they are spread.</summary>
internal static class DemoGpuKernels
{
    private const uint Lanes = 128;
    private const uint MatMulTileRows = 12;

    private static readonly GpuSource _source = new("demo", typeof(DemoGpuKernels).Assembly, "demo.cl");

    /// <summary>All kernels that the model needs beside those of <c>Kvcached.Kernels</c>.</summary>
    public static IReadOnlyList<GpuKernel> All { get; } =
    [
        Kernel<StepRowsArguments>(StepRows.Name, "demo_step_rows", (_, _) => new(0, Lanes, 1), nameof(StepRowsArguments.Views), nameof(StepRowsArguments.Requests), nameof(StepRowsArguments.RowInfos), nameof(StepRowsArguments.RowStarts)),
        Kernel<EmbedArguments>(Embed.Name, "demo_embed", static (blob, _) => Rows(GpuKernel.ArgumentsAs<EmbedArguments>(blob).Rows), nameof(EmbedArguments.RowInfos), nameof(EmbedArguments.Tokens), nameof(EmbedArguments.Table), nameof(EmbedArguments.Output)),
        Kernel<RmsNormArguments>(RmsNorm.Name, "demo_rms_norm", static (blob, _) => Rows(GpuKernel.ArgumentsAs<RmsNormArguments>(blob).Rows), nameof(RmsNormArguments.Input), nameof(RmsNormArguments.Gain), nameof(RmsNormArguments.Output)),
        Kernel<MatMulArguments>(MatMul.Name, "demo_matmul", PlanMatMul, nameof(MatMulArguments.Input), nameof(MatMulArguments.Weights), nameof(MatMulArguments.Output)),
        Kernel<RopeArguments>(Rope.Name, "demo_rope", static (blob, _) => Rows(GpuKernel.ArgumentsAs<RopeArguments>(blob).Rows), nameof(RopeArguments.RowInfos), nameof(RopeArguments.Table), nameof(RopeArguments.Heads)),
        Kernel<SwiGluArguments>(SwiGlu.Name, "demo_swiglu", static (blob, _) => Rows(GpuKernel.ArgumentsAs<SwiGluArguments>(blob).Rows), nameof(SwiGluArguments.Input), nameof(SwiGluArguments.Output)),
        Kernel<SampleArguments>(Sample.Name, "demo_sample", static (blob, _) => Rows(GpuKernel.ArgumentsAs<SampleArguments>(blob).Rows) with { GroupSize = GpuLaunch.CpuLanes }, nameof(SampleArguments.RowInfos), nameof(SampleArguments.Logits), nameof(SampleArguments.PromptTokens), nameof(SampleArguments.Tokens), nameof(SampleArguments.Records)),
    ];

    // A group is one row.
    private static GpuLaunch Rows(int rows) => new(0, Lanes, (uint)rows);

    // A group is a panel of columns, in which every 32 lanes take a tile of rows at a time.
    private static GpuLaunch PlanMatMul(ReadOnlySpan<byte> blob, int computeUnits)
    {
        ref readonly var arguments = ref GpuKernel.ArgumentsAs<MatMulArguments>(blob);
        const uint panel = MatMul.PanelColumns;
        var tiles = ((uint)arguments.Rows + MatMulTileRows - 1) / MatMulTileRows;
        var panels = (uint)arguments.Columns / panel;
        if (tiles == 0 || panels == 0)
        {
            return default;
        }

        var tilesAtOnce = Math.Min(tiles, Lanes / panel);
        var shares = Math.Min((tiles + tilesAtOnce - 1) / tilesAtOnce, (((uint)computeUnits * 8) + panels - 1) / panels);
        return new GpuLaunch(0, tilesAtOnce * panel, panels, shares);
    }

    private static GpuKernel Kernel<T>(string name, string function, GpuLaunchPlan plan, params ReadOnlySpan<string> addresses)
        where T : unmanaged
    {
        Span<int> offsets = stackalloc int[addresses.Length];
        for (var i = 0; i < offsets.Length; i++)
        {
            offsets[i] = GpuKernel.OffsetOf<T>(addresses[i]);
        }

        return new GpuKernel(name, _source, [function], plan, offsets);
    }
}
