using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Sequences;

namespace Kvcached;

/// <summary>
/// A KV cache over a device: an engine inside this process (<see cref="OpenEmbedded"/>), or a daemon's, shared with other processes. Members may be called from any thread.
/// No member waits for the device, but for <see cref="Wait"/> and <see cref="WaitAsync"/>, which are for applications that need a result on the host, and are counted.
/// </summary>
public abstract class KvCache : IDisposable
{
    /// <summary>How long a waiting application sleeps before it lets the engine act again.</summary>
    private static readonly TimeSpan _waitSlice = TimeSpan.FromMilliseconds(1);

    private long _hostWaits;

    private protected KvCache(IDevice device) => Device = device;

    /// <summary>Bytes of physical memory that the system has given for the pool so far. A system call: not for hot paths.</summary>
    public abstract long PoolPhysicalBytes { get; }

    /// <summary>The device that the cache's memory lies on.</summary>
    public IDevice Device { get; }

    /// <summary>Device address of the entry heap, for kernels.</summary>
    public abstract ulong EntriesAddress { get; }

    /// <summary>Device address of the pool's byte 0, for kernels: an entry times 256 is an offset from here.</summary>
    public abstract ulong PoolAddress { get; }

    /// <summary>Opens a cache inside this process: the engine runs inline on the caller's thread, under one lock.</summary>
    /// <exception cref="KvException">A size is impossible; the message names it and the limit.</exception>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    public static KvCache OpenEmbedded(IDevice device, KvCacheOptions options)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        return new EmbeddedCache(device, options);
    }

    /// <summary>
    /// Attaches to a daemon (<c>kvcached serve</c>) and shares its pool with other processes. Kernels run in this process, on queues of this device, in the order that
    /// begin and end points give; the engine runs in the daemon. A step's status is <see cref="KvStepStatus.Pending"/> until the daemon has answered.
    /// </summary>
    /// <param name="device">A device of the kind that the daemon's pool lies on.</param>
    /// <param name="socket">Path of the daemon's socket.</param>
    /// <param name="options">Tenant and name.</param>
    /// <param name="cancellation">Gives up connecting.</param>
    /// <exception cref="KvException">Nobody answers, or the daemon refuses; later, where the daemon ends, is stopped or disconnects this client, any member throws <see cref="KvError.DaemonLost"/>.</exception>
    public static async Task<KvCache> ConnectAsync(ISharingDevice device, string socket, KvConnectOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentNullException.ThrowIfNull(socket);
        options ??= new KvConnectOptions();
        options.Validate();
        return new RemoteCache(device, await DaemonLink.ConnectAsync(device, socket, options, cancellation).ConfigureAwait(false));
    }

    /// <summary>Registers a model. A sequence of it has one row per layout.</summary>
    /// <exception cref="KvException">There is no layout, one is out of range, or a block does not fit the pool.</exception>
    public KvModel RegisterModel(string name, params ReadOnlySpan<KvLayout> layouts)
    {
        ArgumentNullException.ThrowIfNull(name);
        KvCacheOptions.Check(nameof(layouts), layouts.Length, 1, KvModel.MaxLayouts, 1);
        var shapes = new KvShape[layouts.Length];
        for (var i = 0; i < layouts.Length; i++)
        {
            ArgumentNullException.ThrowIfNull(layouts[i], nameof(layouts));
            shapes[i] = layouts[i].ToShape();
        }

        var copy = layouts.ToArray();
        return new KvModel(this, RegisterModel(name, copy, shapes), name, copy, shapes);
    }

    /// <summary>Opens a lane, an ordered flow of steps.</summary>
    /// <exception cref="KvException">A size is impossible; the message names it and the limit.</exception>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    /// <exception cref="KernelNotFoundException">The lane is to have page tables, and the device has no kernel that writes them.</exception>
    public KvLane OpenLane(KvLaneOptions? options = null)
    {
        options ??= new KvLaneOptions();
        options.Validate();
        return OpenLaneCore(options);
    }

    /// <summary>Observes points, serves steps that are busy, starts background work. Never blocks. Begin does the same.</summary>
    public abstract void Pump();

    /// <summary>
    /// Asks for the pool to be compacted: blocks of sparse segments are moved into fuller ones, beside whatever kernels run. Later turns do it, a part in
    /// each while nothing else uses the background queue. Never blocks.
    /// </summary>
    public abstract void Compact();

    /// <summary>
    /// Compacts, and gives the memory of what comes free back to the system, down to <see cref="KvCacheOptions.PoolFloorBytes"/>. Later turns do it.
    /// Never waits for the device.
    /// </summary>
    public abstract void Trim();

    /// <summary>Counters. Allocates nothing.</summary>
    public abstract KvCacheStatistics GetStatistics();

    /// <summary>Blocks the calling thread until the point is reached, and counts that. Pumps while it waits.</summary>
    /// <param name="point">What to wait for.</param>
    /// <param name="timeout">How long at most; <see cref="Timeout.InfiniteTimeSpan"/> for as long as it takes.</param>
    /// <returns>False if the timeout passed first.</returns>
    public bool Wait(TimelinePoint point, TimeSpan timeout)
    {
        ArgumentNullException.ThrowIfNull(point.Timeline, nameof(point));
        Pump();
        CountHostWait();
        var start = System.Diagnostics.Stopwatch.GetTimestamp();
        while (!point.IsReached)
        {
            Pump();
            if (timeout != Timeout.InfiniteTimeSpan && System.Diagnostics.Stopwatch.GetElapsedTime(start) > timeout)
            {
                return point.IsReached;
            }

#pragma warning disable RS0030 // The application asked for this wait; nothing in the library does.
            point.Timeline.WaitOnHost(point.Value, _waitSlice);
#pragma warning restore RS0030
        }

        Pump();
        return true;
    }

    /// <summary>Completes when the point is reached, and counts that. Pumps while it waits.</summary>
    public async Task WaitAsync(TimelinePoint point, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(point.Timeline, nameof(point));
        Pump();
        CountHostWait();
        while (!point.IsReached)
        {
            Pump();
            await Task.Delay(_waitSlice, cancellation).ConfigureAwait(false);
        }

        Pump();
    }

    /// <summary>
    /// Closes the cache and gives its queues, timelines and memory back. Enqueued work that has not started is given up. The application's own
    /// kernels that use the cache's memory must have ended.
    /// </summary>
    public void Dispose()
    {
        DisposeCore();
        GC.SuppressFinalize(this);
    }

    internal abstract int RegisterModel(string name, KvLayout[] layouts, KvShape[] shapes);

    internal abstract KvSequence CreateSequence(KvModel model);

    internal abstract int TokenCount(SequenceHandle handle);

    internal abstract bool IsRefused(SequenceHandle handle);

    internal abstract void Truncate(SequenceHandle handle, int tokens);

    internal abstract void Commit(SequenceHandle handle, int count);

    internal abstract void Free(SequenceHandle handle);

    internal abstract void OpenWindow(SequenceHandle handle, int layout);

    internal abstract void CloseWindow(SequenceHandle handle, int layout);

    internal abstract long WindowBytes(SequenceHandle handle, int layout);

    /// <summary>Has transfers of a sequence enqueued on a lane. Returns the blocks that they are of.</summary>
    /// <param name="kind">Which transfers.</param>
    /// <param name="lane">The lane: of this cache, or the call throws.</param>
    /// <param name="handle">The sequence.</param>
    /// <param name="most">The most blocks, for a move.</param>
    internal abstract int Transfer(TransferKind kind, KvLane lane, SequenceHandle handle, int most);

    /// <summary>The cache's own handle of a sequence.</summary>
    internal SequenceHandle HandleOf(KvSequence sequence) => sequence.Cache == this
        ? sequence.Handle
        : throw new KvException(KvError.ForeignHandle, $"Sequence {sequence.Id} is another cache's.");

    private protected long HostWaits => Interlocked.Read(ref _hostWaits);

    private protected abstract KvLane OpenLaneCore(KvLaneOptions options);

    private protected abstract void DisposeCore();

    /// <summary>Tells listeners of metrics that the application waits.</summary>
    private protected abstract void ReportHostWait();

    private protected static KvException Closed() => new(KvError.Closed, "The cache has been disposed.");

    private protected static KvException ForeignLane() => new(KvError.ForeignHandle, "The lane is another cache's.");

    private void CountHostWait()
    {
        Interlocked.Increment(ref _hostWaits);
        ReportHostWait();
    }
}
