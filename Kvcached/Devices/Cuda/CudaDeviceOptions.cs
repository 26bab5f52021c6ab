using Kvcached.Kernels.Gpu;

namespace Kvcached.Devices.Cuda;

/// <summary>What a cuda device is opened with.</summary>
public sealed record CudaDeviceOptions
{
    /// <summary>Number of the GPU, as the driver counts those that <c>CUDA_VISIBLE_DEVICES</c> leaves.</summary>
    public int Ordinal { get; init; }

    /// <summary>Kernels beside those of <see cref="GpuKernelLibrary"/>. Compiled by the driver when the device is opened.</summary>
    public IReadOnlyList<GpuKernel> Kernels { get; init; } = [];

    /// <summary>The most memory to allocate, of both kinds; null for all of the GPU's and of the host's.</summary>
    public long? MaxBytes { get; init; }
}
