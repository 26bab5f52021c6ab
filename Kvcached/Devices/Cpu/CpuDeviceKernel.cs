namespace Kvcached.Devices.Cpu;

/// <summary>A loaded kernel: its place among the device's kernels.</summary>
internal sealed class CpuDeviceKernel(CpuDevice device, string name, int index) : DeviceKernel(name)
{
    internal CpuDevice Device { get; } = device;

    internal int Index { get; } = index;
}
