using Kvcached.Devices;

namespace Kvcached.Bench.GpuCheck;

/// <summary>A device that its user may dispose of, and which goes on nevertheless: opening it compiles its kernels, which takes longer than most of what is measured.</summary>
internal sealed class BorrowedDevice(IDevice device) : IDevice
{
    public string Name => device.Name;

    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label) => device.Allocate(bytes, kind, label);

    public DeviceMemory AllocateElastic(long bytes, long populated, string label) => device.AllocateElastic(bytes, populated, label);

    public DeviceQueue CreateQueue(string label) => device.CreateQueue(label);

    public DeviceTimeline CreateTimeline(string label) => device.CreateTimeline(label);

    public DeviceKernel LoadKernel(string name) => device.LoadKernel(name);

    public void Dispose()
    {
    }
}
