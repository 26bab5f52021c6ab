namespace Kvcached.Devices.Sim;

/// <summary>How a simulated device behaves.</summary>
public sealed record SimOptions
{
    /// <summary>All choices of the run follow from this.</summary>
    public ulong Seed { get; init; }

    /// <summary>Kernels that <see cref="IDevice.LoadKernel"/> finds.</summary>
    public IReadOnlyList<SimKernel> Kernels { get; init; } = [];

    /// <summary>
    /// From a memory's label to the size of the cells in which its accesses are tracked: a power of two of at least 4. Two accesses in one
    /// cell conflict even where their bytes differ. Null, or 0 for a label, means 256.
    /// </summary>
    public Func<string, int>? CellBytes { get; init; }

    /// <summary>
    /// From the label of a queue or timeline to the client that owns it, <see cref="SimDevice.Background"/> or
    /// <see cref="SimDevice.Unowned"/>. Null means unowned until <see cref="SimDevice.SetOwner(DeviceQueue, int)"/>.
    /// </summary>
    public Func<string, int>? OwnerOf { get; init; }

    /// <summary>
    /// From a timeline's label to whether what its signals carried is forgotten when a host observes them: then it does not count as ordered
    /// before what the host submits later. It is a fact, so it does count, unless a test asks what depends on it. Null means no timeline.
    /// </summary>
    public Func<string, bool>? ForgetsObservation { get; init; }

    /// <summary>
    /// From an order that a queue gives to whether it is forgotten. Submissions still run in order; what is checked is that the order
    /// which they need comes from elsewhere. Null means none.
    /// </summary>
    public Func<QueueOrder, bool>? ForgetsOrder { get; init; }

    /// <summary>Whether hosts may see a timeline's value late.</summary>
    public bool LagObservation { get; init; }

    /// <summary>Whether a wait must name a point that is reached, submitted or promised (I11).</summary>
    public bool RequirePromises { get; init; } = true;

    /// <summary>From a memory's label to what becomes of it when it is given back. What comes later comes from a queue that the scheduler lets run as it does others. Null means at once.</summary>
    public Func<string, MemoryReturn>? Returns { get; init; }

    /// <summary>Bytes that can be allocated.</summary>
    public long MemoryBytes { get; init; } = 1L << 28;

    /// <summary>Gets a line for each submission, slice and signal; null for none.</summary>
    public TextWriter? Trace { get; init; }

    /// <summary>The command that replays this run, for messages.</summary>
    public string? Replay { get; init; }
}

/// <summary>What a simulated device has done so far.</summary>
public record struct SimStatistics
{
    /// <summary>Slices run.</summary>
    public long Slices;

    /// <summary>Submissions accepted.</summary>
    public long Submissions;

    /// <summary>Commands accepted.</summary>
    public long Commands;

    /// <summary>Cells whose accesses were checked.</summary>
    public long CellsChecked;

    /// <summary>Submissions whose dependences were searched for a cycle.</summary>
    public long CycleSearches;
}
