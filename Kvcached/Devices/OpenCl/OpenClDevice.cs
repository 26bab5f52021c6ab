using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Kvcached.Kernels;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Devices.OpenCl;

/// <summary>
/// A device of OpenCL 1.2 or newer. Each queue is an in-order command queue and a thread that enqueues what all points have been reached for, so that nothing that a driver holds waits for
/// something that may never come. Timelines are words of the host. Where the device can use the host's memory, every memory is the host's, used in place, so that
/// processes can share it; where it cannot, memory of kind <see cref="MemoryKind.Host"/> is reached by copies alone, and memory of kind <see cref="MemoryKind.Device"/> cannot be shared. Owns all that it
/// creates, as every <see cref="MappedDevice"/> does. Thread-safe.
/// </summary>
public sealed unsafe class OpenClDevice : MappedDevice
{
    /// <summary>Above every address of a process: where memory of a device's own gets addresses from.</summary>
    private const ulong FirstOwnAddress = 1UL << 48;

    private readonly Lock _changes = new();
    private readonly OpenClDeviceInfo _info;
    private readonly List<OpenClProgram> _programs = [];
    private readonly List<OpenClFunction> _functions = [];
    private ulong _nextOwnAddress = FirstOwnAddress;
    private nint _queue;

    /// <summary>Opens a device, and builds its kernels: slow.</summary>
    /// <exception cref="DeviceUnavailableException">There is no library, platform or device that can be used; the message says what to install.</exception>
    /// <exception cref="OpenClBuildException">The driver cannot build a text of kernels; the message has its log.</exception>
    /// <exception cref="OpenClException">A call has failed.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An option lies outside its range.</exception>
    /// <exception cref="ArgumentException">Two kernels have the same name.</exception>
    public OpenClDevice(OpenClDeviceOptions? options = null)
        : this(Checked(options ?? new OpenClDeviceOptions()), OpenClPlatforms.Choose(options ?? new OpenClDeviceOptions()))
    {
    }

    private OpenClDevice(OpenClDeviceOptions options, OpenClDeviceInfo info)
        : base($"opencl ({info.Name}, {info.ComputeUnits} units)", options.MaxBytes ?? info.Bytes)
    {
        _info = info;
        UsesHostMemory = info.UsesHostMemory && !options.OwnMemory;
        Lanes = options.Lanes ?? (info.IsCpu ? GpuLaunch.CpuLanes : 1);
        try
        {
            var device = info.Id;
            int code;
            NativeContext = Cl.CreateContext(null, 1, &device, 0, 0, &code);
            OpenClException.Check(code, "clCreateContext");
            _queue = CreateNativeQueue();
            AddKernels([.. GpuKernelLibrary.All, .. options.Kernels]);
            TableUpdate = (OpenClKernel)LoadKernel(KernelNames.UpdateTable);
        }
        catch
        {
            End();
            throw;
        }
    }

    /// <summary>Whether memory is the host's, used in place.</summary>
    public bool UsesHostMemory { get; }

    /// <summary>Its <c>cl_context</c>, for kernel authors who make their own programs.</summary>
    public nint NativeContext { get; private set; }

    /// <summary>Compute units.</summary>
    internal int ComputeUnits => _info.ComputeUnits;

    /// <summary>Lanes that a work-item does the work of.</summary>
    internal uint Lanes { get; }

    internal AddressMap Addresses { get; } = new();

    /// <summary>All functions of all kernels.</summary>
    internal IReadOnlyList<OpenClFunction> Functions => _functions;

    /// <summary>Writes entries of tables.</summary>
    internal OpenClKernel TableUpdate { get; }

    /// <summary>What devices there are, and why one cannot be used. Where there are none, one entry says why.</summary>
    public static IReadOnlyList<OpenClDeviceInfo> List()
    {
        try
        {
            return OpenClPlatforms.Find();
        }
        catch (Exception e) when (e is DeviceUnavailableException or OpenClException)
        {
            return [new OpenClDeviceInfo { Platform = "none", Name = "none", Unusable = e.Message }];
        }
    }

