using System.Collections.Concurrent;
using System.ComponentModel;
using System.Runtime.InteropServices;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Kvcached.Kernels;
using Kvcached.Kernels.Gpu;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Devices.Cuda;

/// <summary>
/// An NVIDIA GPU, by the driver API alone. Timelines are words of host memory that streams wait on and write, host memory is registered, so that copies run by DMA and kernels
/// reach it; kernels are PTX that is compiled when the device is opened. Owns all that it creates, as every <see cref="MappedDevice"/> does. Thread-safe.
/// </summary>
public sealed unsafe class CudaDevice : MappedDevice
{
    private readonly List<CudaModule> _modules = [];
    private readonly List<TimelineSlab> _slabs = [];
    private readonly nint _service;
    private readonly long _extentBytes;
    private volatile bool _ended;

    /// <summary>Devices that were disposed while something in a stream was never to end: all that they own stays, to the process's end.</summary>
    private static readonly ConcurrentBag<CudaDevice> _abandoned = [];

    /// <summary>Opens a GPU.</summary>
    /// <exception cref="DeviceUnavailableException">It cannot be used; the message says why, and what to do.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option lies outside its range.</exception>
    /// <exception cref="ArgumentException">Two kernels have the same name.</exception>
    public CudaDevice(CudaDeviceOptions? options = null)
        : this(Checked(options ?? new CudaDeviceOptions()), new CudaContext((options ?? new CudaDeviceOptions()).Ordinal))
    {
    }

