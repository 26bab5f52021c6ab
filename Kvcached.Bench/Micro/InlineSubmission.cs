using BenchmarkDotNet.Attributes;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Kernels;

namespace Kvcached.Bench.Micro;

/// <summary>
/// Steps of an embedded cache whose publishes the submitting thread runs, since they are small and what they wait for has been reached. Lost
/// (<see cref="InlineBytes"/> 0): every submission wakes the thread of its queue.
/// </summary>
public unsafe class InlineSubmission : IDisposable
{
    private const int Trips = 1000;
    private const int Sequences = 64;
    private const int Depth = 8;
    private const int MostTokens = 500;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly CommandList _commands = new();
    private readonly WaitPoint[] _waits = new WaitPoint[1];
    private readonly TimelinePoint[] _ends = new TimelinePoint[Depth];
    private CpuDevice _device = null!;
    private KvCache _cache = null!;
    private KvLane _lane = null!;
    private KvStepItem[] _batch = [];
    private DeviceQueue _queue = null!;
    private int _tokens;

    [Params(4096, 0)]
    public int InlineBytes { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _device = new CpuDevice(new CpuDeviceOptions { Workers = 1, InlineBytes = InlineBytes, Kernels = [new CpuKernel("none", &Items, &Run)] });
        _cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = 64 << 20, ColdBytes = 16 << 20 });
        var model = _cache.RegisterModel("tiny", new KvLayout { Layers = 2, Heads = 2, HeadDim = 16 });
        _lane = _cache.OpenLane(new KvLaneOptions { Depth = Depth });
        _batch = [.. Enumerable.Range(0, Sequences).Select(_ => new KvStepItem(model.CreateSequence(), NewTokens: 1))];
        _queue = _device.CreateQueue("model");
        _commands.Launch(_device.LoadKernel("none"), 0ul);
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _cache.Dispose();
        _device.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>From the call that begins a step of one sequence until its begin point is seen by the host.</summary>
    [Benchmark(OperationsPerInvoke = Trips)]
    public int BeginAndWait()
    {
        var trips = 0;
        for (; trips < Trips; trips++)
        {
            var step = Begin(1);
            step.Begin.Timeline.WaitOnHost(step.Begin.Value, _limit);
            step.End.Timeline.Signal(step.End.Value);
        }

        return trips;
    }

    /// <summary>Steps of 64 sequences with a kernel that does nothing, as many in flight as the lane holds.</summary>
    [Benchmark(OperationsPerInvoke = Trips)]
    public int StepsInFlight()
    {
        for (var trip = 0; trip < Trips + Depth; trip++)
        {
            ref var end = ref _ends[trip % Depth];
            end.Timeline?.WaitOnHost(end.Value, _limit);
            end = default;
            if (trip < Trips)
            {
                var step = Begin(Sequences);
                _waits[0] = new WaitPoint(step.Begin.Timeline, step.Begin.Value);
                _queue.Submit(_waits, _commands, step.End);
                end = step.End;
            }
        }

        return Trips;
    }

    private static int Items(void* arguments) => 1;

    private static void Run(void* arguments, int item, int worker)
    {
    }

    private KvStep Begin(int sequences)
    {
        if (++_tokens % MostTokens == 0)
        {
            foreach (var item in _batch)
            {
                item.Sequence.Truncate(0);
            }
        }

        var step = _lane.Begin(_batch.AsSpan(0, sequences));
        return step.Status == KvStepStatus.Accepted ? step : throw new InvalidOperationException($"A step is {step.Status}.");
    }
}
