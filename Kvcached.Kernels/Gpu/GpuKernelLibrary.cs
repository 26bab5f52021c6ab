using System.Collections.Immutable;

namespace Kvcached.Kernels.Gpu;

/// <summary>The kernels that devices with compilers of their own have built in, under <see cref="KernelNames"/>. Thread-safe.</summary>
public static class GpuKernelLibrary
{
    /// <summary>Where they stand.</summary>
    public static GpuSource Source { get; } = new("kernels", typeof(GpuKernelLibrary).Assembly, "kernels.cl");

    /// <summary>All built-in kernels.</summary>
    public static IReadOnlyList<GpuKernel> All { get; } =
    [
        Write(KernelNames.WritePaged, "kv_write_paged"),
        Write(KernelNames.WriteContiguous, "kv_write_contiguous"),
        Attention(KernelNames.DecodePaged, AttentionLaunches.EntryPoints("kv_decode_paged", AttentionLaunches.DecodeSizes), AttentionLaunches.Decode),
        Attention(KernelNames.DecodeContiguous, AttentionLaunches.EntryPoints("kv_decode_contiguous", AttentionLaunches.DecodeSizes), AttentionLaunches.Decode),
        Attention(KernelNames.Merge, ["kv_merge"], AttentionLaunches.Merge),
        Attention(KernelNames.PrefillPaged, AttentionLaunches.EntryPoints("kv_prefill_paged", AttentionLaunches.PrefillSizes), AttentionLaunches.Prefill),
        Attention(KernelNames.PrefillContiguous, AttentionLaunches.EntryPoints("kv_prefill_contiguous", AttentionLaunches.PrefillSizes), AttentionLaunches.Prefill),
        Kernel<CopyArguments>(KernelNames.Copy, "kv_copy", MoveLaunches.Copy, nameof(CopyArguments.Source), nameof(CopyArguments.Target)),
        Kernel<CopyBatchArguments>(KernelNames.CopyBatch, "kv_copy_batch", MoveLaunches.CopyBatch, nameof(CopyBatchArguments.Source), nameof(CopyBatchArguments.Target)),
        Kernel<FillArguments>(KernelNames.Fill, "kv_fill", MoveLaunches.Fill, nameof(FillArguments.Target)),
        BlockRows(KernelNames.Gather, "kv_gather_blocks"),
        BlockRows(KernelNames.Scatter, "kv_scatter_blocks"),
        PageTables(),
        Windows(KernelNames.GatherWindows, "kv_gather_windows"),
        Windows(KernelNames.StoreWindows, "kv_store_windows"),
        Stamps(KernelNames.Stamp, "kv_stamp"),
        Stamps(KernelNames.Verify, "kv_verify"),
        Kernel<TableUpdateArguments>(KernelNames.UpdateTable, "kv_update_table", MoveLaunches.UpdateTable, nameof(TableUpdateArguments.Table), nameof(TableUpdateArguments.Updates)),
    ];

    private static string[] BatchAddresses => [nameof(KvBatch.Views), nameof(KvBatch.Entries), nameof(KvBatch.Pool), nameof(KvBatch.Buffers)];

    private static GpuKernel Write(string name, string function) =>
        new(
            name,
            Source,
            AttentionLaunches.Formats(function),
            MoveLaunches.Write,
            [.. OffsetsOf<KvBatch>(BatchAddresses), .. OffsetsOf<KvWriteArguments>(nameof(KvWriteArguments.Keys), nameof(KvWriteArguments.Values), nameof(KvWriteArguments.RowStarts))]);

    private static GpuKernel Attention(string name, ImmutableArray<string> entryPoints, GpuLaunchPlan plan) =>
        new(
            name,
            Source,
            entryPoints,
            plan,
            [
                .. OffsetsOf<KvBatch>(BatchAddresses),
                .. OffsetsOf<AttentionArguments>(nameof(AttentionArguments.Queries), nameof(AttentionArguments.Outputs), nameof(AttentionArguments.RowStarts), nameof(AttentionArguments.Partials)),
            ]);

    private static GpuKernel BlockRows(string name, string function) => Kernel<BlockRowsArguments>(
        name,
        function,
        MoveLaunches.BlockRows,
        nameof(BlockRowsArguments.Views),
        nameof(BlockRowsArguments.Entries),
        nameof(BlockRowsArguments.Pool),
        nameof(BlockRowsArguments.Buffers),
        nameof(BlockRowsArguments.BufferMemory));

    private static GpuKernel PageTables()
    {
        var table = GpuKernel.OffsetOf<PageTableArguments>(nameof(PageTableArguments.Table));
        var inTable = OffsetsOf<PageTable>(nameof(PageTable.BlockTable), nameof(PageTable.SequenceLengths), nameof(PageTable.Indptr), nameof(PageTable.Indices), nameof(PageTable.LastPageLengths));
        return new GpuKernel(
            KernelNames.PageTable,
            Source,
            ["kv_page_tables"],
            MoveLaunches.PageTable,
            [.. OffsetsOf<PageTableArguments>(nameof(PageTableArguments.Views), nameof(PageTableArguments.Entries)), .. inTable.Select(offset => table + offset)]);
    }

    private static GpuKernel Windows(string name, string function) => Kernel<WindowArguments>(
        name,
        function,
        MoveLaunches.Windows,
        nameof(WindowArguments.Views),
        nameof(WindowArguments.Entries),
        nameof(WindowArguments.Pool),
        nameof(WindowArguments.Windows),
        nameof(WindowArguments.FirstTokens));

    private static GpuKernel Stamps(string name, string function) => Kernel<StampArguments>(
        name,
        function,
        MoveLaunches.Stamps,
        nameof(StampArguments.Pool),
        nameof(StampArguments.Entries),
        nameof(StampArguments.Views),
        nameof(StampArguments.Sequences),
        nameof(StampArguments.Tally));

    private static GpuKernel Kernel<T>(string name, string function, GpuLaunchPlan plan, params ReadOnlySpan<string> addresses)
        where T : unmanaged =>
        new(name, Source, [function], plan, OffsetsOf<T>(addresses));

    private static int[] OffsetsOf<T>(params ReadOnlySpan<string> fields)
        where T : unmanaged
    {
        var offsets = new int[fields.Length];
        for (var i = 0; i < offsets.Length; i++)
        {
            offsets[i] = GpuKernel.OffsetOf<T>(fields[i]);
        }

        return offsets;
    }
}
