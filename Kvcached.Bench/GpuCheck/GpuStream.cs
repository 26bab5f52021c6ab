using System.Diagnostics;
using Kvcached.Devices.Cuda;

namespace Kvcached.Bench.GpuCheck;

/// <summary>
/// A stream of a GPU's own, without the device's queue in front of it: what is measured is the GPU's work alone. Owns the stream and its graphs. One thread at a time, in any process that
/// has a context of the GPU.
/// </summary>
internal sealed unsafe class GpuStream : ILaunchStream, IDisposable
{
    private readonly CudaContext _context;
    private readonly CudaDevice? _device;
    private readonly nint _stream;
    private readonly nint _start;
    private readonly nint _end;
    private readonly List<nint> _graphs = [];

    /// <summary>A stream for kernels.</summary>
    public GpuStream(GpuRig rig)
        : this(rig.Context) => _device = rig.Device;

    /// <summary>A stream for all but kernels.</summary>
    public GpuStream(CudaContext context)
    {
        _context = context;
        _context.Use();
        nint stream, start, end;
        CudaCall.Check(LibCuda.StreamCreate(&stream, LibCuda.StreamNonBlocking), "cuStreamCreate");
        CudaCall.Check(LibCudaMeasure.EventCreate(&start, LibCudaMeasure.EventDefault), "cuEventCreate");
        CudaCall.Check(LibCudaMeasure.EventCreate(&end, LibCudaMeasure.EventDefault), "cuEventCreate");
        (_stream, _start, _end) = (stream, start, end);
    }

    /// <summary>Whether all that was enqueued has been done.</summary>
    /// <exception cref="DeviceLostException">A command has failed.</exception>
    public bool IsIdle
    {
        get
        {
            var result = LibCudaMeasure.StreamQuery(_stream);
            if (result != LibCudaMeasure.NotReady)
            {
                CudaCall.Check(result, "cuStreamQuery");
            }

            return result == CudaResult.Success;
        }
    }

    public void Launch<T>(string name, in T arguments)
        where T : unmanaged
    {
        var device = _device ?? throw new InvalidOperationException("The stream is not for kernels.");
        var kernel = (CudaKernel)device.LoadKernel(name);
        fixed (T* blob = &arguments)
        {
            var launch = kernel.Kernel.Plan(new ReadOnlySpan<byte>(blob, sizeof(T)), device.ComputeUnits);
            var bytes = (nuint)sizeof(T);
            var extra = stackalloc nint[] { LibCuda.LaunchParameterBuffer, (nint)blob, LibCuda.LaunchParameterBytes, (nint)(&bytes), LibCuda.LaunchParameterEnd };
            CudaCall.Check(
                LibCuda.LaunchKernel(kernel.Functions[launch.EntryPoint], launch.GroupsX, launch.GroupsY, launch.GroupsZ, launch.GroupSize, 1, 1, 0, _stream, null, extra),
                $"cuLaunchKernel of {name}");
        }
    }

    public void Copy(ulong target, ulong source, long bytes) => CudaCall.Check(LibCuda.MemcpyAsync(target, source, (nuint)bytes, _stream), "cuMemcpyAsync");

    public void Clear(ulong target, long bytes) => CudaCall.Check(LibCuda.MemsetD8Async(target, 0, (nuint)bytes, _stream), "cuMemsetD8Async");

    /// <summary>Makes what follows wait until a word is at least a value.</summary>
    public void WaitFor(ulong word, ulong value) => CudaCall.Check(LibCuda.StreamWaitValue64(_stream, word, value, LibCuda.WaitValueGreaterOrEqual), "cuStreamWaitValue64");

    /// <summary>Writes a word behind all that was enqueued.</summary>
    public void Write(ulong word, ulong value) => CudaCall.Check(LibCuda.StreamWriteValue64(_stream, word, value, LibCuda.WriteValueDefault), "cuStreamWriteValue64");

    public void Synchronize() => CudaCall.Check(LibCuda.StreamSynchronize(_stream), "cuStreamSynchronize");

    /// <summary>Waits without blocking in the driver.</summary>
    /// <returns>False if it takes longer than the limit.</returns>
    public bool TrySynchronize(TimeSpan limit)
    {
        var start = Stopwatch.GetTimestamp();
        while (!IsIdle)
        {
            if (Stopwatch.GetElapsedTime(start) > limit)
            {
                return false;
            }

            Thread.Sleep(1);
        }

        return true;
    }

    /// <summary>Microseconds that the GPU needs for what is enqueued, by its own clock.</summary>
    public double Time(Action enqueue)
    {
        _context.Use();
        CudaCall.Check(LibCudaMeasure.EventRecord(_start, _stream), "cuEventRecord");
        enqueue();
        CudaCall.Check(LibCudaMeasure.EventRecord(_end, _stream), "cuEventRecord");
        Synchronize();
        float milliseconds;
        CudaCall.Check(LibCudaMeasure.EventElapsedTime(&milliseconds, _start, _end), "cuEventElapsedTime");
        return milliseconds * 1000.0;
    }

    /// <summary>Captures what is enqueued, instead of having it done.</summary>
    public GpuGraph Capture(Action enqueue)
    {
        CudaCall.Check(LibCudaMeasure.StreamBeginCapture(_stream, LibCudaMeasure.CaptureRelaxed), "cuStreamBeginCapture");
        nint graph, executable;
        enqueue();
        CudaCall.Check(LibCudaMeasure.StreamEndCapture(_stream, &graph), "cuStreamEndCapture");
        CudaCall.Check(LibCudaMeasure.GraphInstantiate(&executable, graph, 0), "cuGraphInstantiateWithFlags");
        _ = LibCudaMeasure.GraphDestroy(graph);
        _graphs.Add(executable);
        return new GpuGraph(executable);
    }

    /// <summary>Enqueues a graph.</summary>
    public void Launch(GpuGraph graph) => CudaCall.Check(LibCudaMeasure.GraphLaunch(graph.Executable, _stream), "cuGraphLaunch");

    /// <summary>A stream that still waits for something is left to the process's end: destroying it would not end the wait.</summary>
    public void Dispose()
    {
        _context.Use();
        if (LibCudaMeasure.StreamQuery(_stream) == CudaResult.Success)
        {
            _graphs.ForEach(graph => _ = LibCudaMeasure.GraphExecDestroy(graph));
            _ = LibCudaMeasure.EventDestroy(_start);
            _ = LibCudaMeasure.EventDestroy(_end);
            _ = LibCuda.StreamDestroy(_stream);
        }
    }
}

/// <summary>A captured graph, ready to be launched. Belongs to its stream.</summary>
internal sealed class GpuGraph(nint executable)
{
    public nint Executable => executable;
}
