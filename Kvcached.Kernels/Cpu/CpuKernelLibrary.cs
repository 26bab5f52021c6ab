namespace Kvcached.Kernels.Cpu;

/// <summary>The kernels that a device with host-addressable memory has built in, and their names. Thread-safe.</summary>
public static unsafe class CpuKernelLibrary
{
    /// <summary>Stores keys and values of new tokens through the table: <see cref="KvWriteArguments"/>.</summary>
    public const string WritePaged = "kv.write.paged";

    /// <summary>Stores keys and values of new tokens in contiguous buffers: <see cref="KvWriteArguments"/>.</summary>
    public const string WriteContiguous = "kv.write.contiguous";

    /// <summary>Attention of each sequence's last position, in parts; <see cref="Merge"/> completes it: <see cref="AttentionArguments"/>.</summary>
    public const string DecodePaged = "attention.decode.paged";

    /// <summary>The twin of <see cref="DecodePaged"/> over contiguous buffers.</summary>
    public const string DecodeContiguous = "attention.decode.contiguous";

    /// <summary>Merges the parts that a decode launch with the same arguments left: <see cref="AttentionArguments"/>.</summary>
    public const string Merge = "attention.merge";

    /// <summary>Causal attention of all new tokens: <see cref="AttentionArguments"/>.</summary>
    public const string PrefillPaged = "attention.prefill.paged";

    /// <summary>The twin of <see cref="PrefillPaged"/> over contiguous buffers.</summary>
    public const string PrefillContiguous = "attention.prefill.contiguous";

    /// <summary>Copies a range: <see cref="CopyArguments"/>.</summary>
    public const string Copy = "copy";

    /// <summary>Fills a range with a byte: <see cref="FillArguments"/>.</summary>
    public const string Fill = "fill";

    /// <summary>Copies rows of blocks into contiguous buffers: <see cref="BlockRowsArguments"/>.</summary>
    public const string Gather = "blocks.gather";

    /// <summary>Copies contiguous buffers into rows of blocks: <see cref="BlockRowsArguments"/>.</summary>
    public const string Scatter = "blocks.scatter";

    /// <summary>Writes the page tables of a step: <see cref="PageTableArguments"/>.</summary>
    public const string PageTable = "tables.pages";

    /// <summary>Copies what a step's sequences had before it from their blocks to their windows: <see cref="WindowArguments"/>.</summary>
    public const string GatherWindows = "windows.gather";

    /// <summary>Copies a step's new tokens from windows to blocks: <see cref="WindowArguments"/>.</summary>
    public const string StoreWindows = "windows.store";

    /// <summary>All built-in kernels.</summary>
    public static IReadOnlyList<CpuKernel> All { get; } =
    [
        new(WritePaged, &WriteKernel.Items, &WriteKernel.Run<PagedTokens>),
        new(WriteContiguous, &WriteKernel.Items, &WriteKernel.Run<ContiguousTokens>),
        new(DecodePaged, &DecodeKernel.Items, &DecodeKernel.Run<PagedTokens>),
        new(DecodeContiguous, &DecodeKernel.Items, &DecodeKernel.Run<ContiguousTokens>),
        new(Merge, &MergeKernel.Items, &MergeKernel.Run),
        new(PrefillPaged, &PrefillKernel.Items, &PrefillKernel.Run<PagedTokens>),
        new(PrefillContiguous, &PrefillKernel.Items, &PrefillKernel.Run<ContiguousTokens>),
        new(Copy, &CopyKernel.Items, &CopyKernel.Run),
        new(Fill, &FillKernel.Items, &FillKernel.Run),
        new(Gather, &GatherKernel.Items, &GatherKernel.Run),
        new(Scatter, &ScatterKernel.Items, &ScatterKernel.Run),
        new(PageTable, &PageTableKernel.Items, &PageTableKernel.Run),
        new(GatherWindows, &WindowKernel<GatherCopy>.Items, &WindowKernel<GatherCopy>.Run),
        new(StoreWindows, &WindowKernel<StoreCopy>.Items, &WindowKernel<StoreCopy>.Run),
        StampKernel.Kernel,
        VerifyKernel.Kernel,
    ];
}
