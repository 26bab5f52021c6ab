using Kvcached.Devices;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Passes everything on to another device and remembers queues and memory by label, so that what a cache uses can be used beside it. Owns
/// that device. One thread at a time.
/// </summary>
internal sealed class TappedDevice(IDevice inner) : IDevice
{
    private readonly Dictionary<string, DeviceQueue> _queues = [];
    private readonly Dictionary<string, DeviceMemory> _memory = [];

    public string Name => inner.Name;

    /// <summary>The queue that was created last with a label.</summary>
    public DeviceQueue Queue(string label) => _queues[label];

    /// <summary>The memory that was allocated last with a label.</summary>
    public DeviceMemory Memory(string label) => _memory[label];

    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label) => _memory[label] = inner.Allocate(bytes, kind, label);

    public DeviceQueue CreateQueue(string label) => _queues[label] = inner.CreateQueue(label);

    public DeviceTimeline CreateTimeline(string label) => inner.CreateTimeline(label);

    public DeviceKernel LoadKernel(string name) => inner.LoadKernel(name);

    public void Dispose() => inner.Dispose();
}
