using System.Diagnostics;
using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>
/// The demo on contiguous windows: the contiguous kernels, which know of no table, on windows in a pool of a third of what the sequences need; then the
/// same steps by the table on a pool that fits all.
/// </summary>
internal sealed class WindowsRunner(IDevice device, DemoOptions options, IDemoDisplay display)
{
    public WindowsReport Run()
    {
        var requests = Workload.Create(options.Text, options.Workload);
        var liveBytes = requests.Take(options.Workload.Live).Sum(request => options.Model.Blocks(request.Context)) * options.Model.BlockBytes;

        // A window has up to twice the bytes of its blocks: a batch and the one before it fit together.
        using var model = new DemoModel(device, options.Model, requests, options, batchBytes: liveBytes / 3 / 6);
        var poolBytes = model.NeededBytes / 3 / KvCacheOptions.UnitBytes * KvCacheOptions.UnitBytes;
        display.Say($"run on windows: a pool of {poolBytes >> 20} MiB, of {model.NeededBytes >> 20} that {options.Workload.Live} sequences need");
        var watch = Stopwatch.StartNew();
        var (monitor, growth) = RunOnWindows(model, poolBytes);
        var difference = model.DifferenceFromUnevicted(display);
        display.Say(difference is null ? "identical to the unevicted run" : $"different from the unevicted run: {difference}");
        var prompt = requests.Sum(request => (long)request.Prompt.Length);
        var generated = requests.Sum(request => (long)request.Generated);
        return new WindowsReport
        {
            Device = device.Name,
            ElapsedS = Math.Round(watch.Elapsed.TotalSeconds, 3),
            Steps = model.Schedule.Steps.Count,
            PromptTokens = prompt,
            GeneratedTokens = generated,
            TokensPerS = Math.Round((prompt + generated) / monitor.Elapsed.TotalSeconds, 1),
            EvictedBlocks = monitor.Statistics.EvictedBlocks,
            ReloadedBlocks = monitor.Statistics.ReloadedBlocks,
            WindowBytes = growth.BytesPeak,
            WindowsGrown = monitor.Statistics.WindowsGrown,
            WindowsMoved = monitor.Statistics.WindowsMoved,
            WindowsDropped = monitor.Statistics.WindowsDropped,
            GrownWhileEvicting = growth.GrownWhileEvicting,
            GatheredBytes = monitor.Statistics.BytesGathered,
            PoolBytes = poolBytes,
            NeededBytes = model.NeededBytes,
            IdenticalToUnevicted = difference is null,
        };
    }

    private (RunMonitor Monitor, WindowGrowth Growth) RunOnWindows(DemoModel model, long poolBytes)
    {
        // Room for a cold copy of everything that lives, and for those of an older version that are still read.
        var coldBytes = DemoRunner.RoundUp(model.NeededBytes * 3 / 2);
        using var kv = new PagedKv(device, model.Shape, model.Schedule, new PagedKvOptions { Pool = PoolSize.Fixed(poolBytes), ColdBytes = coldBytes, HasWindows = true });
        using var run = new DecodeRun(device, model.Schedule, model.Transformer, kv, model.Evicting);
        var monitor = new RunMonitor("windows", model.Schedule.Steps.Count, display, windowSteps: 0);
        run.Execute(monitor);
        return (monitor, kv.Windows);
    }
}
