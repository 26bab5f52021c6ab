using Kvcached.Kernels.Gpu;

namespace Kvcached.Devices.OpenCl;

/// <summary>Which OpenCL device to open, and what it is made of.</summary>
public sealed record OpenClDeviceOptions
{
    /// <summary>Number of the platform among those of <see cref="OpenClDevice.List"/>, or a part of its name; null for any.</summary>
    public string? Platform { get; init; }

    /// <summary>Number of the device within its platform, or a part of its name; null for any. Of several that fit, the first that can be used is taken.</summary>
    public string? Device { get; init; }

    /// <summary>Kernels beside those of <c>Kvcached.Kernels</c>, which every device has. Names are unique.</summary>
    public IReadOnlyList<GpuKernel> Kernels { get; init; } = [];

    /// <summary>Bytes that the device may hold, both kinds together; null for what it says that it has.</summary>
    public long? MaxBytes { get; init; }

    /// <summary>Treats a device that can use the host's memory as one that cannot, so that tests reach what such devices need.</summary>
    internal bool OwnMemory { get; init; }

    /// <summary>Lanes that a work-item does the work of: 1 on a CPU, so that tests run what GPUs run. Null for what suits the device.</summary>
    internal uint? Lanes { get; init; }
}
