using System.ComponentModel;
using Kvcached.Devices.Linux;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;

namespace Kvcached.Devices.Cpu;

/// <summary>
/// The CPU as a device, truly asynchronous: each queue is a thread, kernels run over a persistent team of workers, memory and timelines
/// are shared memory. Owns all that it creates: disposing it ends its queues (what has not started is given up) and then unmaps its
/// memory; disposing it while another thread uses its memory is a broken contract. Thread-safe.
/// </summary>
public sealed unsafe partial class CpuDevice : ISharingDevice
{
    /// <summary>The most workers that a device may have.</summary>
    public const int MaxWorkers = 1024;

    private const int MaxInlineBytes = 64 * 1024;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, CpuDeviceKernel> _kernelsByName = new(StringComparer.Ordinal);
    private readonly HashSet<CpuQueue> _queues = [];
    private readonly HashSet<CpuMemory> _memories = [];
    private readonly List<TimelineSlab> _slabs = [];
    private readonly long _maxBytes;
    private KindBytes _deviceBytes;
    private KindBytes _hostBytes;
    private DeviceLostException? _fault;
    private bool _disposed;

    /// <summary>Opens a device.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An option lies outside its range.</exception>
    /// <exception cref="ArgumentException">Two kernels have the same name.</exception>
    public CpuDevice(CpuDeviceOptions? options = null)
    {
        options ??= new CpuDeviceOptions();
        CheckRange(options.Workers, 1, MaxWorkers, nameof(options.Workers));
        CheckRange(options.WorkerSpinMicroseconds, 0, 10_000, nameof(options.WorkerSpinMicroseconds));
        CheckRange(options.InlineBytes, 0, MaxInlineBytes, nameof(options.InlineBytes));
        CheckRange(options.MaxBytes ?? long.MaxValue, 1, long.MaxValue, nameof(options.MaxBytes));
        ArgumentNullException.ThrowIfNull(options.Kernels);
        Kernels = [.. CpuKernelLibrary.All, .. options.Kernels];
        for (var i = 0; i < Kernels.Length; i++)
        {
            AddKernel(i);
        }

        _maxBytes = options.MaxBytes ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        InlineBytes = options.InlineBytes;
        Workers = options.Workers;
        Name = $"cpu ({Workers} workers)";
        Team = new WorkerTeam(this, Workers, options.WorkerSpinMicroseconds);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>Threads that run the items of one kernel launch, the queue's own included.</summary>
    public int Workers { get; }

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

    /// <summary>As <see cref="CpuDeviceOptions.InlineBytes"/>.</summary>
    internal int InlineBytes { get; }

    internal CpuKernel[] Kernels { get; }

    internal WorkerTeam Team { get; }

    internal bool IsLost => Volatile.Read(ref _fault) != null;

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

        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            var held = _deviceBytes.Now + _hostBytes.Now;
            if (bytes > _maxBytes - held)
            {
                throw new OutOfDeviceMemoryException($"{Name} cannot allocate {bytes} bytes for {label}: {held} of {_maxBytes} bytes are allocated.");
            }

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

            var memory = new CpuMemory(this, mapping, label, kind, bytes, access, isImported: false);
            _memories.Add(memory);
            BytesOf(kind).Add(memory.HeldBytes);
            return memory;
        }
    }

    /// <inheritdoc/>
    public DeviceQueue CreateQueue(string label)
    {
        ArgumentNullException.ThrowIfNull(label);
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            ThrowIfLost();
            var queue = new CpuQueue(this, label);
            queue.Start();
            _queues.Add(queue);
            return queue;
        }
    }

    /// <inheritdoc/>
    public DeviceTimeline CreateTimeline(string label)
    {
        ArgumentNullException.ThrowIfNull(label);
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

            var fresh = new TimelineSlab();
            _slabs.Add(fresh);
            return new SlabTimeline(this, fresh, fresh.Acquire(), label);
        }
    }

    /// <inheritdoc/>
    public DeviceKernel LoadKernel(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return _kernelsByName.TryGetValue(name, out var kernel)
            ? kernel
            : throw new KernelNotFoundException($"{Name} has no kernel {name}. It has: {string.Join(", ", _kernelsByName.Keys.Order(StringComparer.Ordinal))}.");
    }

    /// <summary>Ends the queues, and unmaps the memory.</summary>
    public void Dispose()
    {
        CpuQueue[] queues;
        CpuMemory[] memories;
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
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

        Team.Stop();
        foreach (var memory in memories)
        {
            memory.Dispose();
        }
    }

    /// <summary>The device is lost: records the first cause, stops all queues and makes host threads that wait look at the fault.</summary>
    internal void Lose(int kernel, Exception cause)
    {
        var fault = new DeviceLostException($"{Name} is lost: the kernel {Kernels[kernel].Name} failed: {cause.Message}", cause);
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

    /// <summary>Throws the fault, if there is one.</summary>
    internal void ThrowIfLost()
    {
        if (Volatile.Read(ref _fault) is { } fault)
        {
            // A new exception each time: one object thrown by several threads would mix up their stacks.
            throw new DeviceLostException(fault.Message, fault.InnerException);
        }
    }

    internal KernelLaunch[] AcquireLaunch()
    {
        lock (_lock)
        {
            return Team.AcquireLaunch();
        }
    }

    /// <summary>Makes a queue end soon. Under the lock: what the queue waits on is not unmapped meanwhile.</summary>
    internal void RequestStop(CpuQueue queue)
    {
        lock (_lock)
        {
            queue.RequestStop();
        }
    }

    internal void Release(CpuQueue queue, KernelLaunch[]? launch)
    {
        lock (_lock)
        {
            _queues.Remove(queue);
            if (launch != null)
            {
                Team.ReleaseLaunch(launch);
            }
        }

        ReleaseRetired();
    }

    internal void Release(CpuMemory memory)
    {
        lock (_lock)
        {
            _memories.Remove(memory);
            if (!memory.IsImported)
            {
                BytesOf(memory.Kind).Add(-memory.HeldBytes);
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

    private static void Check(long bytes, MemoryKind kind, string label)
    {
        ArgumentNullException.ThrowIfNull(label);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bytes);
        if (kind is not (MemoryKind.Device or MemoryKind.Host))
        {
            throw new ArgumentOutOfRangeException(nameof(kind), kind, "There is no such kind of memory.");
        }
    }

    private static void CheckRange<T>(T value, T least, T most, string name)
        where T : IComparable<T>
    {
        if (value.CompareTo(least) < 0 || value.CompareTo(most) > 0)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} lies between {least} and {most}.");
        }
    }

    private void AddKernel(int index)
    {
        var kernel = Kernels[index];
        if (kernel.Name is null || kernel.Items == null || kernel.Run == null)
        {
            throw new ArgumentException($"Kernel {index} ({kernel.Name}) lacks a name or a function.");
        }

        if (!_kernelsByName.TryAdd(kernel.Name, new CpuDeviceKernel(this, kernel.Name, index)))
        {
            throw new ArgumentException($"There are two kernels {kernel.Name}.");
        }
    }

    private ref KindBytes BytesOf(MemoryKind kind) => ref kind == MemoryKind.Device ? ref _deviceBytes : ref _hostBytes;

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
