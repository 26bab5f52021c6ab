using Kvcached.Daemon;
using Kvcached.Daemon.Demo;
using Kvcached.Daemon.Demo.Served;
using Kvcached.Daemon.Hardware;
using Kvcached.Devices.Cuda;
using Xunit;

namespace Kvcached.Tests.StandIn;

/// <summary>The demo on the cuda device, gate test included, with models small enough for a test.</summary>
public sealed class OnStandInDemo
{
    private static readonly ModelShape _small = new() { Layers = 2, Hidden = 64, FeedForward = 64, MaxContext = 512 };

    private readonly DemoOptions _options = new()
    {
        Text = Enumerable.Range(0, 3000).Select(i => (byte)(i * i)).ToArray(),
        Device = DeviceName.Parse("cuda")!.Value,
        Model = _small,
    };

    [OnStandInFact]
    public void An_evicting_run_is_identical_to_those_that_keep_everything_and_steps_behind_closed_queues_are_accepted()
    {
        using var device = new CudaDevice(new CudaDeviceOptions { Kernels = Transformer.GpuKernels });
        var options = _options with { Workload = new WorkloadOptions { MinContext = 64, MaxContext = 256, Generate = 48 } };
        using var lines = new StringWriter();
        var report = new DemoRunner(device, options, new LineDisplay(lines)).Run();
        Assert.True(report.IdenticalToUnevicted && report.IdenticalToContiguous && report.FlipDetected, lines.ToString());
        Assert.True(report.GatedSteps >= 4 && report.GatedEvictions > 0 && report.GatedReloads > 0 && report.GatedMoves > 0, lines.ToString());
        Assert.True(report.EvictedBlocks > 100 && report.ReloadedBlocks > 100 && report.MovedBlocks > 10, report.ToJson());
    }

    [OnStandInFact]
    public void Two_models_share_a_pool_and_segments_are_compacted_in_flight()
    {
        using var device = new CudaDevice(new CudaDeviceOptions { Kernels = Transformer.GpuKernels });
        var options = _options with
        {
            Model = _small with { Layers = 6 },
            SecondModel = _small with { Layers = 4, KvHeads = 8, TokensPerBlock = 8 },
            Workload = new WorkloadOptions { Live = 24, MinContext = 64, MaxContext = 256, Generate = 24 },
        };
        using var lines = new StringWriter();
        var report = new DemoRunner(device, options, new LineDisplay(lines)).Run();
        Assert.True(report.IdenticalToUnevicted && report.IdenticalToContiguous, lines.ToString());
        Assert.True(report.EvictedBlocks > 100 && report.CompactedBlocks > 10, report.ToJson());
    }

    [OnStandInFact]
    public void A_run_on_windows_is_identical_and_windows_grow_while_others_are_evicted()
    {
        using var device = new CudaDevice(new CudaDeviceOptions { Kernels = Transformer.GpuKernels });
        var options = _options with
        {
            Model = _small with { KvHeads = 32, QueryHeads = 32, HeadDim = 128 },
            Workload = new WorkloadOptions { Live = 12, Waiting = 2, Generate = 24, MinContext = 72, MaxContext = 128 },
        };
        using var lines = new StringWriter();
        var report = new WindowsRunner(device, options, new LineDisplay(lines)).Run();
        Assert.True(report.IdenticalToUnevicted, lines.ToString());
        Assert.True(report.Failures().Count == 0, report.ToJson());
    }

    [OnStandInFact]
    public void Two_processes_on_a_daemon_are_identical_to_runs_that_keep_everything()
    {
        ModelShape[] shapes = [_small with { Layers = 4 }, _small with { Layers = 3, KvHeads = 8, TokensPerBlock = 8, AxisOrder = KvAxisOrder.HeadMajor }];
        var options = _options with { Workload = new WorkloadOptions { Live = 12, Waiting = 2, Generate = 24, MinContext = 64, MaxContext = 256 }, ManagedWindowSteps = 0 };
        using var lines = new StringWriter();
        var report = new ServedRunner(shapes, options, new LineDisplay(TextWriter.Synchronized(lines))).Run();
        Assert.True(report.IdenticalToUnevicted, lines.ToString());
        Assert.True(report.EvictedBlocks > 100 && report.ReloadedBlocks > 100, report.ToJson());
    }
}
