namespace Kvcached.Kernels.Cpu;

/// <summary>The kernels that a device with host-addressable memory has built in, under <see cref="KernelNames"/>. Thread-safe.</summary>
public static unsafe class CpuKernelLibrary
{
    /// <summary>All built-in kernels.</summary>
    public static IReadOnlyList<CpuKernel> All { get; } =
    [
        new(KernelNames.WritePaged, &WriteKernel.Items, &WriteKernel.Run<PagedTokens>),
        new(KernelNames.WriteContiguous, &WriteKernel.Items, &WriteKernel.Run<ContiguousTokens>),
        new(KernelNames.DecodePaged, &DecodeKernel.Items, &DecodeKernel.Run<PagedTokens>),
        new(KernelNames.DecodeContiguous, &DecodeKernel.Items, &DecodeKernel.Run<ContiguousTokens>),
        new(KernelNames.Merge, &MergeKernel.Items, &MergeKernel.Run),
        new(KernelNames.PrefillPaged, &PrefillKernel.Items, &PrefillKernel.Run<PagedTokens>),
        new(KernelNames.PrefillContiguous, &PrefillKernel.Items, &PrefillKernel.Run<ContiguousTokens>),
        new(KernelNames.Copy, &CopyKernel.Items, &CopyKernel.Run),
        new(KernelNames.Fill, &FillKernel.Items, &FillKernel.Run),
        new(KernelNames.Gather, &GatherKernel.Items, &GatherKernel.Run),
        new(KernelNames.Scatter, &ScatterKernel.Items, &ScatterKernel.Run),
        new(KernelNames.PageTable, &PageTableKernel.Items, &PageTableKernel.Run),
        new(KernelNames.GatherWindows, &WindowKernel<GatherCopy>.Items, &WindowKernel<GatherCopy>.Run),
        new(KernelNames.StoreWindows, &WindowKernel<StoreCopy>.Items, &WindowKernel<StoreCopy>.Run),
        StampKernel.Kernel,
        VerifyKernel.Kernel,
    ];
}
