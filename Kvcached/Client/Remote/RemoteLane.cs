using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;

namespace Kvcached;

/// <summary>
/// A lane of a cache that a daemon has. Its begin timeline lies in the daemon's memory, its end timeline in the client's; views are read where the daemon writes them.
/// Guarded by the cache's lock, but for what never changes.
/// </summary>
internal sealed class RemoteLane : KvLane
{
    private readonly RemoteCache _cache;
    private readonly DeviceTimeline _begin;
    private readonly DeviceTimeline _end;
    private readonly DeviceMemory _views;
    private readonly PageTableRing? _pageTables;
    private readonly WindowRing? _windows;
    private readonly KvLaneOptions _options;
    private readonly RemoteStep[] _steps;

    public RemoteLane(RemoteCache cache, uint number, KvLaneOptions options, ulong firstStep, RemoteLaneMemory memory, DeviceKernel? storeWindows)
        : base(cache, memory.Begin, memory.End)
    {
        (_cache, Number, _options) = (cache, number, options);
        (_begin, _end, _views) = (memory.Begin, memory.End, memory.Views);
        _pageTables = memory.PageTables is null ? null : new PageTableRing(options, memory.PageTables, kernel: null);
        _windows = memory.Windows is null ? null : new WindowRing(options, memory.Windows, cache.PoolAddress, storeWindows, gathering: null);
        _steps = new RemoteStep[options.Depth + 1];
        for (var i = 0; i < _steps.Length; i++)
        {
            _steps[i] = new RemoteStep(options.MaxBatch);
        }

        Begun = Answered = firstStep - 1;
    }

    public override int Depth => _options.Depth;

    public override int MaxBatch => _options.MaxBatch;

    public int MaxLayouts => _options.MaxLayouts;

    public int MaxPages => _options.MaxPages;

    public bool HasWindows => _windows is not null;

    /// <summary>Number among the client's lanes.</summary>
    public uint Number { get; }

    /// <summary>Last step sent.</summary>
    public ulong Begun { get; private set; }

    /// <summary>Last step of which the daemon has told what has become of it.</summary>
    public ulong Answered { get; private set; }

    /// <summary>Whether one more step may be begun: as many as the lane is deep may be under way, or not answered yet.</summary>
    public bool HasRoom
    {
        get
        {
            var depth = (ulong)Depth;
            var next = Begun + 1;
            return next <= Answered + depth && next <= Math.Min(_begin.Value, _end.Value) + depth;
        }
    }

    public override KvStepStatus StatusOf(ulong number) => _cache.StatusOf(this, number);

    /// <summary>The record of the step that is sent next.</summary>
    public RemoteStep Add(int model)
    {
        var step = _steps[++Begun % (ulong)_steps.Length];
        step.Number = Begun;
        step.Status = KvStepStatus.Pending;
        step.Model = model;
        step.Count = 0;
        return step;
    }

    /// <summary>A step that has been sent; null if it is none of the last.</summary>
    public RemoteStep? Find(ulong number) =>
        number > 0 && number <= Begun && _steps[number % (ulong)_steps.Length] is var step && step.Number == number ? step : null;

    /// <summary>The daemon has told what has become of a step.</summary>
    /// <returns>The step, if that is for good.</returns>
    public RemoteStep? Answer(ulong number, KvStepStatus status)
    {
        var step = Find(number);
        if (step is null || number != Answered + 1)
        {
            return null;
        }

        step.Status = status;
        if (status == KvStepStatus.Busy)
        {
            return null;
        }

        Answered = number;
        return step;
    }

    internal override ulong ViewsAddress(ulong step, int layout)
    {
        CheckLayout(layout);
        return _views.Address + (ulong)LaneState.RingOffset(step, layout, Depth, MaxBatch, MaxLayouts);
    }

    internal override PageTable PageTable(ulong step, int layout) => _cache.HasPageTable(this, step, layout) && _pageTables is { } tables
        ? tables.TableOf(step, layout)
        : throw new KvException(KvError.InvalidArgument, $"The lane was opened with MaxPages 0, or layout {layout} was registered without PageTable.");

    internal override ulong WindowsAddress(ulong step, int layout) => WindowsOf(layout).AddressesOf(step, layout);

    internal override void StoreWindows(ulong step, int layout, CommandList commands)
    {
        ArgumentNullException.ThrowIfNull(commands);
        WindowsOf(layout).Store(commands, step, layout, _cache.WindowArguments(this, step, layout));
    }

    private protected override KvStepStatus Begin(ReadOnlySpan<KvStepItem> batch, out ulong number) => _cache.Begin(this, batch, out number);

    private WindowRing WindowsOf(int layout)
    {
        CheckLayout(layout);
        return _windows ?? throw NoWindows();
    }

    private void CheckLayout(int layout) => KvCacheOptions.Check(nameof(layout), layout, 0, MaxLayouts - 1, 1);
}

/// <summary>What a lane shares with the daemon.</summary>
internal readonly record struct RemoteLaneMemory(DeviceTimeline Begin, DeviceTimeline End, DeviceMemory Views, DeviceMemory? PageTables, DeviceMemory? Windows);

/// <summary>A step that has been sent: reused every depth steps.</summary>
internal sealed class RemoteStep(int maxBatch)
{
    private readonly RemoteSequence?[] _sequences = new RemoteSequence?[maxBatch];
    private readonly uint[] _generations = new uint[maxBatch];

    public ulong Number { get; set; }

    public KvStepStatus Status { get; set; }

    public int Model { get; set; }

    public int Count { get; set; }

    public void Add(RemoteSequence sequence)
    {
        _generations[Count] = sequence.Generation;
        _sequences[Count++] = sequence;
    }

    /// <summary>Tells the sequences of the batch, those that have not been freed since.</summary>
    public void Answer(bool accepted)
    {
        for (var i = 0; i < Count; i++)
        {
            if (_sequences[i] is { IsOpen: true } sequence && sequence.Generation == _generations[i])
            {
                sequence.Answer(accepted);
            }
        }
    }
}
