using System.Runtime.InteropServices;
using System.Text;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Devices.Cuda;

/// <summary>A source's PTX, compiled for one GPU by its driver when it is opened: loading later could wait for the GPU. Owns the module. Thread-safe.</summary>
internal sealed unsafe class CudaModule : IDisposable
{
    private const int LogBytes = 16 * 1024;

    private readonly GpuSource _source;
    private readonly nint _module;

    /// <summary>Most local memory, in bytes, that a thread of a function takes which was found.</summary>
    internal int LocalBytes { get; private set; }

    /// <summary>Compiles a source.</summary>
    /// <exception cref="DeviceUnavailableException">There is no PTX for such a GPU, or the driver cannot compile it; the message holds its log.</exception>
    internal CudaModule(CudaContext context, GpuSource source)
    {
        _source = source;
        var text = source.Ptx(context.Capability)
            ?? throw new DeviceUnavailableException($"There are no kernels of '{source.Name}' for compute capability {context.Capability / 10}.{context.Capability % 10} of {context.Name}; there are for 8.0 and later.");
        _module = Load(Encoding.UTF8.GetBytes(text + '\0'));
    }

    /// <summary>Finds a function, and has it loaded: the driver else loads it when it is first launched (lazy loading, its default from CUDA 12.2 on), and may wait for the GPU then.</summary>
    /// <exception cref="CudaException">There is none of that name.</exception>
    internal nint Function(string name)
    {
        nint function;
        CudaCall.Check(LibCuda.ModuleGetFunction(&function, _module, name), $"cuModuleGetFunction of {name} in {_source.Name}");
        int localBytes;
        CudaCall.Check(LibCuda.FuncGetAttribute(&localBytes, LibCuda.FunctionLocalBytes, function), $"cuFuncGetAttribute of {name} in {_source.Name}");
        LocalBytes = Math.Max(LocalBytes, localBytes);
        return function;
    }

    public void Dispose() => _ = LibCuda.ModuleUnload(_module);

    private nint Load(byte[] image)
    {
        // One byte more than the driver may write: it is 0, whatever the driver does.
        var log = stackalloc byte[LogBytes + 1];
        *log = log[LogBytes] = 0;
        var names = stackalloc int[] { LibCuda.JitErrorLogBuffer, LibCuda.JitErrorLogBufferBytes };
        var values = stackalloc nint[] { (nint)log, LogBytes };
        nint module;
        CudaResult result;
        fixed (byte* text = image)
        {
            result = LibCuda.ModuleLoadDataEx(&module, text, 2, names, values);
        }

        return result == CudaResult.Success
            ? module
            : throw new DeviceUnavailableException($"The driver cannot compile the kernels of '{_source.Name}': {CudaCall.Failure(result, "cuModuleLoadDataEx").Message} {Marshal.PtrToStringUTF8((nint)log)}");
    }
}

/// <summary>A loaded kernel: its functions, and how it is spread.</summary>
internal sealed class CudaKernel(CudaDevice device, GpuKernel kernel, nint[] functions, int index) : DeviceKernel(kernel.Name)
{
    internal CudaDevice Device { get; } = device;

    internal GpuKernel Kernel { get; } = kernel;

    /// <summary>A function for each entry point.</summary>
    internal nint[] Functions { get; } = functions;

    /// <summary>Place among the device's kernels.</summary>
    internal int Index { get; } = index;
}
