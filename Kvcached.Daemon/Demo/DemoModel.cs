using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>One model of the demo: its requests and their steps, its weights, its forward pass, and what each run of it came to.</summary>
internal sealed class DemoModel : IDisposable
{
    private readonly IDevice _device;
    private readonly ModelWeights _weights;

    /// <summary>Plans its schedules and makes its weights.</summary>
    /// <param name="device">The device.</param>
    /// <param name="shape">Its sizes.</param>
    /// <param name="requests">Its requests.</param>
    /// <param name="options">The demo's.</param>
    /// <param name="batchBytes">KV bytes that the sequences of a step of the evicting run may hold together.</param>
    public DemoModel(IDevice device, ModelShape shape, Request[] requests, DemoOptions options, long batchBytes)
    {
        _device = device;
        Shape = shape;
        Requests = requests;
        Schedule = Plan(options.MaxBatch, (int)(batchBytes / shape.BlockBytes));

        // Other batches than the evicting run's: equal results show batch invariance as well.
        ContiguousSchedule = Plan(options.ContiguousMaxBatch, int.MaxValue);
        _weights = new ModelWeights(device, shape, options.Workload.Seed);
        var maxRows = Math.Max(Schedule.MaxRows, ContiguousSchedule.MaxRows);
        var maxItems = Math.Max(Schedule.MaxItems, ContiguousSchedule.MaxItems);
        Transformer = new Transformer(device, shape, _weights, maxRows, maxItems);
        Evicting = new Transcript(device, requests);

        Schedule Plan(int maxBatch, int maxBatchBlocks) => Schedule.Create(requests, shape, new ScheduleOptions
        {
            Live = options.Workload.Live,
            MaxBatch = maxBatch,
            MaxBatchBlocks = maxBatchBlocks,
            Seed = options.Workload.Seed,
        });
    }

    public ModelShape Shape { get; }

    public Request[] Requests { get; }

    /// <summary>The steps of the evicting run and of the unevicted one.</summary>
    public Schedule Schedule { get; }

    public Schedule ContiguousSchedule { get; }

    public Transformer Transformer { get; }

    /// <summary>What the evicting run came to.</summary>
    public Transcript Evicting { get; }

    /// <summary>Most KV bytes that its live sequences hold together.</summary>
    public long NeededBytes => Schedule.NeededBlocks * Shape.BlockBytes;

    /// <summary>Runs a schedule of the model where keys and values lie elsewhere, and names the first difference from the evicting run.</summary>
    public string? Difference(Schedule schedule, IKvSource kv, RunMonitor monitor)
    {
        using var transcript = new Transcript(_device, Requests);
        using var run = new DecodeRun(_device, schedule, Transformer, kv, transcript);
        run.Execute(monitor);
        return Evicting.Compare(transcript);
    }

    /// <summary>Runs the steps of the evicting run on a pool that fits all, and names the first difference from it.</summary>
    public string? DifferenceFromUnevicted(IDemoDisplay display)
    {
        display.Say("unevicted run: a pool that fits all");

        // A quarter more than needed, so that the blocks of a sequence that has ended need not be ready at once for the next.
        var pool = PoolSize.Fixed(DemoRunner.RoundUp(NeededBytes * 5 / 4));
        using var kv = new PagedKv(_device, Shape, Schedule, new PagedKvOptions { Pool = pool, ColdBytes = 0, HasPolicy = false });
        var monitor = new RunMonitor("unevicted", Schedule.Steps.Count, display, windowSteps: 0);
        var difference = Difference(Schedule, kv, monitor);
        return monitor.Statistics.EvictedBlocks == 0
            ? difference
            : throw new DemoFailedException($"The unevicted run evicted {monitor.Statistics.EvictedBlocks} blocks.");
    }

    public void Dispose()
    {
        Evicting.Dispose();
        Transformer.Dispose();
        _weights.Dispose();
    }
}
