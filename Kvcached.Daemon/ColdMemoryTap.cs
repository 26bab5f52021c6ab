using Kvcached.Devices;

namespace Kvcached.Daemon;

/// <summary>
/// Passes everything on to another device and remembers what it allocated: how much device memory is held, and where cold copies lie, so
/// that a bit can be flipped there on purpose. Thread-safe.
/// </summary>
internal sealed class ColdMemoryTap(IDevice inner) : IDevice
{
    private const string ColdLabel = "cold";

    private readonly Lock _gate = new();
    private readonly List<DeviceMemory> _cold = [];

    /// <inheritdoc/>
    public string Name => inner.Name;

    /// <summary>Host memory that was allocated for cold copies, in order of allocation.</summary>
    /// <remarks>A range whose owner has disposed it is still listed: look only while the cache is open.</remarks>
    public IReadOnlyList<DeviceMemory> Cold
    {
        get
        {
            lock (_gate)
            {
                return [.. _cold];
            }
        }
    }

    /// <summary>Bytes of device memory allocated through this device.</summary>
    public long DeviceBytes { get; private set; }

    /// <inheritdoc/>
    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label)
    {
        var memory = inner.Allocate(bytes, kind, label);
        lock (_gate)
        {
            if (kind == MemoryKind.Device)
            {
                DeviceBytes += bytes;
            }
            else if (label.Contains(ColdLabel, StringComparison.Ordinal))
            {
                _cold.Add(memory);
            }
        }

        return memory;
    }

    /// <inheritdoc/>
    public DeviceMemory AllocateElastic(long bytes, long populated, string label)
    {
        var memory = inner.AllocateElastic(bytes, populated, label);
        lock (_gate)
        {
            DeviceBytes += bytes;
        }

        return memory;
    }

    /// <inheritdoc/>
    public DeviceQueue CreateQueue(string label) => inner.CreateQueue(label);

    /// <inheritdoc/>
    public DeviceTimeline CreateTimeline(string label) => inner.CreateTimeline(label);

    /// <inheritdoc/>
    public DeviceKernel LoadKernel(string name) => inner.LoadKernel(name);

    /// <summary>Disposes the device.</summary>
    public void Dispose() => inner.Dispose();
}
