using System.ComponentModel;
using System.Runtime.InteropServices;
using Kvcached.Devices.Linux;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Devices.Host;

/// <summary>What other processes share.</summary>
public abstract unsafe partial class MappedDevice
{
    private readonly RetiredHandles _retired = new();

    /// <inheritdoc/>
    public int TimelineBytes => TimelineSlot.Bytes;

    /// <inheritdoc/>
    public SafeFileHandle DescriptorOf(DeviceMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        return DescriptorOfCore(memory) ?? throw new InvalidOperationException($"{memory.Label} was not allocated here to be shared.");
    }

    /// <inheritdoc/>
    public DeviceMemory Import(SafeFileHandle descriptor, long bytes, MemoryKind kind, SharedAccess access, string label)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        try
        {
            Check(bytes, kind, label);
            if (access is not (SharedAccess.ReadOnlyForOthers or SharedAccess.ReadWriteForOthers))
            {
                throw new ArgumentOutOfRangeException(nameof(access), access, "Memory of another process is shared for reading, or for reading and writing.");
            }

            return Make(() => ImportCore(descriptor, bytes, kind, access, label), memory => _memories.Add(memory));
        }
        catch
        {
            descriptor.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public DeviceTimeline CreateTimeline(DeviceMemory memory, long offset, ulong value, string label)
    {
        HostTimeline.CheckValue(value);
        var own = SharedRange(memory, offset, TimelineSlot.Bytes, TimelineSlot.Bytes);
        if (own.IsImported)
        {
            throw new InvalidOperationException($"{memory.Label} is another process's, which alone can create timelines in it.");
        }

        var timeline = new SharedTimeline(own, offset, label);
        timeline.Slot->Begin(value, own.Access == SharedAccess.ReadOnlyForOthers ? 1 : 0);
        return timeline;
    }

    /// <inheritdoc/>
    public DeviceTimeline ImportTimeline(DeviceMemory memory, long offset, string label) =>
        new SharedTimeline(SharedRange(memory, offset, TimelineSlot.Bytes, TimelineSlot.Bytes), offset, label);

    /// <inheritdoc/>
    public void Poison(DeviceTimeline timeline, ulong value) => Own(timeline).Poison(value);

    /// <inheritdoc/>
    public SignalBell CreateBell(DeviceMemory attention, long offset, uint bits, SafeFileHandle eventDescriptor)
    {
        ArgumentNullException.ThrowIfNull(eventDescriptor);
        return new SignalBell(SharedRange(attention, offset, sizeof(uint), sizeof(uint)), offset, bits, eventDescriptor);
    }

    /// <inheritdoc/>
    public void Attach(DeviceTimeline timeline, SignalBell? bell) => Own(timeline).Bell = bell;

    /// <summary>Releases what submissions may name, once none can.</summary>
    internal void Retire(SafeHandle handle)
    {
        lock (_lock)
        {
            _retired.Add(handle, _queues);
        }

        ReleaseRetired();
    }

    /// <summary>What others import of memory that was allocated here to be shared; null for any other.</summary>
    private protected virtual SafeFileHandle? DescriptorOfCore(DeviceMemory memory) =>
        Own(memory) is { Access: not SharedAccess.Private, IsImported: false } own ? own.Mapping.Descriptor : null;

    /// <summary>Maps memory that another process has allocated. Any thread, without the lock.</summary>
    private protected virtual DeviceMemory ImportCore(SafeFileHandle descriptor, long bytes, MemoryKind kind, SharedAccess access, string label)
    {
        try
        {
            return Map(SharedMapping.Import(descriptor, bytes, access == SharedAccess.ReadWriteForOthers), label, kind, bytes, access, isImported: true);
        }
        catch (Win32Exception e)
        {
            throw new OutOfDeviceMemoryException($"{Name} cannot map {bytes} bytes for {label}: {e.Message}", e);
        }
    }

    private void ReleaseRetired()
    {
        if (IsAbandoned)
        {
            return;
        }

        SafeHandle[] free;
        lock (_lock)
        {
            free = _retired.Take();
        }

        Array.ForEach(free, h => h.Dispose());
    }

    private MappedMemory SharedRange(DeviceMemory memory, long offset, int bytes, int alignment)
    {
        var own = Own(memory);
        if (own.Access == SharedAccess.Private)
        {
            throw new InvalidOperationException($"{memory.Label} was not allocated to be shared.");
        }

        return offset >= 0 && offset % alignment == 0 && offset <= memory.Bytes - bytes
            ? own
            : throw new ArgumentOutOfRangeException(nameof(offset), offset, $"{bytes} bytes there do not lie in the {memory.Bytes} bytes of {memory.Label}, aligned to {alignment}.");
    }

    private MappedMemory Own(DeviceMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        return memory is MappedMemory own && own.Device == this ? own : throw new ArgumentException($"The memory {memory.Label} is not of {Name}.", nameof(memory));
    }

    private HostTimeline Own(DeviceTimeline timeline)
    {
        ArgumentNullException.ThrowIfNull(timeline);
        return timeline is HostTimeline own && own.Device == this ? own : throw new ArgumentException($"The timeline {timeline.Label} is not of {Name}.", nameof(timeline));
    }
}
