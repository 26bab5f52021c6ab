namespace Kvcached.Devices;

/// <summary>Where memory lies and who may touch it.</summary>
public enum MemoryKind
{
    /// <summary>Memory of the device: reached by commands and kernels alone.</summary>
    Device,

    /// <summary>Host memory that the device's copies can read and write (pinned, where that means something), and the host through <see cref="DeviceMemory.HostSpan"/>.</summary>
    Host,
}

/// <summary>What becomes of memory that is given back.</summary>
public enum MemoryReturn
{
    /// <summary>It goes at once, and comes again on first use: <see cref="DeviceMemory.Populate"/> has nothing to do.</summary>
    AtOnce,

    /// <summary>It does not go: the device keeps what it has allocated, and <see cref="DeviceMemory.Discard"/> writes zeros over it, which may wait for the device.</summary>
    Never,

    /// <summary>It goes and comes later, by a thread of the device's own and in the order in which that was asked for: a range that was discarded is nobody's to touch until <see cref="DeviceMemory.Arrivals"/> says that it is there.</summary>
    Later,
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

    /// <summary>What becomes of a range that is discarded.</summary>
    public virtual MemoryReturn Returns => MemoryReturn.AtOnce;

    /// <summary>Counts what <see cref="Populate"/> was asked for and is done with; null unless memory comes <see cref="MemoryReturn.Later"/>. The memory owns it.</summary>
    public virtual DeviceTimeline? Arrivals => null;

    /// <summary>Bytes that come and go together, a power of two, where memory goes <see cref="MemoryReturn.Later"/>: to ask for fewer saves nothing.</summary>
    public virtual long ExtentBytes => PageBytes;

    /// <summary>
    /// The bytes as the host sees them. For <see cref="MemoryKind.Host"/> only. Nothing orders host accesses with queues: write only what no
    /// submission that has not ended reads, read only after the writer's point has been observed.
    /// </summary>
    /// <exception cref="InvalidOperationException">The memory is not of kind <see cref="MemoryKind.Host"/>.</exception>
    public abstract Span<byte> HostSpan(long offset, int bytes);

    /// <summary>
    /// Gives the physical memory behind a range back to the system and keeps the addresses: what is read there next is zero. The host's own act,
    /// in no queue: no submission that has not ended may touch the range. A device that maps memory in larger extents may keep what is not a whole one
    /// (<see cref="Returns"/>).
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
    /// <returns>The value of <see cref="Arrivals"/> at which all of the range has memory and is zero, or has been refused (<see cref="IsRefused"/>); 0 where it has memory now.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The range lies outside the memory, or is not in whole pages of 4,096 bytes.</exception>
    public ulong Populate(long offset, long bytes)
    {
        CheckPages(offset, bytes);
        return PopulateCore(offset, bytes);
    }

    /// <summary>Whether an arrival that has been reached is none: the device has not got the memory now, the range is as it was, and may be asked for again.</summary>
    /// <param name="arrival">What <see cref="Populate"/> returned. A refusal is told once.</param>
    public virtual bool IsRefused(ulong arrival) => false;

    /// <summary>Discards all but the first bytes, where that gives anything back; disposes the memory where it cannot be.</summary>
    internal void KeepFirst(long populated)
    {
        try
        {
            CheckPages(populated, Bytes - populated);
            if (Returns != MemoryReturn.Never && populated < Bytes)
            {
                Discard(populated, Bytes - populated);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Gives the memory back to the device.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives a range that has been checked back to the system.</summary>
    protected abstract void DiscardCore(long offset, long bytes);

    /// <summary>Gives memory to a range that has been checked; see <see cref="Populate"/>.</summary>
    protected virtual ulong PopulateCore(long offset, long bytes) => 0;

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
