using System.Runtime.InteropServices;

namespace Kvcached.Devices.Cuda;

/// <summary>
/// The calls of the CUDA driver API that the device makes, as in <c>cuda.h</c> of CUDA 12: handles are pointers, device pointers 64-bit numbers, results <see cref="CudaResult"/>.
/// Names end in the version that the header's macros choose. What each constant and structure must be, <c>CudaLayoutTests</c> say.
/// </summary>
internal static unsafe partial class LibCuda
{
    /// <summary>What the resolver looks for.</summary>
    internal const string Library = "libcuda.so.1";

    internal const uint StreamNonBlocking = 0x1;
    internal const uint WaitValueGreaterOrEqual = 0x0;
    internal const uint WriteValueDefault = 0x0;
    internal const int BatchWriteValue32 = 2;

    internal const uint HostRegisterPortable = 0x01;
    internal const uint HostRegisterDeviceMap = 0x02;
    internal const uint HostRegisterReadOnly = 0x08;

    internal const int AllocationTypePinned = 1;
    internal const int LocationTypeDevice = 1;
    internal const int HandleTypePosixFileDescriptor = 1;
    internal const int AccessReadWrite = 3;
    internal const int GranularityMinimum = 0;

    internal const int JitErrorLogBuffer = 5;
    internal const int JitErrorLogBufferBytes = 6;

    internal const int FunctionLocalBytes = 3;

    internal const int LimitStackBytes = 0;

    internal const nint LaunchParameterEnd = 0;
    internal const nint LaunchParameterBuffer = 1;
    internal const nint LaunchParameterBytes = 2;

    [LibraryImport(Library, EntryPoint = "cuInit")]
    internal static partial CudaResult Init(uint flags);

    [LibraryImport(Library, EntryPoint = "cuDriverGetVersion")]
    internal static partial CudaResult DriverGetVersion(int* version);

    [LibraryImport(Library, EntryPoint = "cuGetErrorName")]
    internal static partial CudaResult GetErrorName(CudaResult error, byte** name);

    [LibraryImport(Library, EntryPoint = "cuGetErrorString")]
    internal static partial CudaResult GetErrorString(CudaResult error, byte** text);

    [LibraryImport(Library, EntryPoint = "cuDeviceGetCount")]
    internal static partial CudaResult DeviceGetCount(int* count);

    [LibraryImport(Library, EntryPoint = "cuDeviceGet")]
    internal static partial CudaResult DeviceGet(int* device, int ordinal);

    [LibraryImport(Library, EntryPoint = "cuDeviceGetName")]
    internal static partial CudaResult DeviceGetName(byte* name, int bytes, int device);

    [LibraryImport(Library, EntryPoint = "cuDeviceTotalMem_v2")]
    internal static partial CudaResult DeviceTotalMem(nuint* bytes, int device);

    [LibraryImport(Library, EntryPoint = "cuDeviceGetAttribute")]
    internal static partial CudaResult DeviceGetAttribute(int* value, CudaAttribute attribute, int device);

    [LibraryImport(Library, EntryPoint = "cuDevicePrimaryCtxRetain")]
    internal static partial CudaResult PrimaryContextRetain(nint* context, int device);

    [LibraryImport(Library, EntryPoint = "cuDevicePrimaryCtxRelease_v2")]
    internal static partial CudaResult PrimaryContextRelease(int device);

    [LibraryImport(Library, EntryPoint = "cuCtxSetCurrent")]
    internal static partial CudaResult ContextSetCurrent(nint context);

    [LibraryImport(Library, EntryPoint = "cuCtxGetLimit")]
    internal static partial CudaResult ContextGetLimit(nuint* value, int limit);

    [LibraryImport(Library, EntryPoint = "cuCtxSetLimit")]
    internal static partial CudaResult ContextSetLimit(int limit, nuint value);

    [LibraryImport(Library, EntryPoint = "cuModuleLoadDataEx")]
    internal static partial CudaResult ModuleLoadDataEx(nint* module, byte* image, uint options, int* names, nint* values);

    [LibraryImport(Library, EntryPoint = "cuModuleUnload")]
    internal static partial CudaResult ModuleUnload(nint module);

