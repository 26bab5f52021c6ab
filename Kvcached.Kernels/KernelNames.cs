namespace Kvcached.Kernels;

/// <summary>Names of the built-in kernels, by which <c>IDevice.LoadKernel</c> finds them on every device, and the arguments that each takes.</summary>
public static class KernelNames
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

    /// <summary>Copies several ranges at once: <see cref="CopyBatchArguments"/>. For devices on which each copy costs a launch.</summary>
    public const string CopyBatch = "copy.batch";

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

    /// <summary>Writes the stamps of the tokens that a step appends: <see cref="StampArguments"/>.</summary>
    public const string Stamp = "stamp";

    /// <summary>Compares a step's tokens with their stamps: <see cref="StampArguments"/>.</summary>
    public const string Verify = "verify";

    /// <summary>Writes entries of a table in the order given: <see cref="TableUpdateArguments"/>. For devices that have no other way; the cpu device has.</summary>
    public const string UpdateTable = "tables.update";
}
