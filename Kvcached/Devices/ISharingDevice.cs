using Microsoft.Win32.SafeHandles;

namespace Kvcached.Devices;

/// <summary>What processes other than the one that allocated a range of memory may do with it.</summary>
public enum SharedAccess
{
    /// <summary>Nothing: they never get its descriptor.</summary>
    Private,

    /// <summary>Map it for reading. Who allocated it writes through the mapping that it has; no further mapping can, and the memory cannot be discarded.</summary>
    ReadOnlyForOthers,

    /// <summary>Map it for reading and writing.</summary>
    ReadWriteForOthers,
}

/// <summary>What memory of kind <see cref="MemoryKind.Device"/> is that processes share: a descriptor of one means nothing to a device that shares the other.</summary>
public enum SharedMemoryKind
{
    /// <summary>Memory of the host, under a memfd: the cpu device, and OpenCL where it uses the host's memory.</summary>
    Host,

    /// <summary>Memory of a GPU, under a descriptor of its driver.</summary>
    Cuda,
}

/// <summary>
/// A device whose memory and timelines several processes can use, each through a device of its own. What is shared is a descriptor, which travels over a Unix
/// socket; a timeline is an offset into shared memory. Order between the processes is by timelines alone.
/// <code>
///   process A                                           process B
///   memory = Allocate(…, ReadOnlyForOthers)
///   begin  = CreateTimeline(memory, 0, 0)
///   DescriptorOf(memory)  ──────── socket ────────→     memory = Import(descriptor, …)
///                                                       begin  = ImportTimeline(memory, 0)
///   queue.Submit(…, signal begin)                       queue.Submit([wait begin], …)
/// </code>
/// Memory that is shared, its timelines and bells may be disposed while submissions that name them have not ended, and while threads wait for the timelines: what
/// was captured stays mapped until every queue of the device has gone past it, or has been disposed. Thread-safe.
/// </summary>
public interface ISharingDevice : IDevice
{
    /// <summary>What its shared memory is.</summary>
    SharedMemoryKind SharedMemory { get; }

    /// <summary>Allocates zeroed memory, aligned to 4,096 bytes, that others can map; nobody can shrink or grow it.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is not positive.</exception>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    DeviceMemory Allocate(long bytes, MemoryKind kind, string label, SharedAccess access);

    /// <summary>The descriptor of memory that was allocated to be shared, sealed to its <see cref="SharedAccess"/>. The memory owns it; sending it makes a copy.</summary>
    /// <exception cref="InvalidOperationException">The memory is private, or another process's.</exception>
    SafeFileHandle DescriptorOf(DeviceMemory memory);

    /// <summary>Maps memory that another process has allocated.</summary>
    /// <param name="descriptor">What <see cref="DescriptorOf"/> gave there. The device's from here on, also when this throws.</param>
    /// <param name="bytes">Its size.</param>
    /// <param name="kind">What it is used as here.</param>
    /// <param name="access">What it was allocated with: for <see cref="SharedAccess.ReadOnlyForOthers"/>, commands and host may only read it here.</param>
    /// <param name="label">What it is for, in messages.</param>
    /// <exception cref="ArgumentException">It is smaller than <paramref name="bytes"/>, or could be made so while it is in use.</exception>
    /// <exception cref="OutOfDeviceMemoryException">It cannot be mapped.</exception>
    DeviceMemory Import(SafeFileHandle descriptor, long bytes, MemoryKind kind, SharedAccess access, string label);

    /// <summary>
    /// Creates a timeline in shared memory of this process: <see cref="TimelineBytes"/> at <paramref name="offset"/> are its own until it is disposed. Where others may write the memory, what
    /// they write there moves the timeline; it neither blocks this process nor keeps it awake.
    /// </summary>
    /// <param name="memory">Memory that was allocated here to be shared.</param>
    /// <param name="offset">A multiple of <see cref="TimelineBytes"/>.</param>
    /// <param name="value">Where it starts.</param>
    /// <param name="label">What it counts, in messages.</param>
    DeviceTimeline CreateTimeline(DeviceMemory memory, long offset, ulong value, string label);

    /// <summary>Finds a timeline that another process has created in memory that was imported. Where the memory may only be read, it can be waited for and not signalled.</summary>
    DeviceTimeline ImportTimeline(DeviceMemory memory, long offset, string label);

    /// <summary>Bytes of a timeline in shared memory.</summary>
    int TimelineBytes { get; }

    /// <summary>
    /// Raises a timeline that a dying process may still be writing, for its peer's sake: ends after a bounded number of tries, whatever others write, and
    /// wakes whoever waits, whatever the words say. Meant to be said again until nobody needs it any more.
    /// </summary>
    void Poison(DeviceTimeline timeline, ulong value);

    /// <summary>Makes a bell, for <see cref="Attach"/>.</summary>
    /// <param name="attention">Shared memory of any process, in which the waiting process says what it wants to be called for.</param>
    /// <param name="offset">Of the 32-bit word in it.</param>
    /// <param name="bits">The bell is rung only while one of these is set there.</param>
    /// <param name="eventDescriptor">An eventfd, non-blocking. The bell's from here on.</param>
    SignalBell CreateBell(DeviceMemory attention, long offset, uint bits, SafeFileHandle eventDescriptor);

    /// <summary>Looks whether the device still works: one whose commands fail is known to be lost by its next driver call alone, and that may wait for the driver.</summary>
    /// <exception cref="DeviceLostException">It does not; the message says why.</exception>
    void ThrowIfLost();

    /// <summary>Has a bell rung after each signal of a timeline that this process submits or gives from now on; null for none.</summary>
    void Attach(DeviceTimeline timeline, SignalBell? bell);
}
