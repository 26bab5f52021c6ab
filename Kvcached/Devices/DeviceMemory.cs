namespace Kvcached.Devices;

/// <summary>Where memory lies and who may touch it.</summary>
public enum MemoryKind
{
    /// <summary>Memory of the device: reached by commands and kernels alone.</summary>
    Device,

    /// <summary>Host memory that the device's copies can read and write (pinned, where that means something), and the host through <see cref="DeviceMemory.HostSpan"/>.</summary>
    Host,
}

/// <summary>
/// A range of memory that commands name. Owned by who allocated it; disposing it while a submission that names it has not ended is a
/// broken contract. Thread-safe.
/// </summary>
public abstract class DeviceMemory : IDisposable
{
    internal const long PageBytes = 4096;

    /// <summary>Describes the range.</summary>
    protected DeviceMemory(string label, MemoryKind kind, long bytes)
    {
        Label = label;
        Kind = kind;
        Bytes = bytes;
    }

    /// <summary>What the memory is for, in messages.</summary>
    public string Label { get; }

    /// <summary>Where it lies.</summary>
    public MemoryKind Kind { get; }

    /// <summary>Its size.</summary>
    public long Bytes { get; }

    /// <summary>Bytes of physical memory that the system has given for it so far: less than <see cref="Bytes"/> where it gives them on first use.</summary>
    public virtual long PhysicalBytes => Bytes;

    /// <summary>Address of byte 0 as kernels see it. Stable for the memory's life.</summary>
    public abstract ulong Address { get; }

    /// <summary>
    /// The bytes as the host sees them. For <see cref="MemoryKind.Host"/> only. Nothing orders host accesses with queues: write only what no
    /// submission that has not ended reads, read only after the writer's point has been observed.
    /// </summary>
    /// <exception cref="InvalidOperationException">The memory is not of kind <see cref="MemoryKind.Host"/>.</exception>
    public abstract Span<byte> HostSpan(long offset, int bytes);

    /// <summary>
    /// Gives the physical memory behind a range back to the system and keeps the addresses: what is read there next is zero. The host's own act,
    /// in no queue: no submission that has not ended may touch the range. A device that maps memory in larger extents may keep what is not a whole one.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The range lies outside the memory, or is not in whole pages of 4,096 bytes.</exception>
    public void Discard(long offset, long bytes)
    {
        CheckPages(offset, bytes);
        DiscardCore(offset, bytes);
    }

    /// <summary>
    /// Gives memory to a range that was discarded, before anything is submitted that touches it. The host's own act, as <see cref="Discard"/> is. A device
    /// that gives memory on first use has nothing to do.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The range lies outside the memory, or is not in whole pages of 4,096 bytes.</exception>
    public void Populate(long offset, long bytes)
    {
        CheckPages(offset, bytes);
        PopulateCore(offset, bytes);
    }

    /// <summary>Gives the memory back to the device.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives a range that has been checked back to the system.</summary>
    protected abstract void DiscardCore(long offset, long bytes);

    /// <summary>Gives memory to a range that has been checked.</summary>
    protected virtual void PopulateCore(long offset, long bytes)
    {
    }

    /// <summary>Gives the memory back to the device.</summary>
    protected abstract void Dispose(bool disposing);

    private void CheckPages(long offset, long bytes)
    {
        if (offset < 0 || bytes < 0 || bytes > Bytes - offset || (offset | bytes) % PageBytes != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), $"Bytes {offset} to {offset}+{bytes} are not whole pages of the {Bytes} bytes of {Label}.");
        }
    }
}
