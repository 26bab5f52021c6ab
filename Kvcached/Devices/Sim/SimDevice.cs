using System.Numerics;

namespace Kvcached.Devices.Sim;

/// <summary>
/// A device that runs in one thread from a seed, and checks what runs on it. Nothing runs by itself: <see cref="RunSlice"/> lets one
/// queue go one slice further, in any order that waits allow. It reports, in any run and not only in unlucky ones, two conflicting
/// accesses that no chain of points orders, waits that close a cycle (I11), and waits for other clients (I3), as a
/// <see cref="SimViolationException"/> from the call that shows it; after the first, every call that would go on throws it again.
/// <code>
///   host                         queues                               checks
///   Submit ──────────────────▶   wait… → command → … → signal         at submit: cycles, promises, owners
///   RunSlice ────────────────▶   one command, a part of one,          at each access: races, by vector clocks
///                                a kernel's slice, or one signal
/// </code>
/// Not thread-safe. Up to 64 queues and hosts together.
/// </summary>
public sealed partial class SimDevice : IDevice
{
    /// <summary>Owner of the queue that never waits for a lane.</summary>
    public const int Background = -1;

    /// <summary>Owner of what no client rule applies to.</summary>
    public const int Unowned = -2;

    private const int DefaultCellBytes = 256;
    private const ulong MaxValue = (1ul << 48) - 1;

    private readonly SimQueue?[] _queues = new SimQueue?[VectorClock.MaxActors];
    private readonly List<SimMemory> _memories = [];
    private readonly List<SimTimeline> _timelines = [];
    private readonly List<SimHost> _hosts = [];
    private readonly SimLoadedKernel[] _kernels;
    private readonly ReaderLists _readers = new();
    private readonly WaitGraph _graph;
    private SimScheduler _scheduler;
    private SimRandom _lag;
    private TraceHash _hash;
    private int _actors;
    private int _spareActors = VectorClock.MaxActors;
    private long _allocated;
    private ulong _runnable;
    private bool _isDisposed;

    /// <summary>Creates a device.</summary>
    public SimDevice(SimOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        Options = options;
        _scheduler = new SimScheduler(options.Seed);
        _lag = new SimRandom(options.Seed, stream: 2);
        _refusals = new SimRandom(options.Seed, stream: 3);
        _graph = new WaitGraph(this);
        _kernels = new SimLoadedKernel[options.Kernels.Count];
        for (var i = 0; i < _kernels.Length; i++)
        {
            _kernels[i] = new SimLoadedKernel(this, options.Kernels[i], (short)i);
        }

        AddHost("host");
    }

    /// <summary>Creates a device with default options.</summary>
    public SimDevice(ulong seed)
        : this(new SimOptions { Seed = seed })
    {
    }

    /// <inheritdoc/>
    public string Name => $"sim (seed {Options.Seed})";

    /// <summary>What the device was created with.</summary>
    public SimOptions Options { get; }

    /// <summary>Hash of all that was submitted and run so far: two runs with one hash did the same.</summary>
    public ulong TraceHash => _hash.Value;

    /// <summary>Counters.</summary>
    public SimStatistics Statistics => Count;

    /// <summary>The violation that ended the run; null while there is none.</summary>
    public SimViolation? Violation { get; private set; }

    /// <summary>The orders that queues give, by what has been submitted to them.</summary>
    public IEnumerable<QueueOrder> QueueOrders =>
        from queue in _queues.Take(_actors).OfType<SimQueue>()
        where !queue.IsDevices
        from earlier in queue.Signals
        from later in queue.Signals
        select new QueueOrder(queue.Label, earlier.Label, later.Label);

    /// <summary>Labels of the timelines, in the order in which they were created.</summary>
    public IEnumerable<string> TimelineLabels => _timelines.Select(timeline => timeline.Label);

    /// <summary>Queues and hosts that there is room for.</summary>
    public int Room => _spareActors - _actors + _queues.Count(queue => queue is { HasEnded: true });

    /// <summary>After <see cref="Dispose"/>: what was not disposed before the device was.</summary>
    public IReadOnlyList<string> Leaks { get; private set; } = [];

    internal ref SimStatistics Count => ref _count;

    private SimStatistics _count;

