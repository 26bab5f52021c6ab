using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>Brings data that the host has made into device memory, before a run starts.</summary>
internal static class DeviceUpload
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(30);

    /// <summary>Allocates device memory with the content that <paramref name="fill"/> writes into host memory of the same size.</summary>
    public static DeviceMemory Create(IDevice device, string label, long bytes, Action<DeviceMemory> fill)
    {
        var memory = device.Allocate(bytes, MemoryKind.Device, label);
        using var staging = device.Allocate(bytes, MemoryKind.Host, $"{label}, staging");
        fill(staging);
        using var queue = device.CreateQueue($"{label}, upload");
        using var done = device.CreateTimeline($"{label}, uploaded");
        var commands = new CommandList();
        commands.Copy(memory, 0, staging, 0, bytes);
        queue.Submit([], commands, new TimelinePoint(done, 1));
        if (!done.WaitOnHost(1, Timeout))
        {
            throw new TimeoutException($"{label}: {bytes} bytes were not uploaded within {Timeout.TotalSeconds} s.");
        }

        return memory;
    }
}
