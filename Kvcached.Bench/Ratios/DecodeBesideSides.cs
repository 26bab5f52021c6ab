using System.Diagnostics;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Kernels;

namespace Kvcached.Bench.Ratios;

/// <summary>What is decoded beside something else.</summary>
/// <param name="Sequences">Of a step.</param>
/// <param name="Tokens">Of each.</param>
/// <param name="Steps">Of a run.</param>
internal sealed record DecodeLoad(int Sequences, int Tokens, int Steps)
{
    /// <summary>For one worker of a cpu device.</summary>
    public static readonly DecodeLoad OfCpu = new(4, 1024, 4);

    /// <summary>Whether the device's worker gets a processor to itself.</summary>
    public bool IsPinned { get; init; } = true;
}

/// <summary>
/// Decode steps per second on one worker while something else goes on in the same cache without pause (A), and while nothing does (B). Every step goes
/// through the engine, one token more for each sequence. The worker has a processor to itself, as far as this process is concerned: all other threads,
/// copies and engine, share what is left.
/// </summary>
internal abstract unsafe class DecodeBesideSides : RatioSides
{
    private const int QueryHeads = 32;
    private const int TokenSlack = 16;
    private const string PinKernel = "ratios.pin";
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly string _name;
    private readonly DecodeLoad _load;
    private readonly TappedDevice _device;
    private readonly KvCache _cache;
    private readonly KvModel _model;
    private readonly KvLane _lane;
    private readonly DeviceQueue _queue;
    private readonly DeviceKernel _decode;
    private readonly DeviceKernel _merge;
    private readonly CommandList _commands = new();
    private readonly KvSequence[] _sequences;
    private readonly DeviceMemory _scratch;
    private readonly uint _maxParts;
    private readonly List<double> _plainRates = [];
    private readonly List<double> _besideRates = [];

