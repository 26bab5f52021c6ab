using System.ComponentModel;
using Kvcached.Devices.Linux;

namespace Kvcached.Devices.Host;

/// <summary>How what the device owns is made: memory, queues and timelines.</summary>
public abstract unsafe partial class MappedDevice
{
    /// <inheritdoc/>
    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label) => Allocate(bytes, kind, label, SharedAccess.Private);

    /// <inheritdoc/>
    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label, SharedAccess access)
    {
        Check(bytes, kind, label);
        if (!Enum.IsDefined(access))
        {
            throw new ArgumentOutOfRangeException(nameof(access), access, "There is no such access.");
        }

        return Allocate(bytes, kind, label, () => AllocateCore(bytes, kind, label, access));
    }

    /// <inheritdoc/>
    public DeviceMemory AllocateElastic(long bytes, long populated, string label)
    {
        Check(bytes, MemoryKind.Device, label);
        if (populated < 0 || populated > bytes || ((populated | bytes) % DeviceMemory.PageBytes != 0 && populated < bytes))
        {
            throw new ArgumentOutOfRangeException(nameof(populated), populated, $"They are not whole pages of the {bytes} bytes of {label}.");
        }

        var memory = Allocate(bytes, MemoryKind.Device, label, () => AllocateElasticCore(bytes, populated, label));
        if (memory.Returns == MemoryReturn.AtOnce)
        {
            memory.KeepFirst(populated);
        }

        return memory;
    }

    private DeviceMemory Allocate(long bytes, MemoryKind kind, string label, Func<DeviceMemory> allocate)
    {
        var reserved = SharedMapping.RoundToPages(bytes);
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            var held = _deviceBytes.Now + _hostBytes.Now + _reserved;
            if (bytes > _maxBytes - held)
            {
                throw new OutOfDeviceMemoryException($"{Name} cannot allocate {bytes} bytes for {label}: {held} of {_maxBytes} bytes are allocated.");
            }

            _reserved += reserved;
        }

        try
        {
            return Make(allocate, memory =>
            {
                _memories.Add(memory);
                BytesOf(kind).Add(reserved);
                _reserved -= reserved;
            });
        }
        catch
        {
            lock (_lock)
            {
                _reserved -= reserved;
            }

            throw;
        }
    }

    /// <inheritdoc/>
    public DeviceQueue CreateQueue(string label)
    {
        ArgumentNullException.ThrowIfNull(label);
        ThrowIfLost();
        return Make(() => CreateQueueCore(label), queue =>
        {
            queue.Start();
            _queues.Add(queue);
            if (IsLost)
            {
                // Who lost the device may have looked for queues before.
                queue.RequestStop();
            }
        });
    }

    /// <inheritdoc/>
    public DeviceTimeline CreateTimeline(string label)
    {
        ArgumentNullException.ThrowIfNull(label);
        while (true)
        {
            if (TryCreateTimeline(label) is { } timeline)
            {
                return timeline;
            }

            Make(CreateSlab, _slabs.Add);
        }
    }

    /// <summary>Makes a queue. Any thread, without the lock.</summary>
    private protected abstract HostQueue CreateQueueCore(string label);

    /// <summary>Allocates memory of kind device, of which the first part has memory, and the rest too where that goes at once when it is discarded. Checked, any thread, without the lock.</summary>
    private protected virtual DeviceMemory AllocateElasticCore(long bytes, long populated, string label) =>
        AllocateCore(bytes, MemoryKind.Device, label, SharedAccess.Private);

    /// <summary>Allocates memory that has been checked, and there is enough of. Any thread, without the lock.</summary>
    private protected virtual DeviceMemory AllocateCore(long bytes, MemoryKind kind, string label, SharedAccess access)
    {
        SharedMapping? mapping = null;
        try
        {
            mapping = SharedMapping.Create(bytes, label);
            if (access != SharedAccess.Private)
            {
                mapping.Seal(againstWriting: access == SharedAccess.ReadOnlyForOthers);
            }
        }
        catch (Win32Exception e)
        {
            mapping?.Dispose();
            throw new OutOfDeviceMemoryException($"{Name} cannot allocate {bytes} bytes for {label}: {e.Message}", e);
        }

        return Map(mapping, label, kind, bytes, access, isImported: false);
    }

    /// <summary>Makes memory of a mapping, and takes the mapping over, also when this throws. Any thread, without the lock.</summary>
    private protected virtual MappedMemory Map(SharedMapping mapping, string label, MemoryKind kind, long bytes, SharedAccess access, bool isImported) =>
        new(this, mapping, label, kind, bytes, access, isImported);

    /// <summary>Makes memory for timelines that the device can reach. Any thread, without the lock.</summary>
    private protected virtual TimelineSlab CreateSlab() => new();

    /// <summary>Makes something outside the lock, and notes it under the lock.</summary>
    private T Make<T>(Func<T> make, Action<T> note)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            Interlocked.Increment(ref _making);
        }

        try
        {
            var made = make();
            lock (_lock)
            {
                note(made);
            }

            return made;
        }
        finally
        {
            Interlocked.Decrement(ref _making);
            _made[0].Ring();
        }
    }

    /// <summary>Null where no slab has a slot left.</summary>
    private SlabTimeline? TryCreateTimeline(string label)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            foreach (var slab in _slabs)
            {
                if (slab.Acquire() is var slot && slot != null)
                {
                    return new SlabTimeline(this, slab, slot, label);
                }
            }

            return null;
        }
    }

    private static void Check(long bytes, MemoryKind kind, string label)
    {
        ArgumentNullException.ThrowIfNull(label);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bytes);
        if (kind is not (MemoryKind.Device or MemoryKind.Host))
        {
            throw new ArgumentOutOfRangeException(nameof(kind), kind, "There is no such kind of memory.");
        }
    }
}
