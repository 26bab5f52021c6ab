using Kvcached.Kernels.Gpu;

namespace Kvcached.Devices.Cuda;

/// <summary>What a cuda device is opened with.</summary>
public sealed record CudaDeviceOptions
{
    /// <summary>Number of the GPU, as the driver counts those that <c>CUDA_VISIBLE_DEVICES</c> leaves.</summary>
    public int Ordinal { get; init; }

    /// <summary>Kernels beside those of <see cref="GpuKernelLibrary"/>. Compiled by the driver when the device is opened.</summary>
    public IReadOnlyList<GpuKernel> Kernels { get; init; } = [];

    /// <summary>
    /// Copies of at most so many bytes, between memories that no other process shares, are made by a kernel, several at a time; larger ones, and all that touch shared memory, by the copy
    /// engines. The default is where the two are said to cost the same on an H100; <c>gpu-check --only small_copies</c> measures it. 0 for never.
    /// </summary>
    public int KernelCopyBytes { get; init; } = 28 * 1024;

    /// <summary>The most memory to allocate, of both kinds; null for all of the GPU's and of the host's.</summary>
    public long? MaxBytes { get; init; }

    /// <summary>Bytes by which an elastic pool gets memory and gives it back, at least: a power of two, from 2 MiB on. A pool has 256 such extents at most, so those of a large one are larger.</summary>
    public long ExtentBytes { get; init; } = 64 << 20;
}
