using Kvcached.Devices;
using Kvcached.Memory;

namespace Kvcached.Tiers;

/// <summary>Cold copies in host memory. A freed slot is the slot plus its frontier, like a block (I2).</summary>
internal sealed class ColdTier(DeviceMemory? memory, long unitBytes, TimelineTable timelines)
{
    /// <summary>The cold memory; null where nothing can be evicted.</summary>
    public DeviceMemory? Memory { get; } = memory;

    public BlockPool Pool { get; } = new(memory?.Bytes ?? 0, unitBytes, timelines);
}
