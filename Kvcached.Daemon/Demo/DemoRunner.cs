using System.Diagnostics;
using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>
/// The whole demo on a device: the gate test, then the same requests on a pool of a third of what they need, on a pool that holds
/// everything, and with the contiguous kernels; then the flip test.
/// </summary>
internal sealed class DemoRunner(IDevice device, DemoOptions options, IDemoDisplay display)
{
    /// <summary>The pool is a whole number of these.</summary>
    private const long UnitBytes = 2L << 20;

    private readonly ModelShape _shape = options.Model;

    public DemoReport Run()
    {
        var requests = Workload.Create(options.Text, options.Workload);
        var live = requests.Take(options.Workload.Live).Sum(request => _shape.Blocks(request.Context));

        // Two fifths of the pool: a batch and the one before it, whose last steps may still be under way, fit together.
        var poolBlocks = options.Pool is { } asked ? (int)(CheckPool(asked, requests, live).CeilingBytes / _shape.BlockBytes) : live / 3;
        var schedule = Plan(requests, options.MaxBatch, poolBlocks * 2 / 5);

        // Other batches than the evicting run's: equal results show batch invariance as well.
        var contiguousSchedule = Plan(requests, options.ContiguousMaxBatch, live);
        var neededBytes = schedule.NeededBlocks * _shape.BlockBytes;
        display.Say($"{_shape.Parameters / 1e6:F1} million parameters on {device.Name}; {requests.Length} requests, {options.Workload.Live} at a time, need {neededBytes >> 20} MiB of KV");
        using var weights = new ModelWeights(device, _shape, options.Workload.Seed);
        var maxRows = Math.Max(schedule.MaxRows, contiguousSchedule.MaxRows);
        var maxItems = Math.Max(schedule.MaxItems, contiguousSchedule.MaxItems);
        using var transformer = new Transformer(device, _shape, weights, maxRows, maxItems);

        var gate = RunGateTest(transformer);
        var watch = Stopwatch.StartNew();
        using var evicting = new Transcript(device, requests);
        var (monitor, poolBytesPeak, poolBytesEnd) = RunEvicting(transformer, schedule, evicting, options.Pool ?? PoolSize.Fixed(neededBytes / 3 / UnitBytes * UnitBytes));
        using var unevicted = new Transcript(device, requests);
        RunUnevicted(transformer, schedule, unevicted, neededBytes);
        using var contiguous = new Transcript(device, requests);
        RunContiguous(transformer, contiguousSchedule, contiguous);
        var elapsed = watch.Elapsed;
        var prompt = requests.Sum(request => (long)request.Prompt.Length);
        var generated = requests.Sum(request => (long)request.Generated);
        return new DemoReport
        {
            ElapsedS = Math.Round(elapsed.TotalSeconds, 3),
            Steps = schedule.Steps.Count,
            PromptTokens = prompt,
            GeneratedTokens = generated,
            TokensPerS = Math.Round((prompt + generated) / monitor.Elapsed.TotalSeconds, 1),
            CleanedBlocks = monitor.Statistics.CleanedBlocks,
            EvictedBlocks = monitor.Statistics.EvictedBlocks,
            ReloadedBlocks = monitor.Statistics.ReloadedBlocks,
            MovedBlocks = monitor.Statistics.MovedBlocks,
            DeviceBytesPeak = monitor.DeviceBytesPeak,
            PoolBytesPeak = poolBytesPeak,
            PoolBytesEnd = poolBytesEnd,
            NeededBytes = neededBytes,
            ManagedBytes = monitor.ManagedBytes,
            GatedSteps = gate.Steps,
            GatedEvictions = gate.Evictions,
            GatedReloads = gate.Reloads,
            GatedMoves = gate.Moves,
            IdenticalToUnevicted = Compare("unevicted", evicting, unevicted),
            IdenticalToContiguous = Compare("contiguous", evicting, contiguous),
            FlipDetected = RunFlipTest(transformer),
        };
    }

    private Schedule Plan(IReadOnlyList<Request> requests, int maxBatch, int maxBatchBlocks) =>
        Schedule.Create(requests, _shape, new ScheduleOptions
        {
            Live = options.Workload.Live,
            MaxBatch = maxBatch,
            MaxBatchBlocks = maxBatchBlocks,
            Seed = options.Workload.Seed,
        });

