using System.Diagnostics;
using Kvcached.Daemon.Processes;
using Kvcached.Protocol;

namespace Kvcached.Daemon.Demo.Served;

/// <summary>
/// The demo with a daemon: a process for each model, each of a tenant of its own, decodes on a pool of a third of what all need together; then each compares with
/// an unevicted run of its own.
/// </summary>
internal sealed class ServedRunner(IReadOnlyList<ModelShape> shapes, DemoOptions options, IDemoDisplay display)
{
    private static readonly TimeSpan _lookEvery = TimeSpan.FromSeconds(1);

    /// <summary>Called with the daemon and the models once they decode.</summary>
    public Action<DaemonProcess, ModelProcesses>? Decoding { get; init; }

    public ServedReport Run()
    {
        var watch = Stopwatch.StartNew();
        var tasks = CreateTasks();
        using var models = new ModelProcesses(tasks);
        models.AwaitAll(ModelPhase.Planned);
        var steps = models.Models.Sum(model => model.Last.Steps);
        var neededBytes = models.Models.Sum(model => model.Last.NeededBytes);
        var poolBytes = neededBytes / 3 / KvCacheOptions.UnitBytes * KvCacheOptions.UnitBytes;
        display.Say($"{shapes.Count} models, a process each, need {neededBytes >> 20} MiB of KV; a daemon with a pool of {poolBytes >> 20} MiB");

        // Room for a cold copy of everything that lives, and for those of an older version that are still read.
        var coldBytes = DemoRunner.RoundUp(neededBytes * 3 / 2);
        using var daemon = DaemonProcess.Start("--device", options.Device.ToString(), "--pool", SizeParser.Format(poolBytes), "--cold", SizeParser.Format(coldBytes));
        var (status, decoding) = Decode(models, daemon, steps);
        Stop(daemon);
        var isIdentical = Verify(models);
        var requests = tasks.SelectMany(task => task.Requests).ToList();
        var prompt = requests.Sum(request => (long)request.Prompt.Length);
        var generated = requests.Sum(request => (long)request.Generated);
        return new ServedReport
        {
            Device = status.Device,
            ElapsedS = Math.Round(watch.Elapsed.TotalSeconds, 3),
            Processes = shapes.Count,
            Steps = steps,
            PromptTokens = prompt,
            GeneratedTokens = generated,
            TokensPerS = Math.Round((prompt + generated) / decoding.TotalSeconds, 1),
            CleanedBlocks = status.Totals.CleanedBlocks,
            EvictedBlocks = status.Totals.EvictedBlocks,
            ReloadedBlocks = status.Totals.ReloadedBlocks,
            MovedBlocks = status.Totals.MovedBlocks,
            CompactedBlocks = status.Totals.CompactedBlocks,
            GatheredBytes = status.Totals.BytesGathered,
            NeededBytes = neededBytes,
            PoolBytes = status.PoolBytes,
            ManagedBytes = ManagedBytes,
            IdenticalToUnevicted = isIdentical,
        };
    }

    private long ManagedBytes { get; set; }

    private List<ModelTask> CreateTasks()
    {
        var workloads = shapes.Select((_, i) => options.Workload with { Seed = options.Workload.Seed + i }).ToArray();
        var requests = workloads.Select(workload => Workload.Create(options.Text, workload)).ToArray();
        var liveBytes = shapes.Zip(requests, (shape, own) => own.Take(options.Workload.Live).Sum(request => shape.Blocks(request.Context)) * shape.BlockBytes).Sum();
        return [.. shapes.Select((shape, i) => new ModelTask
        {
            Tenant = $"model-{i + 1}",
            Shape = shape,
            Workload = workloads[i],
            Requests = requests[i],
            MaxBatch = options.MaxBatch,

            // A batch and the one before it, of every model, fit together: two fifths of the pool, or a sixth beside windows, which have up to twice the bytes of blocks.
            BatchBytes = (options.HasWindows ? liveBytes / 3 / 6 : liveBytes / 3 * 2 / 5) / shapes.Count,
            HasWindows = options.HasWindows,
            Device = options.Device.ToString(),
            Workers = Math.Max(1, Environment.ProcessorCount / shapes.Count),
            ManagedWindowSteps = options.ManagedWindowSteps,
        })];
    }

    /// <summary>The evicting run: all models at the same time.</summary>
    private (DaemonStatus Status, TimeSpan Elapsed) Decode(ModelProcesses models, DaemonProcess daemon, int steps)
    {
        var watch = Stopwatch.StartNew();
        var looked = TimeSpan.Zero;
        models.TellAll(daemon.Socket);
        Decoding?.Invoke(daemon, models);
        models.AwaitAll(ModelPhase.Decoded, daemon, () =>
        {
            if (watch.Elapsed - looked > _lookEvery)
            {
                looked = watch.Elapsed;
                Show(daemon.ReadStatus().Totals);
            }
        });
        var elapsed = watch.Elapsed;
        ManagedBytes = models.Models.Sum(model => model.Last.ManagedBytes);
        return (daemon.ReadStatus(), elapsed);

        void Show(in KvCacheStatistics totals) => display.Show(new RunSnapshot(
            "evicting", models.Models.Sum(model => model.Last.Step), steps, models.Models.Sum(model => model.Last.Tokens), watch.Elapsed, totals));
    }

    /// <summary>The unevicted runs.</summary>
    private bool Verify(ModelProcesses models)
    {
        display.Say("unevicted runs: each model on a pool that fits all");
        models.TellAll("verify");
        models.AwaitAll(ModelPhase.Verified);
        foreach (var model in models.Models)
        {
            var difference = model.Last.Difference;
            display.Say($"{model.Task.Tenant}: {(difference is null ? "identical to its unevicted run" : $"different from its unevicted run: {difference}")}");
        }

        return models.Models.All(model => model.Last.Difference is null);
    }

    private static void Stop(DaemonProcess daemon)
    {
        var status = daemon.Stop();
        if (status != 0)
        {
            throw new DemoFailedException($"The daemon ended with exit status {status}.{daemon.Tail()}");
        }
    }
}
