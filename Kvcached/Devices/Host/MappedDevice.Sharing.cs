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
        var own = Own(memory);
        return own.Access == SharedAccess.Private || own.IsImported
            ? throw new InvalidOperationException($"{memory.Label} was not allocated here to be shared.")
            : own.Mapping.Descriptor;
    }

    /// <inheritdoc/>
    public DeviceMemory Import(SafeFileHandle descriptor, long bytes, MemoryKind kind, SharedAccess access, string label)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        SharedMapping mapping;
        try
        {
            Check(bytes, kind, label);
            if (access is not (SharedAccess.ReadOnlyForOthers or SharedAccess.ReadWriteForOthers))
            {
                throw new ArgumentOutOfRangeException(nameof(access), access, "Memory of another process is shared for reading, or for reading and writing.");
            }

            mapping = SharedMapping.Import(descriptor, bytes, access == SharedAccess.ReadWriteForOthers);
        }
        catch (Win32Exception e)
        {
            throw new OutOfDeviceMemoryException($"{Name} cannot map {bytes} bytes for {label}: {e.Message}", e);
        }
        catch
        {
            descriptor.Dispose();
            throw;
        }

        lock (_lock)
        {
            if (_disposed)
            {
                mapping.Dispose();
                throw new ObjectDisposedException(Name);
            }

            var memory = Map(mapping, label, kind, bytes, access, isImported: true);
            _memories.Add(memory);
            return memory;
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

    private void ReleaseRetired()
    {
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