    [LibraryImport(Library, EntryPoint = "cuModuleGetFunction", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial CudaResult ModuleGetFunction(nint* function, nint module, string name);

    [LibraryImport(Library, EntryPoint = "cuFuncGetAttribute")]
    internal static partial CudaResult FuncGetAttribute(int* value, int attribute, nint function);

    [LibraryImport(Library, EntryPoint = "cuStreamCreate")]
    internal static partial CudaResult StreamCreate(nint* stream, uint flags);

    [LibraryImport(Library, EntryPoint = "cuStreamDestroy_v2")]
    internal static partial CudaResult StreamDestroy(nint stream);

    [LibraryImport(Library, EntryPoint = "cuStreamQuery")]
    internal static partial CudaResult StreamQuery(nint stream);

    [LibraryImport(Library, EntryPoint = "cuStreamSynchronize")]
    internal static partial CudaResult StreamSynchronize(nint stream);

    [LibraryImport(Library, EntryPoint = "cuStreamWaitValue64_v2")]
    internal static partial CudaResult StreamWaitValue64(nint stream, ulong address, ulong value, uint flags);

    [LibraryImport(Library, EntryPoint = "cuStreamWriteValue64_v2")]
    internal static partial CudaResult StreamWriteValue64(nint stream, ulong address, ulong value, uint flags);

    [LibraryImport(Library, EntryPoint = "cuStreamBatchMemOp_v2")]
    internal static partial CudaResult StreamBatchMemOp(nint stream, uint count, BatchOperation* operations, uint flags);

    [LibraryImport(Library, EntryPoint = "cuLaunchHostFunc")]
    internal static partial CudaResult LaunchHostFunc(nint stream, delegate* unmanaged<void*, void> function, void* data);

    [LibraryImport(Library, EntryPoint = "cuLaunchKernel")]
    internal static partial CudaResult LaunchKernel(nint function, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, uint sharedBytes, nint stream, void** parameters, nint* extra);

    [LibraryImport(Library, EntryPoint = "cuMemcpyAsync")]
    internal static partial CudaResult MemcpyAsync(ulong target, ulong source, nuint bytes, nint stream);

    [LibraryImport(Library, EntryPoint = "cuMemsetD8Async")]
    internal static partial CudaResult MemsetD8Async(ulong target, byte value, nuint bytes, nint stream);

    [LibraryImport(Library, EntryPoint = "cuMemHostRegister_v2")]
    internal static partial CudaResult MemHostRegister(nint address, nuint bytes, uint flags);

    [LibraryImport(Library, EntryPoint = "cuMemHostUnregister")]
    internal static partial CudaResult MemHostUnregister(nint address);

    [LibraryImport(Library, EntryPoint = "cuMemAlloc_v2")]
    internal static partial CudaResult MemAlloc(ulong* pointer, nuint bytes);

    [LibraryImport(Library, EntryPoint = "cuMemFree_v2")]
    internal static partial CudaResult MemFree(ulong pointer);

    [LibraryImport(Library, EntryPoint = "cuMemGetAllocationGranularity")]
    internal static partial CudaResult MemGetAllocationGranularity(nuint* bytes, AllocationProperties* properties, int option);

    [LibraryImport(Library, EntryPoint = "cuMemCreate")]
    internal static partial CudaResult MemCreate(ulong* handle, nuint bytes, AllocationProperties* properties, ulong flags);

    [LibraryImport(Library, EntryPoint = "cuMemRelease")]
    internal static partial CudaResult MemRelease(ulong handle);

    [LibraryImport(Library, EntryPoint = "cuMemAddressReserve")]
    internal static partial CudaResult MemAddressReserve(ulong* pointer, nuint bytes, nuint alignment, ulong address, ulong flags);

    [LibraryImport(Library, EntryPoint = "cuMemAddressFree")]
    internal static partial CudaResult MemAddressFree(ulong pointer, nuint bytes);

    [LibraryImport(Library, EntryPoint = "cuMemMap")]
    internal static partial CudaResult MemMap(ulong pointer, nuint bytes, nuint offset, ulong handle, ulong flags);

    [LibraryImport(Library, EntryPoint = "cuMemUnmap")]
    internal static partial CudaResult MemUnmap(ulong pointer, nuint bytes);

    [LibraryImport(Library, EntryPoint = "cuMemSetAccess")]
    internal static partial CudaResult MemSetAccess(ulong pointer, nuint bytes, AccessDescription* access, nuint count);

    [LibraryImport(Library, EntryPoint = "cuMemExportToShareableHandle")]
    internal static partial CudaResult MemExportToShareableHandle(void* shareable, ulong handle, int type, ulong flags);

    [LibraryImport(Library, EntryPoint = "cuMemImportFromShareableHandle")]
    internal static partial CudaResult MemImportFromShareableHandle(ulong* handle, nint shareable, int type);

    /// <summary>CUmemLocation.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct Location
    {
        internal int Type;
        internal int Id;
    }

    /// <summary>CUmemAllocationProp.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct AllocationProperties
    {
        internal int Type;
        internal int RequestedHandleTypes;
        internal Location Location;
        internal nint Win32HandleMetaData;
        internal byte CompressionType;
        internal byte GpuDirectRdmaCapable;
        internal ushort Usage;
        internal uint Reserved;
    }

    /// <summary>CUmemAccessDesc.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct AccessDescription
    {
        internal Location Location;
        internal int Flags;
    }

    /// <summary>CUstreamBatchMemOpParams, as a write of 32 bits: a union of 48 bytes.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 48)]
    internal struct BatchOperation
    {
        [FieldOffset(0)]
        internal int Operation;

        [FieldOffset(8)]
        internal ulong Address;

        [FieldOffset(16)]
        internal uint Value;

        [FieldOffset(24)]
        internal uint Flags;

        [FieldOffset(32)]
        internal ulong Alias;
    }
}
