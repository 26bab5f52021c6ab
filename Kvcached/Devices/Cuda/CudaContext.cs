using System.Runtime.InteropServices;

namespace Kvcached.Devices.Cuda;

/// <summary>
/// One GPU's primary context, which all of a process's users of the GPU share (a PyTorch in it, too), and what the GPU can do. Owns its part of the context. Thread-safe.
/// </summary>
internal sealed unsafe class CudaContext : IDisposable
{
    /// <summary>CUDA 12.0: its driver was the first with the second version of stream memory operations, which no module option has to permit.</summary>
    internal const int LeastDriver = 12_000;

    /// <summary>Ampere.</summary>
    internal const int LeastCapability = 80;

    private readonly int _device;
    private readonly nint _context;
    private volatile bool _isAbandoned;
    private int _disposed;

    /// <summary>Opens a GPU by its number.</summary>
    /// <exception cref="DeviceUnavailableException">There is no driver or no such GPU, or it cannot do what the device needs; the message says what to do.</exception>
    internal CudaContext(int ordinal)
    {
        if (WhyUnusable(ordinal, out _device) is { } reason)
        {
            throw new DeviceUnavailableException($"cuda device {ordinal} cannot be used: {reason}");
        }

        Name = NameOf(_device);
        ComputeUnits = Attribute(CudaAttribute.MultiprocessorCount);
        Capability = CapabilityOf(_device);
        CanRegisterReadOnly = Attribute(CudaAttribute.ReadOnlyHostRegisterSupported) != 0;
        nint context;
        CudaCall.Check(LibCuda.PrimaryContextRetain(&context, _device), "cuDevicePrimaryCtxRetain");
        _context = context;
        Use();
    }

    /// <summary>The GPU's name.</summary>
    internal string Name { get; }

    /// <summary>Its number, as allocations name it.</summary>
    internal int Device => _device;

    /// <summary>Multiprocessors.</summary>
    internal int ComputeUnits { get; }

    /// <summary>Compute capability: 90 for 9.0.</summary>
    internal int Capability { get; }

    /// <summary>Whether memory that this process may only read can be registered.</summary>
    internal bool CanRegisterReadOnly { get; }

    /// <summary>
    /// Whether a stream may wait for ever, so that nothing that it may name is given back before the process's end, and no call that waits for the GPU is made.
    /// </summary>
    internal bool IsAbandoned => _isAbandoned;

    /// <summary>Makes it the calling thread's context: driver calls find it there. Each time, since whoever else uses the driver in this thread may have set another.</summary>
    internal void Use() => CudaCall.Check(TryUse(), "cuCtxSetCurrent");

    /// <summary>The same, for who gives back or looks: a context that is lost cannot even be made current, and what was in it went with it.</summary>
    internal CudaResult TryUse() => LibCuda.ContextSetCurrent(_context);

    /// <summary>
    /// Has the driver take local memory for kernels that need so much a thread: it would else do so when the first of them is launched, and wait for all that runs (cuCtxSetLimit).
    /// It never takes less again.
    /// </summary>
    internal void ReserveLocal(int bytes)
    {
        Use();
        nuint now;
        CudaCall.Check(LibCuda.ContextGetLimit(&now, LibCuda.LimitStackBytes), "cuCtxGetLimit");
        if ((nuint)bytes > now)
        {
            CudaCall.Check(LibCuda.ContextSetLimit(LibCuda.LimitStackBytes, (nuint)bytes), "cuCtxSetLimit");
        }
    }

    /// <summary>From now on, <see cref="IsAbandoned"/>.</summary>
    internal void Abandon() => _isAbandoned = true;

