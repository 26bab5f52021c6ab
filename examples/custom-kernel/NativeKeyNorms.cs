using System.Runtime.InteropServices;
using System.Text;
using Kvcached.Devices;
using Kvcached.Devices.OpenCl;
using Kvcached.Kernels;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Examples;

/// <summary>
/// The same kernel without the device's help: a program of one's own, built in the device's context and launched on the <c>cl_command_queue</c> behind a
/// <see cref="DeviceQueue"/>. Used by one thread.
/// </summary>
internal sealed unsafe partial class NativeKeyNorms : IDisposable
{
    private const string Library = "libOpenCL.so.1";

    private readonly OpenClDevice _device;
    private readonly nint _program;
    private readonly nint _kernel;

    /// <summary>Builds the program for every device of the context.</summary>
    public NativeKeyNorms(OpenClDevice device)
    {
        _device = device;
        var text = Encoding.UTF8.GetBytes(new GpuSource("native", typeof(NativeKeyNorms).Assembly, "native.cl").OpenClText);
        var name = "key_norms_native\0"u8;
        var options = "-cl-std=CL1.2\0"u8;
        fixed (byte* source = text, function = name, flags = options)
        {
            int code;
            var length = (nuint)text.Length;
            _program = CreateProgramWithSource(device.NativeContext, 1, &source, &length, &code);
            Check(code, "clCreateProgramWithSource");
            Check(BuildProgram(_program, 0, null, flags, 0, 0), "clBuildProgram");
            _kernel = CreateKernel(_program, function, &code);
            Check(code, "clCreateKernel");
        }
    }

    /// <summary>
    /// Enqueues the kernel at once, behind what is in the <c>cl_command_queue</c> already and before what is submitted afterwards. What was submitted before may
    /// not be there yet: the caller has waited for a point that the last such submission signals.
    /// </summary>
    public void Launch(DeviceQueue queue, in KeyNormsArguments arguments)
    {
        SetBuffer(0, arguments.Pool, offsetArgument: null);
        SetBuffer(1, arguments.Entries, offsetArgument: null);
        SetBuffer(2, arguments.Views, offsetArgument: 3);
        SetBuffer(4, arguments.Norms, offsetArgument: null);
        Set(5, arguments.Shape);
        Set(6, arguments.Layer);
        Set(7, arguments.MaxTokens);
        var global = stackalloc nuint[] { 16, arguments.Batch };
        Check(EnqueueNDRangeKernel(queue.NativeHandle, _kernel, 2, null, global, null, 0, null, null), "clEnqueueNDRangeKernel");
    }

    public void Dispose()
    {
        _ = ReleaseKernel(_kernel);
        _ = ReleaseProgram(_program);
    }

    private void SetBuffer(uint index, ulong address, uint? offsetArgument)
    {
        var buffer = _device.NativeBuffer(address, out var offset);
        Set(index, buffer);
        if (offsetArgument is { } argument)
        {
            Set(argument, offset);
        }
        else if (offset != 0)
        {
            throw new ArgumentException($"Argument {index} does not begin its memory.", nameof(address));
        }
    }

    private void Set<T>(uint index, T value)
        where T : unmanaged => Check(SetKernelArg(_kernel, index, (nuint)sizeof(T), &value), "clSetKernelArg");

    private static void Check(int code, string call)
    {
        if (code != 0)
        {
            throw new InvalidOperationException($"{call} failed: {code}.");
        }
    }

    [LibraryImport(Library, EntryPoint = "clCreateProgramWithSource")]
    private static partial nint CreateProgramWithSource(nint context, uint count, byte** texts, nuint* lengths, int* code);

    [LibraryImport(Library, EntryPoint = "clBuildProgram")]
    private static partial int BuildProgram(nint program, uint count, nint* devices, byte* options, nint notify, nint data);

    [LibraryImport(Library, EntryPoint = "clCreateKernel")]
    private static partial nint CreateKernel(nint program, byte* name, int* code);

    [LibraryImport(Library, EntryPoint = "clSetKernelArg")]
    private static partial int SetKernelArg(nint kernel, uint index, nuint bytes, void* value);

    [LibraryImport(Library, EntryPoint = "clEnqueueNDRangeKernel")]
    private static partial int EnqueueNDRangeKernel(nint queue, nint kernel, uint dimensions, nuint* offset, nuint* global, nuint* local, uint waits, nint* events, nint* ended);

    [LibraryImport(Library, EntryPoint = "clReleaseKernel")]
    private static partial int ReleaseKernel(nint kernel);

    [LibraryImport(Library, EntryPoint = "clReleaseProgram")]
    private static partial int ReleaseProgram(nint program);
}
