namespace Kvcached.Devices;

/// <summary>
/// One GPU, or the CPU standing in for one. Offers memory, queues, timelines and kernels; nothing here waits for device progress.
/// Creating things may be slow and is done at open, never with a wait outstanding. Thread-safe.
/// </summary>
public interface IDevice : IDisposable
{
    /// <summary>The device's kind and what it runs on, for messages: <c>cpu (2 workers)</c>.</summary>
    string Name { get; }

    /// <summary>Allocates zeroed memory, aligned to 4,096 bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is not positive.</exception>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    DeviceMemory Allocate(long bytes, MemoryKind kind, string label);

    /// <summary>
    /// Allocates memory of kind <see cref="MemoryKind.Device"/>, aligned to 4,096 bytes, of which the first part alone has memory, zeroed: the rest is as if it had been discarded. Where the device takes
    /// no memory back (<see cref="MemoryReturn.Never"/>), all of it has some.
    /// </summary>
    /// <param name="bytes">Its size.</param>
    /// <param name="populated">Bytes that have memory from the start: whole pages.</param>
    /// <param name="label">What it is for, in messages.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is not positive, or <paramref name="populated"/> lies outside it or, where it is less, either is not in whole pages.</exception>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    DeviceMemory AllocateElastic(long bytes, long populated, string label)
    {
        var memory = Allocate(bytes, MemoryKind.Device, label);
        memory.KeepFirst(populated);
        return memory;
    }

    /// <summary>Creates a queue.</summary>
    DeviceQueue CreateQueue(string label);

    /// <summary>Creates a timeline at value 0.</summary>
    DeviceTimeline CreateTimeline(string label);

    /// <summary>Finds a kernel by name.</summary>
    /// <exception cref="KernelNotFoundException">The device has no such kernel; the message lists those it has.</exception>
    DeviceKernel LoadKernel(string name);
}

/// <summary>A device cannot allocate what was asked for.</summary>
public sealed class OutOfDeviceMemoryException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>A device has no kernel of the name asked for.</summary>
public sealed class KernelNotFoundException(string message) : Exception(message);