    /// <summary>Every GPU that the driver shows, and why one cannot be used.</summary>
    /// <exception cref="DeviceUnavailableException">There is no driver, or it finds no GPU.</exception>
    internal static IReadOnlyList<CudaDeviceInfo> List()
    {
        if (WhyNoDriver() is { } reason)
        {
            throw new DeviceUnavailableException($"There is no cuda device: {reason}");
        }

        int count;
        CudaCall.Check(LibCuda.DeviceGetCount(&count), "cuDeviceGetCount");
        var devices = new CudaDeviceInfo[count];
        for (var i = 0; i < count; i++)
        {
            var why = WhyUnusable(i, out var device);
            devices[i] = new CudaDeviceInfo(i, NameOf(device), CapabilityOf(device), Attribute(CudaAttribute.MultiprocessorCount, device), BytesOf(device), why);
        }

        return devices;
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _ = LibCuda.PrimaryContextRelease(_device);
        }
    }

    private static string? WhyNoDriver()
    {
        if (!NativeLibrary.TryLoad(LibCuda.Library, typeof(LibCuda).Assembly, null, out _))
        {
            return $"the driver's library {LibCuda.Library} was not found. Install the NVIDIA driver; in a container, give it the GPU (--gpus all).";
        }

        var result = LibCuda.Init(0);
        if (result != CudaResult.Success)
        {
            return result == CudaResult.NoDevice ? "the driver finds no GPU. In a container, give it one (--gpus all); else look at nvidia-smi." : CudaCall.Failure(result, "cuInit").Message;
        }

        int version;
        CudaCall.Check(LibCuda.DriverGetVersion(&version), "cuDriverGetVersion");
        return version < LeastDriver ? $"the driver is of CUDA {version / 1000}.{version % 1000 / 10}; install one of CUDA {LeastDriver / 1000}.0 (version 525) or later." : null;
    }

    private static string? WhyUnusable(int ordinal, out int device)
    {
        device = 0;
        if (WhyNoDriver() is { } reason)
        {
            return reason;
        }

        int count;
        CudaCall.Check(LibCuda.DeviceGetCount(&count), "cuDeviceGetCount");
        if (ordinal < 0 || ordinal >= count)
        {
            return $"there are {count} GPUs, numbered from 0.";
        }

        int number;
        CudaCall.Check(LibCuda.DeviceGet(&number, ordinal), "cuDeviceGet");
        device = number;
        var capability = CapabilityOf(device);
        if (capability < LeastCapability)
        {
            return $"its compute capability is {capability / 10}.{capability % 10}; kernels are there for {LeastCapability / 10}.0 and later.";
        }

        foreach (var (attribute, what) in Needs)
        {
            if (Attribute(attribute, device) == 0)
            {
                return $"it has no {what}.";
            }
        }

        return null;
    }

    private static (CudaAttribute Attribute, string What)[] Needs =>
    [
        (CudaAttribute.UnifiedAddressing, "unified addressing"),
        (CudaAttribute.HostRegisterSupported, "registration of host memory"),
        (CudaAttribute.CanUseHostPointerForRegisteredMemory, "access to registered memory by host address"),
        (CudaAttribute.CanUse64BitStreamMemoryOperations, "64-bit stream memory operations"),
        (CudaAttribute.VirtualMemoryManagementSupported, "virtual memory management"),
        (CudaAttribute.HandleTypePosixFileDescriptorSupported, "memory handles that are file descriptors"),
    ];

    private static int CapabilityOf(int device) => (Attribute(CudaAttribute.ComputeCapabilityMajor, device) * 10) + Attribute(CudaAttribute.ComputeCapabilityMinor, device);

    private static long BytesOf(int device)
    {
        nuint bytes;
        CudaCall.Check(LibCuda.DeviceTotalMem(&bytes, device), "cuDeviceTotalMem");
        return (long)bytes;
    }

    private static string NameOf(int device)
    {
        const int Bytes = 128;
        var name = stackalloc byte[Bytes];
        CudaCall.Check(LibCuda.DeviceGetName(name, Bytes, device), "cuDeviceGetName");
        return Marshal.PtrToStringUTF8((nint)name)!;
    }

    private static int Attribute(CudaAttribute attribute, int device)
    {
        int value;
        CudaCall.Check(LibCuda.DeviceGetAttribute(&value, attribute, device), "cuDeviceGetAttribute");
        return value;
    }

    private int Attribute(CudaAttribute attribute) => Attribute(attribute, _device);
}