    /// <summary>The sequences must not all fit, so that something is evicted, and the longest must fit beside the step before.</summary>
    private PoolSize CheckPool(PoolSize pool, IReadOnlyList<Request> requests, int live)
    {
        var least = RoundUp(requests.Max(request => _shape.Blocks(request.Context)) * _shape.BlockBytes * 5 / 2);
        var most = live * _shape.BlockBytes * 3 / 4 / UnitBytes * UnitBytes;
        return pool.CeilingBytes >= least && pool.CeilingBytes <= most
            ? pool
            : throw new UsageException($"--pool: {pool}; for these sequences the ceiling must be between {SizeParser.Format(least)} and {SizeParser.Format(most)}.");
    }

    private static long RoundUp(long bytes) => (bytes + UnitBytes - 1) / UnitBytes * UnitBytes;

    private GateResult RunGateTest(Transformer transformer)
    {
        display.Say("gate test: steps behind closed queues");
        var gate = new GateTest(device, _shape, transformer, options.Text).Run();
        display.Say($"gate test: {gate.Steps} steps, {gate.Evictions} evictions, {gate.Reloads} reloads and {gate.Moves} moves accepted behind closed queues");
        return gate.Difference is null ? gate : throw new DemoFailedException($"The gate test's results are wrong: {gate.Difference}.");
    }

    private (RunMonitor Monitor, long PoolBytesPeak, long PoolBytesEnd) RunEvicting(Transformer transformer, Schedule schedule, Transcript transcript, PoolSize pool)
    {
        display.Say($"evicting run: a pool of {pool}");
        using var metrics = new MetricsListener();
        using var kv = new PagedKv(device, _shape, schedule, new PagedKvOptions { Pool = pool, ColdBytes = ColdBytes(schedule) });
        using var run = new DecodeRun(device, schedule, transformer, kv, transcript);
        var monitor = new RunMonitor("evicting", schedule, display, options.ManagedWindowSteps);
        run.Execute(monitor);
        if (!monitor.WindowHasAll)
        {
            throw new DemoFailedException($"The {options.ManagedWindowSteps} steps over which managed bytes are counted had not an eviction, a reload and a move.");
        }

        return (monitor, kv.PoolBytesPeak, kv.ShrinkPool());
    }

    private void RunUnevicted(Transformer transformer, Schedule schedule, Transcript transcript, long neededBytes)
    {
        display.Say("unevicted run: a pool that fits all");

        // A quarter more than needed, so that the blocks of a sequence that has ended need not be ready at once for the next.
        var poolBytes = RoundUp(neededBytes * 5 / 4);
        using var kv = new PagedKv(device, _shape, schedule, new PagedKvOptions { Pool = PoolSize.Fixed(poolBytes), ColdBytes = 0, HasPolicy = false });
        using var run = new DecodeRun(device, schedule, transformer, kv, transcript);
        var monitor = new RunMonitor("unevicted", schedule, display, windowSteps: 0);
        run.Execute(monitor);
        if (monitor.Statistics.EvictedBlocks != 0)
        {
            throw new DemoFailedException($"The unevicted run evicted {monitor.Statistics.EvictedBlocks} blocks.");
        }
    }

    private void RunContiguous(Transformer transformer, Schedule schedule, Transcript transcript)
    {
        display.Say("contiguous run: no cache");
        using var kv = new ContiguousKv(device, _shape, schedule);
        using var run = new DecodeRun(device, schedule, transformer, kv, transcript);
        run.Execute(new RunMonitor("contiguous", schedule, display, windowSteps: 0));
    }

    private bool RunFlipTest(Transformer transformer)
    {
        display.Say("flip test: one bit of cold memory");
        return new FlipTest(device, _shape, transformer, options.Text).Run();
    }

    /// <summary>Room for a cold copy of everything that lives, and for those of an older version that are still read.</summary>
    private long ColdBytes(Schedule schedule) => RoundUp(schedule.NeededBlocks * _shape.BlockBytes * 3 / 2);

    private bool Compare(string name, Transcript evicting, Transcript other)
    {
        var difference = evicting.Compare(other);
        display.Say(difference is null ? $"identical to the {name} run" : $"different from the {name} run: {difference}");
        return difference is null;
    }
}
