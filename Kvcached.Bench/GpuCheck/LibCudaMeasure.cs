using System.Runtime.InteropServices;
using Kvcached.Devices.Cuda;

namespace Kvcached.Bench.GpuCheck;

/// <summary>Calls of the CUDA driver API that measuring needs and the device does not: events, and graphs captured from streams. As in <c>cuda.h</c> of CUDA 12.</summary>
internal static unsafe partial class LibCudaMeasure
{
    /// <summary>CUDA_ERROR_NOT_READY: what a stream that still has work says. No failure.</summary>
    internal const CudaResult NotReady = (CudaResult)600;

    internal const uint EventDefault = 0x0;
    internal const int CaptureRelaxed = 2;

    [LibraryImport(LibCuda.Library, EntryPoint = "cuStreamQuery")]
    internal static partial CudaResult StreamQuery(nint stream);

    [LibraryImport(LibCuda.Library, EntryPoint = "cuEventCreate")]
    internal static partial CudaResult EventCreate(nint* created, uint flags);

    [LibraryImport(LibCuda.Library, EntryPoint = "cuEventDestroy_v2")]
    internal static partial CudaResult EventDestroy(nint destroyed);

    [LibraryImport(LibCuda.Library, EntryPoint = "cuEventRecord")]
    internal static partial CudaResult EventRecord(nint recorded, nint stream);

    [LibraryImport(LibCuda.Library, EntryPoint = "cuEventElapsedTime")]
    internal static partial CudaResult EventElapsedTime(float* milliseconds, nint start, nint end);

    [LibraryImport(LibCuda.Library, EntryPoint = "cuStreamBeginCapture_v2")]
    internal static partial CudaResult StreamBeginCapture(nint stream, int mode);

    [LibraryImport(LibCuda.Library, EntryPoint = "cuStreamEndCapture")]
    internal static partial CudaResult StreamEndCapture(nint stream, nint* graph);

    [LibraryImport(LibCuda.Library, EntryPoint = "cuGraphInstantiateWithFlags")]
    internal static partial CudaResult GraphInstantiate(nint* executable, nint graph, ulong flags);

    [LibraryImport(LibCuda.Library, EntryPoint = "cuGraphLaunch")]
    internal static partial CudaResult GraphLaunch(nint executable, nint stream);

    [LibraryImport(LibCuda.Library, EntryPoint = "cuGraphExecDestroy")]
    internal static partial CudaResult GraphExecDestroy(nint executable);

    [LibraryImport(LibCuda.Library, EntryPoint = "cuGraphDestroy")]
    internal static partial CudaResult GraphDestroy(nint graph);
}