    /// <inheritdoc/>
    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label)
    {
        var cellBytes = Options.CellBytes?.Invoke(label) ?? 0;
        return Allocate(bytes, kind, label, cellBytes == 0 ? DefaultCellBytes : cellBytes);
    }

    /// <summary>Allocates zeroed memory whose accesses are tracked in cells of <paramref name="cellBytes"/>, a power of two of at least 4.</summary>
    public SimMemory Allocate(long bytes, MemoryKind kind, string label, int cellBytes)
    {
        ArgumentNullException.ThrowIfNull(label);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bytes);
        if (cellBytes < sizeof(uint) || !BitOperations.IsPow2(cellBytes))
        {
            throw new ArgumentOutOfRangeException(nameof(cellBytes), cellBytes, "A cell is a power of two of at least 4 bytes.");
        }

        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (bytes > Options.MemoryBytes - _allocated)
        {
            throw new OutOfDeviceMemoryException($"{label} asks for {bytes} bytes; {Options.MemoryBytes - _allocated} of {Options.MemoryBytes} are left.");
        }

        var returns = Options.Returns?.Invoke(label) ?? MemoryReturn.AtOnce;
        var memory = new SimMemory(this, label, kind, (int)bytes, _memories.Count, new CellTracker(_readers, bytes, cellBytes), returns);
        _memories.Add(memory);
        _allocated += bytes;
        return memory;
    }

    /// <inheritdoc/>
    public DeviceQueue CreateQueue(string label)
    {
        ArgumentNullException.ThrowIfNull(label);
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        var queue = TakeOver(label) ?? new SimQueue(this, label, NextActor(label), OwnerOf(label));
        if (Options.ForgetsOrder is { } forgets)
        {
            queue.Forgetful = new ForgetfulOrder(label, forgets, () => NextSpareActor(queue));
        }

        _queues[queue.Actor] = queue;
        return queue;
    }

    /// <inheritdoc/>
    public DeviceTimeline CreateTimeline(string label)
    {
        ArgumentNullException.ThrowIfNull(label);
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        var timeline = new SimTimeline(this, label, _timelines.Count, OwnerOf(label));
        _timelines.Add(timeline);
        return timeline;
    }

    /// <inheritdoc/>
    public DeviceKernel LoadKernel(string name)
    {
        foreach (var kernel in _kernels)
        {
            if (kernel.Name == name)
            {
                return kernel;
            }
        }

        throw new KernelNotFoundException($"The simulated device has no kernel '{name}'; it has: {string.Join(", ", _kernels.Select(kernel => kernel.Name))}.");
    }

    /// <summary>Says which client the queue's submissions belong to, for the check of I3.</summary>
    public void SetOwner(DeviceQueue queue, int client) => Own(queue).Owner = client;

    /// <summary>Says which client signals the timeline, for points that are promised or signalled by a host.</summary>
    public void SetOwner(DeviceTimeline timeline, int client) => Own(timeline).Owner = client;

    /// <summary>
    /// Tells that a submission which has yet to come will signal <paramref name="point"/>, and will do so once it has come and
    /// <paramref name="after"/> have been reached. A client that begins a step promises the step's end, after its begin and after the
    /// end of the step before.
    /// </summary>
    public void Promise(TimelinePoint point, params ReadOnlySpan<TimelinePoint> after)
    {
        ThrowIfOver();
        var timeline = Own(point.Timeline);
        if (point.Value <= Math.Max(timeline.Reached, timeline.Submitted))
        {
            return;
        }

        var promise = SimWork.Take(queue: null, timeline, point.Value);
        foreach (var other in after)
        {
            promise.AddWait(Own(other.Timeline), other.Value);
        }

        _graph.Add(promise);
    }

    /// <summary>The value that a timeline has truly reached, seen by nobody: for tests and messages.</summary>
    public ulong Peek(DeviceTimeline timeline) => Own(timeline).Reached;

    /// <summary>Ends all queues, gives the storage back, and lists what was not disposed in <see cref="Leaks"/>.</summary>
    public void Dispose()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        List<string>? leaks = null;
        foreach (var queue in _queues)
        {
            if (queue is { IsDisposed: false, IsDevices: false })
            {
                (leaks ??= []).Add($"queue {queue.Label}");
                End(queue, finishStarted: false);
            }
            else if (queue is { Head: not null })
            {
                End(queue, finishStarted: false);
            }
        }

        foreach (var memory in _memories)
        {
            if (!memory.IsDisposed)
            {
                (leaks ??= []).Add($"memory {memory.Label} ({memory.Bytes} bytes)");
                memory.Release();
            }
        }

        foreach (var timeline in _timelines)
        {
            timeline.Release();
        }

        _readers.Release();
        Leaks = leaks ?? (IReadOnlyList<string>)[];
    }

    internal void OnDisposed(SimMemory memory)
    {
        _allocated -= memory.Bytes;
        if (memory.InUse > 0)
        {
            Record(SimViolationKind.DisposedInUse, $"{memory.Label} was disposed while {memory.InUse} commands named it");
        }
    }

    private SimQueue Own(DeviceQueue queue) => queue is SimQueue own && own.Device == this
        ? own
        : throw new ArgumentException($"The queue {queue?.Label ?? "null"} is not of this device.", nameof(queue));

    private SimTimeline Own(DeviceTimeline timeline) => timeline is SimTimeline own && own.Device == this
        ? own
        : throw new ArgumentException($"The timeline {timeline?.Label ?? "null"} is not of this device.", nameof(timeline));

    private SimMemory Own(DeviceMemory? memory)
    {
        if (memory is not SimMemory own || own.Device != this)
        {
            throw new ArgumentException($"The memory {memory?.Label ?? "null"} is not of this device.", nameof(memory));
        }

        ObjectDisposedException.ThrowIf(own.IsDisposed, own);
        return own;
    }
}
