using Kvcached.Kernels;

namespace Kvcached.Devices.Cpu;

/// <summary>What a cpu device is made of.</summary>
public sealed record CpuDeviceOptions
{
    /// <summary>Threads that run the items of one kernel launch, the queue's own included: 1 to 1,024.</summary>
    public int Workers { get; init; } = Environment.ProcessorCount;

    /// <summary>Kernels beside those of <c>Kvcached.Kernels</c>, which every cpu device has. Names are unique.</summary>
    public IReadOnlyList<CpuKernel> Kernels { get; init; } = [];

    /// <summary>
    /// How long, in microseconds, a worker without work looks for more before it sleeps: 0 to 10,000. Kernels that follow one another more closely
    /// than this find the workers awake, at the price of that much processor time after the last of them. Where workers share a core with
    /// their peers, this is what a peer waits for.
    /// </summary>
    public double WorkerSpinMicroseconds { get; init; } = 30;

    /// <summary>
    /// Bytes that a submission may copy, fill and carry to be run at once by the thread that submits it, where the queue has nothing else to do, what the submission
    /// waits for has been reached and it launches no kernel: 0 to 65,536. That saves waking the queue's thread. 0: never.
    /// </summary>
    public int InlineBytes { get; init; } = 4096;

    /// <summary>Bytes that the device may hold, both kinds together; null for the memory that the process may use.</summary>
    public long? MaxBytes { get; init; }
}
