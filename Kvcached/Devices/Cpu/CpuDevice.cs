using Kvcached.Devices.Host;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;

namespace Kvcached.Devices.Cpu;

/// <summary>
/// The CPU as a device, truly asynchronous: each queue is a thread, kernels run over a persistent team of workers, memory and timelines
/// are shared memory. Owns all that it creates, as every <see cref="MappedDevice"/> does. Thread-safe.
/// </summary>
public sealed unsafe class CpuDevice : MappedDevice
{
    /// <summary>The most workers that a device may have.</summary>
    public const int MaxWorkers = 1024;

    private const int MaxInlineBytes = 64 * 1024;

    private readonly Lock _launches = new();

    /// <summary>Opens a device.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An option lies outside its range.</exception>
    /// <exception cref="ArgumentException">Two kernels have the same name.</exception>
    public CpuDevice(CpuDeviceOptions? options = null)
        : this(Checked(options ?? new CpuDeviceOptions()), default(Opening))
    {
    }

    private CpuDevice(CpuDeviceOptions options, Opening _)
        : base($"cpu ({options.Workers} workers)", options.MaxBytes ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes)
    {
        Kernels = [.. CpuKernelLibrary.All, .. options.Kernels];
        for (var i = 0; i < Kernels.Length; i++)
        {
            AddKernel(i);
        }

        InlineBytes = options.InlineBytes;
        Workers = options.Workers;
        Team = new WorkerTeam(this, Workers, options.WorkerSpinMicroseconds);
    }

    /// <summary>Threads that run the items of one kernel launch, the queue's own included.</summary>
    public int Workers { get; }

    /// <summary>As <see cref="CpuDeviceOptions.InlineBytes"/>.</summary>
    internal int InlineBytes { get; }

    internal CpuKernel[] Kernels { get; }

    internal WorkerTeam Team { get; }

    internal void Lose(int kernel, Exception cause) => Lose($"the kernel {Kernels[kernel].Name}", cause);

    internal KernelLaunch[] AcquireLaunch()
    {
        lock (_launches)
        {
            return Team.AcquireLaunch();
        }
    }

    internal void ReleaseLaunch(KernelLaunch[] launch)
    {
        lock (_launches)
        {
            Team.ReleaseLaunch(launch);
        }
    }

    private protected override HostQueue CreateQueueCore(string label) => new CpuQueue(this, label);

    private protected override void EndQueues() => Team.Stop();

    private static CpuDeviceOptions Checked(CpuDeviceOptions options)
    {
        CheckRange(options.Workers, 1, MaxWorkers, nameof(options.Workers));
        CheckRange(options.WorkerSpinMicroseconds, 0, 10_000, nameof(options.WorkerSpinMicroseconds));
        CheckRange(options.InlineBytes, 0, MaxInlineBytes, nameof(options.InlineBytes));
        CheckRange(options.MaxBytes ?? long.MaxValue, 1, long.MaxValue, nameof(options.MaxBytes));
        ArgumentNullException.ThrowIfNull(options.Kernels);
        return options;
    }

    private void AddKernel(int index)
    {
        var kernel = Kernels[index];
        if (kernel.Name is null || kernel.Items == null || kernel.Run == null)
        {
            throw new ArgumentException($"Kernel {index} ({kernel.Name}) lacks a name or a function.");
        }

        AddKernel(new CpuDeviceKernel(this, kernel.Name, index));
    }

    /// <summary>Tells the constructor that opens from the one that is called.</summary>
    private readonly struct Opening;
}
