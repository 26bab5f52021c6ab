using System.Diagnostics;
using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>
/// The whole demo on a device: the gate test, then the same requests of one model or two on one pool of a third of what they need, then of each model on
/// a pool that holds everything, and with the contiguous kernels; then the flip test.
/// </summary>
internal sealed class DemoRunner(IDevice device, DemoOptions options, IDemoDisplay display)
{
    /// <summary>The pool is a whole number of these.</summary>
    private const long UnitBytes = 2L << 20;

    public DemoReport Run()
    {
        var watch = new Stopwatch();
        var models = CreateModels();
        try
        {
            var gate = RunGateTest(models[0].Transformer);
            watch.Start();
            var neededBytes = models.Sum(model => model.NeededBytes);
            var pool = options.Pool ?? PoolSize.Fixed(neededBytes / 3 / UnitBytes * UnitBytes);
            var (monitor, poolBytesPeak, poolBytesEnd) = RunEvicting(models, pool);
            var isUnevicted = All(models, "unevicted", model => model.DifferenceFromUnevicted(display));
            var isContiguous = All(models, "contiguous", RunContiguous);
            watch.Stop();
            var prompt = models.Sum(model => model.Requests.Sum(request => (long)request.Prompt.Length));
            var generated = models.Sum(model => model.Requests.Sum(request => (long)request.Generated));
            return new DemoReport
            {
                Device = device.Name,
                ElapsedS = Math.Round(watch.Elapsed.TotalSeconds, 3),
                Models = models.Count,
                Steps = models.Sum(model => model.Schedule.Steps.Count),
                PromptTokens = prompt,
                GeneratedTokens = generated,
                TokensPerS = Math.Round((prompt + generated) / monitor.Elapsed.TotalSeconds, 1),
                CleanedBlocks = monitor.Statistics.CleanedBlocks,
                EvictedBlocks = monitor.Statistics.EvictedBlocks,
                ReloadedBlocks = monitor.Statistics.ReloadedBlocks,
                MovedBlocks = monitor.Statistics.MovedBlocks,
                CompactedBlocks = monitor.Statistics.CompactedBlocks,
                Copies = monitor.Statistics.Copies,
                MeanRunLength = monitor.RunLengths.Mean,
                DeviceBytesPeak = monitor.DeviceBytesPeak,
                PoolBytesPeak = poolBytesPeak,
                PoolBytesEnd = poolBytesEnd,
                PoolFloorBytes = monitor.Statistics.PoolFloorBytes,
                NeededBytes = neededBytes,
                ManagedBytes = monitor.ManagedBytes,
                GatedSteps = gate.Steps,
                GatedEvictions = gate.Evictions,
                GatedReloads = gate.Reloads,
                GatedMoves = gate.Moves,
                IdenticalToUnevicted = isUnevicted,
                IdenticalToContiguous = isContiguous,
                FlipDetected = RunFlipTest(models[0].Transformer),
            };
        }
        finally
        {
            models.ForEach(model => model.Dispose());
        }
    }

    private List<DemoModel> CreateModels()
    {
        var requests = options.Models.Select(_ => Workload.Create(options.Text, options.Workload)).ToArray();
        var liveBytes = options.Models.Zip(requests, (shape, own) => own.Take(options.Workload.Live).Sum(request => shape.Blocks(request.Context)) * shape.BlockBytes).Sum();
        var longest = options.Models.Zip(requests, (shape, own) => own.Max(request => shape.Blocks(request.Context)) * shape.BlockBytes).Max();
        var poolBytes = options.Pool is { } asked ? CheckPool(asked, longest, liveBytes) : liveBytes / 3;

        // Two fifths of the pool: a batch and the one before it, whose last steps may still be under way, fit together.
        var batchBytes = poolBytes * 2 / 5 / options.Models.Count;
        var models = options.Models.Zip(requests, (shape, own) => new DemoModel(device, shape, own, options, batchBytes)).ToList();
        var parameters = string.Join(" and ", models.Select(model => $"{model.Shape.Parameters / 1e6:F1}"));
        display.Say($"{parameters} million parameters on {device.Name}; {requests.Sum(own => own.Length)} requests, {options.Workload.Live * models.Count} at a time, need {models.Sum(model => model.NeededBytes) >> 20} MiB of KV");
        return models;
    }

    /// <summary>The sequences must not all fit, so that something is evicted, and the longest must fit beside the step before.</summary>
    private static long CheckPool(PoolSize pool, long longest, long live)
    {
        var least = RoundUp(longest * 5 / 2);
        var most = live * 3 / 4 / UnitBytes * UnitBytes;
        return pool.CeilingBytes >= least && pool.CeilingBytes <= most
            ? pool.CeilingBytes
            : throw new UsageException($"--pool: {pool}; for these sequences the ceiling must be between {SizeParser.Format(least)} and {SizeParser.Format(most)}.");
    }

    /// <summary>Bytes of whole units of the pool.</summary>
    internal static long RoundUp(long bytes) => (bytes + UnitBytes - 1) / UnitBytes * UnitBytes;

    private GateResult RunGateTest(Transformer transformer)
    {
        display.Say("gate test: steps behind closed queues");
        var gate = new GateTest(device, options.Model, transformer, options.Text).Run();
        display.Say($"gate test: {gate.Steps} steps, {gate.Evictions} evictions, {gate.Reloads} reloads and {gate.Moves} moves accepted behind closed queues");
        return gate.Difference is null ? gate : throw new DemoFailedException($"The gate test's results are wrong: {gate.Difference}.");
    }

    private (RunMonitor Monitor, long PoolBytesPeak, long PoolBytesEnd) RunEvicting(List<DemoModel> models, PoolSize pool)
    {
        display.Say($"evicting run: a pool of {pool}");
        using var metrics = new MetricsListener();

        // Room for a cold copy of everything that lives, and for those of an older version that are still read.
        var coldBytes = RoundUp(models.Sum(model => model.NeededBytes) * 3 / 2);
        using var run = new SharedPoolRun(device, models, new PagedKvOptions { Pool = pool, ColdBytes = coldBytes });
        var monitor = new RunMonitor("evicting", models.Sum(model => model.Schedule.Steps.Count), display, options.ManagedWindowSteps);
        run.Execute(monitor);
        if (!monitor.WindowHasAll)
        {
            throw new DemoFailedException($"The {options.ManagedWindowSteps} steps over which managed bytes are counted had not an eviction, a reload and a move.");
        }

        return (monitor, run.PoolBytesPeak, run.ShrinkPool());
    }

    private string? RunContiguous(DemoModel model)
    {
        display.Say("contiguous run: no cache");
        using var kv = new ContiguousKv(device, model.Shape, model.ContiguousSchedule);
        return model.Difference(model.ContiguousSchedule, kv, new RunMonitor("contiguous", model.ContiguousSchedule.Steps.Count, display, windowSteps: 0));
    }

    private bool RunFlipTest(Transformer transformer)
    {
        display.Say("flip test: one bit of cold memory");
        return new FlipTest(device, options.Model, transformer, options.Text).Run();
    }

    /// <summary>Runs every model and says what came of it.</summary>
    private bool All(List<DemoModel> models, string name, Func<DemoModel, string?> run)
    {
        var isIdentical = true;
        foreach (var model in models)
        {
            var difference = run(model);
            display.Say(difference is null ? $"identical to the {name} run" : $"different from the {name} run: {difference}");
            isIdentical &= difference is null;
        }

        return isIdentical;
    }
}
