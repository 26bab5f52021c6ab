using Kvcached.Devices.Linux;

namespace Kvcached.Devices.Host;

/// <summary>
/// What devices have in common whose timelines lie in this process's mappings, and whose memory mostly does: memory, timelines, what becomes of queues. Owns all that it
/// creates: disposing it ends its queues (what has not started is given up) and then gives its memory back; disposing it while another thread uses its memory is a broken
/// contract. Thread-safe: what a driver may take its time for (<see cref="AllocateCore"/> and the like) is done outside the lock, by any number of threads at a time, so nobody who signals,
/// stops a queue or loses the device waits for it.
/// </summary>
public abstract unsafe partial class MappedDevice : ISharingDevice
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, DeviceKernel> _kernels = new(StringComparer.Ordinal);
    private readonly HashSet<HostQueue> _queues = [];
    private readonly HashSet<DeviceMemory> _memories = [];
    private readonly List<TimelineSlab> _slabs = [];
    private readonly long _maxBytes;
    private KindBytes _deviceBytes;
    private KindBytes _hostBytes;

    /// <summary>Bytes that are being allocated.</summary>
    private long _reserved;

    /// <summary>Calls that are making something; none begins once the device is disposed.</summary>
    private int _making;

    /// <summary>Element 0 of a pinned array: rung when something has been made.</summary>
    private readonly Doorbell[] _made = GC.AllocateArray<Doorbell>(16, pinned: true);
    private DeviceLostException? _fault;
    private bool _disposed;

    private protected MappedDevice(string name, long maxBytes)
    {
        Name = name;
        _maxBytes = maxBytes;
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public virtual SharedMemoryKind SharedMemory => SharedMemoryKind.Host;

    /// <summary>Why the device was lost, or null while it works.</summary>
    public DeviceLostException? Fault => Volatile.Read(ref _fault);

    /// <summary>Memory of kind <see cref="MemoryKind.Device"/> that is allocated, in bytes, by whole pages.</summary>
    public long DeviceBytes => Volatile.Read(ref _deviceBytes.Now);

    /// <summary>The most that <see cref="DeviceBytes"/> has been.</summary>
    public long DeviceBytesPeak => Volatile.Read(ref _deviceBytes.Peak);

    /// <summary>Memory of kind <see cref="MemoryKind.Host"/> that is allocated, in bytes, by whole pages.</summary>
    public long HostBytes => Volatile.Read(ref _hostBytes.Now);

    /// <summary>The most that <see cref="HostBytes"/> has been.</summary>
    public long HostBytesPeak => Volatile.Read(ref _hostBytes.Peak);

    /// <summary>Whether the device writes timelines by itself, and rings nobody.</summary>
    internal virtual bool SignalsSilently => false;

    /// <summary>Whether what was submitted may name for ever what it was given, so that nothing of it is given back.</summary>
    internal virtual bool IsAbandoned => false;

    internal bool IsLost => Volatile.Read(ref _fault) != null;

    /// <inheritdoc/>
    public DeviceKernel LoadKernel(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return _kernels.TryGetValue(name, out var kernel)
            ? kernel
            : throw new KernelNotFoundException($"{Name} has no kernel {name}. It has: {string.Join(", ", _kernels.Keys.Order(StringComparer.Ordinal))}.");
    }

    /// <summary>Ends the queues, and gives the memory back.</summary>
    public void Dispose()
    {
        HostQueue[] queues;
        DeviceMemory[] memories;
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
        }

        var nothing = new NothingIsMade(this);
        _made[0].Await(ref nothing, HostTimeline.SpinTicks);
        lock (_lock)
        {
            queues = [.. _queues];
            memories = [.. _memories];
        }

        // All are asked first, so that ending takes as long as the longest command and not the sum.
        foreach (var queue in queues)
        {
            RequestStop(queue);
        }

        foreach (var queue in queues)
        {
            queue.Dispose();
        }

        EndQueues();
        foreach (var memory in memories)
        {
            memory.Dispose();
        }

        End();
        GC.SuppressFinalize(this);
    }

    /// <summary>The device is lost: records the first cause, stops all queues and makes host threads that wait look at the fault.</summary>
    /// <param name="what">What failed: "the kernel copy".</param>
    /// <param name="cause">How.</param>
    internal void Lose(string what, Exception cause)
    {
        var fault = new DeviceLostException($"{Name} is lost: {what} failed: {cause.Message}", cause);
        if (Interlocked.CompareExchange(ref _fault, fault, null) != null)
        {
            return;
        }

        lock (_lock)
        {
            foreach (var queue in _queues)
            {
                queue.RequestStop();
            }

            foreach (var slab in _slabs)
            {
                slab.RingAll();
            }
        }
    }

    /// <summary>Looks whether the device still works, where it does not say so by itself. Any thread that waits, without the lock.</summary>
    internal virtual void Look()
    {
    }

    /// <inheritdoc/>
    void ISharingDevice.ThrowIfLost()
    {
        Look();
        ThrowIfLost();
    }

    /// <summary>Throws the fault, if there is one.</summary>
    internal void ThrowIfLost()
    {
        if (Volatile.Read(ref _fault) is { } fault)
        {
            // A new exception each time: one object thrown by several threads would mix up their stacks.
            throw new DeviceLostException(fault.Message, fault.InnerException);
        }
    }

    /// <summary>Makes a queue end soon. Under the lock: what the queue waits on is not unmapped meanwhile.</summary>
    internal void RequestStop(HostQueue queue)
    {
        lock (_lock)
        {
            queue.RequestStop();
        }
    }

    /// <summary>Forgets a queue that has ended.</summary>
    internal void Release(HostQueue queue)
    {
        lock (_lock)
        {
            _queues.Remove(queue);
        }

        ReleaseRetired();
    }

    /// <summary>Forgets memory that is disposed.</summary>
    /// <param name="memory">The memory.</param>
    /// <param name="isImported">Whether another process had allocated it, so that it did not count.</param>
    internal void Release(DeviceMemory memory, bool isImported)
    {
        lock (_lock)
        {
            _memories.Remove(memory);
            if (!isImported)
            {
                BytesOf(memory.Kind).Add(-SharedMapping.RoundToPages(memory.Bytes));
            }
        }
    }

    internal void Release(TimelineSlab slab, TimelineSlot* slot)
    {
        lock (_lock)
        {
            slab.Release(slot);
        }
    }

    private protected static void CheckRange<T>(T value, T least, T most, string name)
        where T : IComparable<T>
    {
        if (value.CompareTo(least) < 0 || value.CompareTo(most) > 0)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} lies between {least} and {most}.");
        }
    }

    /// <summary>Offers a kernel; before the device is used.</summary>
    /// <exception cref="ArgumentException">There is one of that name.</exception>
    private protected void AddKernel(DeviceKernel kernel)
    {
        if (!_kernels.TryAdd(kernel.Name, kernel))
        {
            throw new ArgumentException($"There are two kernels {kernel.Name}.");
        }
    }

    /// <summary>All queues have ended; memory is still there.</summary>
    private protected virtual void EndQueues()
    {
    }

    /// <summary>Memory has been given back too.</summary>
    private protected virtual void End()
    {
    }

    private ref KindBytes BytesOf(MemoryKind kind) => ref kind == MemoryKind.Device ? ref _deviceBytes : ref _hostBytes;

    private readonly struct NothingIsMade(MappedDevice device) : ICondition
    {
        public bool Holds() => Volatile.Read(ref device._making) == 0;
    }

    private struct KindBytes
    {
        internal long Now;
        internal long Peak;

        internal void Add(long bytes)
        {
            Now += bytes;
            Peak = Math.Max(Peak, Now);
        }
    }
}