    private CudaDevice(CudaDeviceOptions options, CudaContext context)
        : base($"cuda:{options.Ordinal} ({context.Name})", options.MaxBytes ?? long.MaxValue)
    {
        Context = context;
        _extentBytes = options.ExtentBytes;
        try
        {
            GpuKernel[] kernels = [.. GpuKernelLibrary.All, .. options.Kernels];
            var modules = kernels.Select(kernel => kernel.Source).Distinct().ToDictionary(source => source, source => new CudaModule(context, source));
            _modules.AddRange(modules.Values);
            Kernels = [.. kernels.Select((kernel, i) => new CudaKernel(this, kernel, [.. kernel.EntryPoints.Select(modules[kernel.Source].Function)], i))];
            foreach (var kernel in Kernels)
            {
                AddKernel(kernel);
            }

            context.ReserveLocal(_modules.Max(module => module.LocalBytes));
            CopyBatch = (CudaKernel)LoadKernel(KernelNames.CopyBatch);
            KernelCopyBytes = options.KernelCopyBytes;
            _service = CreateStream();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override SharedMemoryKind SharedMemory => SharedMemoryKind.Cuda;

    /// <summary>Multiprocessors.</summary>
    public int ComputeUnits => Context.ComputeUnits;

    internal override bool SignalsSilently => true;

    internal override bool IsAbandoned => Context.IsAbandoned;

    internal CudaContext Context { get; }

    internal CudaKernel[] Kernels { get; } = [];

    /// <summary>Copies several ranges at once.</summary>
    internal CudaKernel CopyBatch { get; } = null!;

    /// <summary>As <see cref="CudaDeviceOptions.KernelCopyBytes"/>.</summary>
    internal int KernelCopyBytes { get; }

    /// <summary>Every GPU that the driver shows, and why one cannot be used.</summary>
    public static IReadOnlyList<CudaDeviceInfo> List() => CudaContext.List();

    /// <summary>Fills memory with zeros and waits until it is done: the host's own act, of a stream that waits for nothing.</summary>
    internal void Clear(ulong address, long bytes)
    {
        Context.Use();
        CudaCall.Check(LibCuda.MemsetD8Async(address, 0, (nuint)bytes, _service), "cuMemsetD8Async");
        CudaCall.Check(LibCuda.StreamSynchronize(_service), "cuStreamSynchronize");
    }

    /// <summary>A queue has ended whose stream waits for what may never be: the context, and all memory from now on, are left to the process's end.</summary>
    internal void Abandon()
    {
        Context.Abandon();
        _abandoned.Add(this);
    }

    /// <summary>A command that fails in the GPU is seen by the next call of the driver alone: this is one, for whoever waits.</summary>
    internal override void Look()
    {
        if (_ended || IsLost)
        {
            return;
        }

        var result = Context.TryUse();
        if (result == CudaResult.Success)
        {
            result = LibCuda.StreamQuery(_service);
        }

        if (CudaCall.IsLost(result))
        {
            Lose("a command", CudaCall.Failure(result, "cuStreamQuery"));
        }
    }

    private protected override HostQueue CreateQueueCore(string label)
    {
        var progress = (SlabTimeline)CreateTimeline($"progress of {label}");
        try
        {
            return new CudaQueue(this, CreateStream(), progress, label);
        }
        catch
        {
            progress.Dispose();
            throw;
        }
    }

    private protected override DeviceMemory AllocateCore(long bytes, MemoryKind kind, string label, SharedAccess access)
    {
        Context.Use();
        if (kind == MemoryKind.Host)
        {
            return base.AllocateCore(bytes, kind, label, access);
        }

        CudaAllocation allocation;
        try
        {
            allocation = access == SharedAccess.Private ? new PlainAllocation(Context, bytes) : SharedAllocation.Create(Context, bytes);
        }
        catch (OutOfDeviceMemoryException e)
        {
            throw new OutOfDeviceMemoryException($"{Name} cannot allocate {bytes} bytes for {label}: {e.Message}", e);
        }

        try
        {
            Clear(allocation.Address, bytes);
        }
        catch
        {
            allocation.Dispose();
            throw;
        }

        return new CudaMemory(this, allocation, label, bytes, isImported: false);
    }

    private protected override DeviceMemory AllocateElasticCore(long bytes, long populated, string label)
    {
        if (populated == bytes)
        {
            return base.AllocateElasticCore(bytes, populated, label);
        }

        Context.Use();
        var extentBytes = ElasticMemory.ExtentBytesFor(bytes, Math.Max(_extentBytes, ExtentAllocation.LeastExtentBytes(Context)));
        var allocation = new ExtentAllocation(Context, (int)((bytes + extentBytes - 1) / extentBytes), extentBytes);
        DeviceTimeline? arrivals = null;
        try
        {
            arrivals = CreateTimeline($"arrivals of {label}");
            return new ElasticMemory(this, allocation, arrivals, label, bytes, populated);
        }
        catch (Exception error)
        {
            arrivals?.Dispose();
            allocation.Dispose();
            if (error is OutOfDeviceMemoryException)
            {
                throw new OutOfDeviceMemoryException($"{Name} cannot allocate {populated} of {bytes} bytes for {label}: {error.Message}", error);
            }

            throw;
        }
    }

    private protected override DeviceMemory ImportCore(SafeFileHandle descriptor, long bytes, MemoryKind kind, SharedAccess access, string label)
    {
        if (kind == MemoryKind.Host)
        {
            return base.ImportCore(descriptor, bytes, kind, access, label);
        }

        Context.Use();
        return new CudaMemory(this, SharedAllocation.Import(Context, descriptor, bytes), label, bytes, isImported: true, isReadOnly: access == SharedAccess.ReadOnlyForOthers);
    }

    private protected override SafeFileHandle? DescriptorOfCore(DeviceMemory memory) =>
        memory is CudaMemory own && own.Device == this ? (own.Allocation as SharedAllocation)?.Descriptor : base.DescriptorOfCore(memory);

    private protected override MappedMemory Map(SharedMapping mapping, string label, MemoryKind kind, long bytes, SharedAccess access, bool isImported)
    {
        try
        {
            return new RegisteredMemory(this, new Registration(Context, mapping, isReadOnly: isImported && access == SharedAccess.ReadOnlyForOthers), mapping, label, kind, bytes, access, isImported);
        }
        catch
        {
            mapping.Dispose();
            throw;
        }
    }

    private protected override TimelineSlab CreateSlab()
    {
        Context.Use();
        var slab = new TimelineSlab();
        Registration.Register(slab.Address, TimelineSlab.Bytes, isReadOnly: false);
        lock (_slabs)
        {
            _slabs.Add(slab);
        }

        return slab;
    }

    private protected override void End()
    {
        _ended = true;
        if (IsAbandoned)
        {
            return;
        }

        _ = Context.TryUse();
        foreach (var slab in _slabs)
        {
            _ = LibCuda.MemHostUnregister(slab.Address);
        }

        if (_service != 0)
        {
            _ = LibCuda.StreamDestroy(_service);
        }

        _modules.ForEach(module => module.Dispose());
        Context.Dispose();
    }

    private static CudaDeviceOptions Checked(CudaDeviceOptions options)
    {
        CheckRange(options.Ordinal, 0, int.MaxValue, nameof(options.Ordinal));
        CheckRange(options.MaxBytes ?? long.MaxValue, 1, long.MaxValue, nameof(options.MaxBytes));
        CheckRange(options.KernelCopyBytes, 0, int.MaxValue, nameof(options.KernelCopyBytes));
        CheckRange(options.ExtentBytes, KvCacheOptions.UnitBytes, 1L << 40, nameof(options.ExtentBytes));
        if (!long.IsPow2(options.ExtentBytes))
        {
            throw new ArgumentOutOfRangeException(nameof(options), options.ExtentBytes, $"{nameof(options.ExtentBytes)} is a power of two.");
        }

        ArgumentNullException.ThrowIfNull(options.Kernels);
        return options;
    }

    private nint CreateStream()
    {
        Context.Use();
        nint stream;
        CudaCall.Check(LibCuda.StreamCreate(&stream, LibCuda.StreamNonBlocking), "cuStreamCreate");
        return stream;
    }
}
