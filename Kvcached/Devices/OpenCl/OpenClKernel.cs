using Kvcached.Kernels.Gpu;

namespace Kvcached.Devices.OpenCl;

/// <summary>A loaded kernel: its functions' places among the device's.</summary>
internal sealed class OpenClKernel(OpenClDevice device, GpuKernel kernel, int firstFunction) : DeviceKernel(kernel.Name)
{
    internal OpenClDevice Device { get; } = device;

    internal GpuKernel Kernel { get; } = kernel;

    /// <summary>Place of entry point 0 among the device's functions.</summary>
    internal int FirstFunction { get; } = firstFunction;
}

/// <summary>A function of a program, of which each queue has a kernel object of its own.</summary>
internal readonly record struct OpenClFunction(OpenClProgram Program, string Name);
