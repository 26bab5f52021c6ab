using Kvcached.Devices;

namespace Kvcached.Tests.Client;

/// <summary>Memory of a device that kernels reach, and as much of the host, which not all devices' kernels do.</summary>
internal sealed class StagedMemory(IDevice device, long bytes, string label) : IDisposable
{
    private readonly DeviceMemory _device = device.Allocate(bytes, MemoryKind.Device, label);

    public DeviceMemory Host { get; } = device.Allocate(bytes, MemoryKind.Host, label);

    public ulong Address => _device.Address;

    public void Upload(CommandList commands, long offset, long bytes) => commands.Copy(_device, offset, Host, offset, bytes);

    public void Download(CommandList commands) => commands.Copy(Host, 0, _device, 0, Host.Bytes);

    public void Dispose()
    {
        Host.Dispose();
        _device.Dispose();
    }
}
