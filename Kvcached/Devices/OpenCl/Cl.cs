using System.Runtime.InteropServices;

namespace Kvcached.Devices.OpenCl;

/// <summary>
/// The calls of OpenCL 1.2 that the device makes, with their constants, as the specification names them. All return a code, or give one through the last pointer: see
/// <see cref="OpenClException"/>. No call is made before <see cref="Load"/> has found the library.
/// </summary>
internal static unsafe partial class Cl
{
    internal const int Success = 0;
    internal const int DeviceNotFound = -1;
    internal const int OutOfResources = -5;
    internal const int OutOfHostMemory = -6;
    internal const int MemObjectAllocationFailure = -4;
    internal const int BuildProgramFailure = -11;
    internal const int PlatformNotFoundKhr = -1001;

    internal const int Complete = 0;
    internal const int False = 0;

    internal const int ExecStatusErrorForEventsInWaitList = -14;
    internal const uint EventCommandExecutionStatus = 0x11D3;

    internal const uint PlatformName = 0x0902;
    internal const uint DeviceTypeInfo = 0x1000;
    internal const uint DeviceMaxComputeUnits = 0x1002;
    internal const uint DeviceMaxWorkGroupSize = 0x1004;
    internal const uint DeviceAddressBits = 0x100D;
    internal const uint DeviceMaxMemAllocSize = 0x1010;
    internal const uint DeviceGlobalMemSize = 0x101F;
    internal const uint DeviceEndianLittle = 0x1026;
    internal const uint DeviceAvailable = 0x1027;
    internal const uint DeviceCompilerAvailable = 0x1028;
    internal const uint DeviceName = 0x102B;
    internal const uint DeviceVersion = 0x102F;
    internal const uint DeviceHostUnifiedMemory = 0x1035;
    internal const uint DeviceSvmCapabilities = 0x1053;

    internal const ulong DeviceSvmFineGrainSystem = 1 << 2;

    internal const ulong DeviceTypeCpu = 1 << 1;
    internal const ulong DeviceTypeAll = 0xFFFFFFFF;

    internal const ulong MemReadWrite = 1 << 0;
    internal const ulong MemReadOnly = 1 << 2;
    internal const ulong MemUseHostPtr = 1 << 3;

    internal const uint ProgramKernelNames = 0x1168;
    internal const uint ProgramBuildLog = 0x1183;

    internal const string Library = "libOpenCL.so.1";

    /// <summary>Finds the library, so that no call can fail for want of it.</summary>
    /// <exception cref="DeviceUnavailableException">It is not installed.</exception>
    internal static void Load()
    {
        if (!NativeLibrary.TryLoad(Library, out _))
        {
            throw new DeviceUnavailableException($"{Library} is not installed: install an OpenCL driver for the device, or pocl-opencl-icd (Debian, Ubuntu) to run on the CPU.");
        }
    }

    [LibraryImport(Library, EntryPoint = "clGetPlatformIDs")]
    internal static partial int GetPlatformIds(uint entries, nint* platforms, uint* count);

    [LibraryImport(Library, EntryPoint = "clGetPlatformInfo")]
    internal static partial int GetPlatformInfo(nint platform, uint name, nuint size, void* value, nuint* sizeNeeded);

    [LibraryImport(Library, EntryPoint = "clGetDeviceIDs")]
    internal static partial int GetDeviceIds(nint platform, ulong type, uint entries, nint* devices, uint* count);

    [LibraryImport(Library, EntryPoint = "clGetDeviceInfo")]
    internal static partial int GetDeviceInfo(nint device, uint name, nuint size, void* value, nuint* sizeNeeded);

    [LibraryImport(Library, EntryPoint = "clCreateContext")]
    internal static partial nint CreateContext(nint* properties, uint count, nint* devices, nint notify, nint data, int* code);

    [LibraryImport(Library, EntryPoint = "clReleaseContext")]
    internal static partial int ReleaseContext(nint context);

    [LibraryImport(Library, EntryPoint = "clCreateCommandQueue")]
    internal static partial nint CreateCommandQueue(nint context, nint device, ulong properties, int* code);

    [LibraryImport(Library, EntryPoint = "clReleaseCommandQueue")]
    internal static partial int ReleaseCommandQueue(nint queue);