    /// <summary>The <c>cl_mem</c> of a memory, for kernel authors who launch their own; 0 for memory of the host that the device cannot use.</summary>
    /// <exception cref="ArgumentException">The memory is not of this device.</exception>
    public nint NativeBuffer(DeviceMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        return BufferOf(memory) ?? throw new ArgumentException($"The memory {memory.Label} is not of {Name}.", nameof(memory));
    }

    /// <summary>The <c>cl_mem</c> in which an address lies, that of a step's views, say, for kernel authors who launch their own.</summary>
    /// <param name="address">An address as kernels get it: <see cref="DeviceMemory.Address"/>, or what a cache gives.</param>
    /// <param name="offset">Bytes from the memory's start to the address.</param>
    /// <exception cref="ArgumentException">The address lies in no memory of this device that kernels reach.</exception>
    public nint NativeBuffer(ulong address, out ulong offset)
    {
        var buffer = BufferOf(Addresses.Find(address, out var start)) ?? 0;
        offset = address - start;
        return buffer != 0 ? buffer : throw new ArgumentException($"0x{address:x} lies in no memory that kernels of {Name} reach.", nameof(address));
    }

    /// <summary>The memory object of a memory (0: none), or null where the memory is another device's.</summary>
    internal nint? BufferOf(DeviceMemory? memory) => memory switch
    {
        OpenClHostMemory host when host.Device == this => host.Buffer,
        OpenClDeviceMemory own when own.Device == this => own.Buffer,
        _ => null,
    };

    internal nint CreateNativeQueue()
    {
        int code;
        var queue = Cl.CreateCommandQueue(NativeContext, _info.Id, 0, &code);
        OpenClException.Check(code, "clCreateCommandQueue");
        return queue;
    }

    /// <summary>Makes a memory object of whole pages.</summary>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much, at once or at all.</exception>
    internal OpenClBuffer CreateBuffer(long bytes, ulong flags, SharedMapping? mapping, string label)
    {
        if (bytes > _info.MaxAllocationBytes)
        {
            throw new OutOfDeviceMemoryException($"{Name} cannot allocate {bytes} bytes for {label}: one allocation has at most {_info.MaxAllocationBytes} bytes (CL_DEVICE_MAX_MEM_ALLOC_SIZE).");
        }

        int code;
        var buffer = Cl.CreateBuffer(NativeContext, flags, (nuint)SharedMapping.RoundToPages(bytes), mapping is null ? null : (void*)mapping.Address, &code);
        return code == Cl.Success ? new OpenClBuffer(buffer, mapping)
            : OpenClException.IsOutOfMemory(code) ? throw OutOfMemory(bytes, label, code)
            : throw new OpenClException("clCreateBuffer", code);
    }

    /// <summary>Zeroes bytes that nothing uses, and waits for it.</summary>
    /// <exception cref="OpenClException">It failed, with the code of the command itself.</exception>
    internal void Zero(nint buffer, long offset, long bytes)
    {
        byte zero = 0;
        nint filled;
        OpenClException.Check(Cl.EnqueueFillBuffer(_queue, buffer, &zero, 1, (nuint)offset, (nuint)bytes, 0, null, &filled), "clEnqueueFillBuffer");
        var code = Cl.WaitForEvents(1, &filled);
        int status;
        if (code == Cl.ExecStatusErrorForEventsInWaitList && Cl.GetEventInfo(filled, Cl.EventCommandExecutionStatus, sizeof(int), &status, null) == Cl.Success && status < 0)
        {
            code = status;
        }

        _ = Cl.ReleaseEvent(filled);
        OpenClException.Check(code, "clEnqueueFillBuffer");
    }

    /// <summary>No address lies in a memory any more.</summary>
    internal void Forget(DeviceMemory memory)
    {
        lock (_changes)
        {
            Addresses.Remove(memory);
        }
    }

    private protected override HostQueue CreateQueueCore(string label) => new OpenClQueue(this, label);

