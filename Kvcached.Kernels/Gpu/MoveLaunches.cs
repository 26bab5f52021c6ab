namespace Kvcached.Kernels.Gpu;

/// <summary>How kernels that move bytes are spread over a device.</summary>
internal static class MoveLaunches
{
    private const uint Lanes = 128;
    private const uint GroupsPerUnit = 32;
    private const ulong BytesPerGroup = 16 * 1024;
    private const ulong BytesPerSmallGroup = 4 * 1024;

    internal static GpuLaunch Write(ReadOnlySpan<byte> blob, int computeUnits)
    {
        ref readonly var arguments = ref GpuKernel.ArgumentsAs<KvWriteArguments>(blob);
        arguments.Kv.Validate();
        return PerSequence(arguments.Kv.Batch, computeUnits) with { EntryPoint = AttentionLaunches.IndexOf(arguments.Kv.Format) };
    }

    internal static GpuLaunch Copy(ReadOnlySpan<byte> blob, int computeUnits) => Bytes(GpuKernel.ArgumentsAs<CopyArguments>(blob).Bytes, computeUnits);

    internal static GpuLaunch CopyBatch(ReadOnlySpan<byte> blob, int computeUnits)
    {
        ref readonly var arguments = ref GpuKernel.ArgumentsAs<CopyBatchArguments>(blob);
        if (arguments.Count > CopyBatchArguments.MaxRanges)
        {
            throw new ArgumentException($"Count is {arguments.Count}; {nameof(CopyBatchArguments)} has room for {CopyBatchArguments.MaxRanges}.");
        }

        var bytes = 0ul;
        for (var i = 0; i < arguments.Count; i++)
        {
            bytes = Math.Max(bytes, arguments[i].Bytes);
        }

        // Small pieces: what counts for small copies is that all of a range is on its way at once.
        return new GpuLaunch(0, Lanes, (uint)Math.Min((bytes + BytesPerSmallGroup - 1) / BytesPerSmallGroup, (uint)computeUnits * GroupsPerUnit), arguments.Count);
    }

    internal static GpuLaunch Fill(ReadOnlySpan<byte> blob, int computeUnits) => Bytes(GpuKernel.ArgumentsAs<FillArguments>(blob).Bytes, computeUnits);

    internal static GpuLaunch BlockRows(ReadOnlySpan<byte> blob, int computeUnits) => PerSequence(GpuKernel.ArgumentsAs<BlockRowsArguments>(blob).Batch, computeUnits);

    internal static GpuLaunch PageTable(ReadOnlySpan<byte> blob, int computeUnits) => new(0, Lanes, GpuKernel.ArgumentsAs<PageTableArguments>(blob).Batch);

    internal static GpuLaunch Windows(ReadOnlySpan<byte> blob, int computeUnits) => PerSequence(GpuKernel.ArgumentsAs<WindowArguments>(blob).Batch, computeUnits);

    internal static GpuLaunch Stamps(ReadOnlySpan<byte> blob, int computeUnits) => PerSequence((uint)GpuKernel.ArgumentsAs<StampArguments>(blob).Count, computeUnits);

    // One group: updates take effect in their order.
    internal static GpuLaunch UpdateTable(ReadOnlySpan<byte> blob, int computeUnits) =>
        new(0, GpuLaunch.MaxGroupSize, GpuKernel.ArgumentsAs<TableUpdateArguments>(blob).Count == 0 ? 0u : 1u);

    // How much of each sequence is to be moved stands in device memory.
    private static GpuLaunch PerSequence(uint batch, int computeUnits) => new(0, Lanes, batch, AttentionLaunches.Share(batch, computeUnits));

    private static GpuLaunch Bytes(ulong bytes, int computeUnits) =>
        new(0, Lanes, (uint)Math.Min((bytes + BytesPerGroup - 1) / BytesPerGroup, (uint)computeUnits * GroupsPerUnit));
}