    [LibraryImport(Library, EntryPoint = "clCreateBuffer")]
    internal static partial nint CreateBuffer(nint context, ulong flags, nuint bytes, void* host, int* code);

    [LibraryImport(Library, EntryPoint = "clReleaseMemObject")]
    internal static partial int ReleaseMemObject(nint memory);

    [LibraryImport(Library, EntryPoint = "clCreateProgramWithSource")]
    internal static partial nint CreateProgramWithSource(nint context, uint count, byte** texts, nuint* lengths, int* code);

    [LibraryImport(Library, EntryPoint = "clBuildProgram")]
    internal static partial int BuildProgram(nint program, uint count, nint* devices, byte* options, nint notify, nint data);

    [LibraryImport(Library, EntryPoint = "clGetProgramBuildInfo")]
    internal static partial int GetProgramBuildInfo(nint program, nint device, uint name, nuint size, void* value, nuint* sizeNeeded);

    [LibraryImport(Library, EntryPoint = "clGetProgramInfo")]
    internal static partial int GetProgramInfo(nint program, uint name, nuint size, void* value, nuint* sizeNeeded);

    [LibraryImport(Library, EntryPoint = "clReleaseProgram")]
    internal static partial int ReleaseProgram(nint program);

    [LibraryImport(Library, EntryPoint = "clCreateKernel")]
    internal static partial nint CreateKernel(nint program, byte* name, int* code);

    [LibraryImport(Library, EntryPoint = "clReleaseKernel")]
    internal static partial int ReleaseKernel(nint kernel);

    [LibraryImport(Library, EntryPoint = "clSetKernelArg")]
    internal static partial int SetKernelArg(nint kernel, uint index, nuint bytes, void* value);

    [LibraryImport(Library, EntryPoint = "clEnqueueNDRangeKernel")]
    internal static partial int EnqueueNDRangeKernel(nint queue, nint kernel, uint dimensions, nuint* offset, nuint* global, nuint* local, uint waits, nint* events, nint* ended);

    [LibraryImport(Library, EntryPoint = "clEnqueueCopyBuffer")]
    internal static partial int EnqueueCopyBuffer(nint queue, nint source, nint target, nuint sourceOffset, nuint targetOffset, nuint bytes, uint waits, nint* events, nint* ended);

    [LibraryImport(Library, EntryPoint = "clEnqueueFillBuffer")]
    internal static partial int EnqueueFillBuffer(nint queue, nint target, void* pattern, nuint patternBytes, nuint offset, nuint bytes, uint waits, nint* events, nint* ended);

    [LibraryImport(Library, EntryPoint = "clEnqueueReadBuffer")]
    internal static partial int EnqueueReadBuffer(nint queue, nint source, int blocking, nuint offset, nuint bytes, void* target, uint waits, nint* events, nint* ended);

    [LibraryImport(Library, EntryPoint = "clEnqueueWriteBuffer")]
    internal static partial int EnqueueWriteBuffer(nint queue, nint target, int blocking, nuint offset, nuint bytes, void* source, uint waits, nint* events, nint* ended);

    [LibraryImport(Library, EntryPoint = "clEnqueueMarkerWithWaitList")]
    internal static partial int EnqueueMarkerWithWaitList(nint queue, uint waits, nint* events, nint* ended);

    [LibraryImport(Library, EntryPoint = "clSetEventCallback")]
    internal static partial int SetEventCallback(nint ended, int status, delegate* unmanaged<nint, int, void*, void> notify, void* data);

    [LibraryImport(Library, EntryPoint = "clWaitForEvents")]
    internal static partial int WaitForEvents(uint count, nint* events);

    [LibraryImport(Library, EntryPoint = "clGetEventInfo")]
    internal static partial int GetEventInfo(nint ended, uint name, nuint size, void* value, nuint* sizeNeeded);

    [LibraryImport(Library, EntryPoint = "clReleaseEvent")]
    internal static partial int ReleaseEvent(nint ended);

    [LibraryImport(Library, EntryPoint = "clFlush")]
    internal static partial int Flush(nint queue);

    [LibraryImport(Library, EntryPoint = "clFinish")]
    internal static partial int Finish(nint queue);
}