    /// <summary>Opens the cache and lays decode out.</summary>
    /// <param name="name">What goes on beside, as fields and messages name it.</param>
    /// <param name="poolBytes">Size of the pool.</param>
    /// <param name="coldBytes">Size of the cold memory.</param>
    /// <param name="device">Where; owned from then on. Null for a cpu device of one worker.</param>
    /// <param name="load">What is decoded; null for <see cref="DecodeLoad.OfCpu"/>.</param>
    protected DecodeBesideSides(string name, long poolBytes, long coldBytes, IDevice? device = null, DecodeLoad? load = null)
    {
        (_name, _load) = (name, load ?? DecodeLoad.OfCpu);
        _maxParts = AttentionArguments.PartsFor((uint)_load.Tokens + TokenSlack);
        _device = new TappedDevice(device ?? new CpuDevice(new CpuDeviceOptions { Workers = 1, Kernels = [new CpuKernel(PinKernel, &PinItems, &Pin)] }));
        _cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = poolBytes, ColdBytes = coldBytes, CleanAhead = false });
        _model = _cache.RegisterModel("decode", EvictReloadSides.Layout);
        _lane = _cache.OpenLane(new KvLaneOptions { Depth = _load.Steps });
        _queue = _device.CreateQueue("decode");
        _decode = _device.LoadKernel(KernelNames.DecodePaged);
        _merge = _device.LoadKernel(KernelNames.Merge);
        _sequences = [.. Enumerable.Range(0, _load.Sequences).Select(_ => _model.CreateSequence())];
        _scratch = _device.Allocate(QueryBytes * 2 + 4096 + (long)AttentionArguments.PartialBytes((uint)_load.Sequences, QueryHeads, _model.Shape().HeadDim, _maxParts), MemoryKind.Device, "decode");
    }

    protected TappedDevice Device => _device;

    protected KvCache Cache => _cache;

    protected KvModel Model => _model;

    public override bool IsPinned => false;

    private long QueryBytes => (long)_load.Sequences * QueryHeads * _model.Shape().HeadDim * sizeof(float);

    public override double RunA()
    {
        Resume();
        var (start, before) = (Stopwatch.GetTimestamp(), CopiedBytes(_cache.GetStatistics()));
        var rate = RunB();
        _besideRates.Add((CopiedBytes(_cache.GetStatistics()) - before) / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9);
        Pause();
        return rate;
    }

    public override double RunB()
    {
        foreach (var sequence in _sequences)
        {
            sequence.Truncate(_load.Tokens);
        }

        var start = Stopwatch.GetTimestamp();
        KvStep last = default;
        for (var step = 0; step < _load.Steps; step++)
        {
            last = Begin(1);
        }

        Wait(last);
        return _load.Steps / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    public override bool MeasuresBeside => true;

    // With all else at rest, and where its copies run: off the worker's processor.
    public override void RunBeside() => _plainRates.Add(PlainRate());

    public override void Forget()
    {
        _plainRates.Clear();
        _besideRates.Clear();
    }

    public override string? Missed(double a, double b) => MissedRate(_name, RatioStatistics.Median(_besideRates), RatioStatistics.Median(_plainRates));

    /// <summary>Decoding beside too little shows nothing.</summary>
    internal static string? MissedRate(string name, double rate, double plain) => rate >= plain / 2
        ? null
        : $"{rate:F1} GB/s of {name}; it must be half of the {plain:F1} GB/s of plain copies";

    public override IEnumerable<ExtraField> Extra(double a, double b) =>
        [new ExtraField($"{_name}_gb_s", RatioStatistics.Median(_besideRates)), new ExtraField("plain_copy_gb_s", RatioStatistics.Median(_plainRates))];

    /// <summary>Lets what goes on beside go on.</summary>
    protected abstract void Resume();

    /// <summary>Pauses it; returns once nothing of it is under way.</summary>
    protected abstract void Pause();

    /// <summary>Bytes that it has copied.</summary>
    protected abstract long CopiedBytes(in KvCacheStatistics statistics);

    /// <summary>GB/s of plain copies of the same kind.</summary>
    protected abstract double PlainRate();

    /// <summary>Makes ready to decode: call once what goes on beside has its threads.</summary>
    protected void Start()
    {
        if (_load.IsPinned)
        {
            PinWorker();
        }

        Wait(Begin(_load.Tokens));
    }

    protected override void Dispose(bool disposing)
    {
        _queue.Dispose();
        _cache.Dispose();
        _scratch.Dispose();
        _device.Dispose();
        if (_load.IsPinned)
        {
            ThreadPin.LetAllRun();
        }

        base.Dispose(disposing);
    }

    private static int PinItems(void* arguments) => 1;

    private static void Pin(void* arguments, int item, int worker) => ThreadPin.PinCurrent(*(int*)arguments);

    // With one worker a queue's own thread runs its kernels, so a kernel can pin it to what the others are kept off.
    private void PinWorker()
    {
        var processor = ThreadPin.LastProcessor();
        ThreadPin.KeepAllOff(processor);
        using var timeline = _device.CreateTimeline("pin");
        _commands.Launch(_device.LoadKernel(PinKernel), processor);
        _queue.Submit([], _commands, new TimelinePoint(timeline, 1));
        _commands.Clear();
        timeline.WaitOnHost(1, _limit);
    }

    private KvStep Begin(int newTokens)
    {
        var step = _lane.Begin([.. _sequences.Select(sequence => new KvStepItem(sequence, newTokens))]);
        for (var layer = 0u; newTokens == 1 && layer < _model.Shape().Layers; layer++)
        {
            _commands.Launch(_decode, Arguments(step, layer));
            _commands.Launch(_merge, Arguments(step, layer));
        }

        _queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], _commands, step.End);
        _commands.Clear();
        return step;
    }

    private void Wait(KvStep step)
    {
        var hasEnded = _cache.Wait(step.End, _limit);
        if (!hasEnded || _lane.StatusOf(step.Number) != KvStepStatus.Accepted)
        {
            throw new InvalidOperationException($"A decode step is {_lane.StatusOf(step.Number)}, and has {(hasEnded ? "ended" : $"not ended within {_limit.TotalSeconds} s")}.");
        }
    }

    private AttentionArguments Arguments(KvStep step, uint layer) => new()
    {
        Kv = new KvBatch
        {
            Views = step.ViewsAddress(),
            Entries = _cache.EntriesAddress,
            Pool = _cache.PoolAddress,
            Shape = _model.Shape(),
            Batch = (uint)_load.Sequences,
            Layer = layer,
            Format = ElementFormat.Float16,
        },
        Queries = _scratch.Address,
        Outputs = _scratch.Address + (ulong)QueryBytes,

        // Zeros: all read and write the first row, in turn.
        RowStarts = _scratch.Address + (ulong)(2 * QueryBytes),
        Partials = _scratch.Address + (ulong)(2 * QueryBytes) + 4096,
        MaxParts = _maxParts,
        QueryHeads = QueryHeads,
        Scale = 0.1f,
    };
}