    private protected override DeviceMemory AllocateCore(long bytes, MemoryKind kind, string label, SharedAccess access)
    {
        if (UsesHostMemory || kind == MemoryKind.Host)
        {
            return base.AllocateCore(bytes, kind, label, access);
        }

        ThrowIfShared(access, bytes, label);
        var buffer = CreateBuffer(bytes, Cl.MemReadWrite, mapping: null, label);
        var size = (ulong)SharedMapping.RoundToPages(bytes);
        var address = Interlocked.Add(ref _nextOwnAddress, size) - size;
        var memory = new OpenClDeviceMemory(this, buffer, address, label, bytes);
        try
        {
            // Drivers give memory when it is first touched: one that has not got it fails here, and not in whoever uses it first.
            Zero(memory.Buffer, 0, SharedMapping.RoundToPages(bytes));
        }
        catch (OpenClException e)
        {
            buffer.Dispose();
            if (OpenClException.IsOutOfMemory(e.Code))
            {
                throw OutOfMemory(bytes, label, e.Code);
            }

            throw;
        }

        Remember(memory);
        return memory;
    }

    private protected override MappedMemory Map(SharedMapping mapping, string label, MemoryKind kind, long bytes, SharedAccess access, bool isImported)
    {
        try
        {
            OpenClBuffer? buffer = null;
            if (UsesHostMemory)
            {
                var isReadOnly = isImported && access == SharedAccess.ReadOnlyForOthers;
                buffer = CreateBuffer(bytes, Cl.MemUseHostPtr | (isReadOnly ? Cl.MemReadOnly : Cl.MemReadWrite), mapping, label);
            }
            else if (kind == MemoryKind.Device)
            {
                ThrowIfShared(access, bytes, label);
            }

            var memory = new OpenClHostMemory(this, mapping, buffer, label, kind, bytes, access, isImported);
            Remember(memory);
            return memory;
        }
        catch
        {
            mapping.Dispose();
            throw;
        }
    }

    private protected override void End()
    {
        if (_queue != 0)
        {
            _ = Cl.ReleaseCommandQueue(_queue);
            _queue = 0;
        }

        foreach (var program in _programs)
        {
            program.Dispose();
        }

        if (NativeContext != 0)
        {
            _ = Cl.ReleaseContext(NativeContext);
            NativeContext = 0;
        }
    }

    private static OpenClDeviceOptions Checked(OpenClDeviceOptions options)
    {
        CheckRange(options.MaxBytes ?? long.MaxValue, 1, long.MaxValue, nameof(options.MaxBytes));
        ArgumentNullException.ThrowIfNull(options.Kernels);
        return options;
    }

    private OutOfDeviceMemoryException OutOfMemory(long bytes, string label, int code) =>
        new($"{Name} cannot allocate {bytes} bytes for {label}: {OpenClException.NameOf(code)}.");

    private void ThrowIfShared(SharedAccess access, long bytes, string label)
    {
        if (access != SharedAccess.Private)
        {
            throw new OutOfDeviceMemoryException($"{Name} cannot share {bytes} bytes for {label}: it does not use the host's memory, and OpenCL has no way to share its own.");
        }
    }

    private void Remember(DeviceMemory memory)
    {
        lock (_changes)
        {
            Addresses.Add(memory);
        }
    }

    private void AddKernels(IReadOnlyList<GpuKernel> kernels)
    {
        var programs = new Dictionary<GpuSource, OpenClProgram>();
        foreach (var kernel in kernels)
        {
            if (!programs.TryGetValue(kernel.Source, out var program))
            {
                programs[kernel.Source] = program = new OpenClProgram(NativeContext, _info.Id, kernel.Source, Lanes);
                _programs.Add(program);
            }

            AddKernel(new OpenClKernel(this, kernel, _functions.Count));
            foreach (var function in kernel.EntryPoints)
            {
                program.Require(function);
                _functions.Add(new OpenClFunction(program, function));
            }
        }
    }
}
