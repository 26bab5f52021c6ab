using System.Text.Json;
using Kvcached.Daemon;
using Kvcached.Daemon.Demo;
using Kvcached.Devices.Cpu;
using Xunit;

namespace Kvcached.Tests.Demo;

/// <summary>The whole demo with a model small enough for a test.</summary>
public sealed class DemoRunnerTests : IDisposable
{
    private static readonly ModelShape Small = new() { Layers = 2, Hidden = 64, FeedForward = 64, MaxContext = 512 };

    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 2, Kernels = Transformer.CpuKernels });
    private readonly byte[] _text = [.. Enumerable.Range(0, 3000).Select(i => (byte)(i * i))];

    [Fact]
    public void An_evicting_run_is_identical_to_those_that_keep_everything_and_steps_behind_closed_queues_are_accepted()
    {
        var options = new DemoOptions
        {
            Text = _text,
            Model = Small,
            Workload = new WorkloadOptions { MinContext = 64, MaxContext = 512 },
        };
        using var lines = new StringWriter();
        var report = new DemoRunner(_device, options, new LineDisplay(lines)).Run();
        Assert.True(report.IdenticalToUnevicted, lines.ToString());
        Assert.True(report.IdenticalToContiguous, lines.ToString());
        Assert.True(report.FlipDetected);
        Assert.True(report.GatedSteps >= 4, lines.ToString());
        Assert.True(report.GatedEvictions > 0 && report.GatedReloads > 0 && report.GatedMoves > 0, lines.ToString());
        Assert.True(report.EvictedBlocks > 1000 && report.ReloadedBlocks > 1000 && report.MovedBlocks > 100, report.ToJson());
    }

    [Fact]
    public void Two_models_of_different_block_size_share_a_pool_and_segments_are_compacted_for_the_one_whose_turn_it_is()
    {
        var first = Small with { Layers = 6 };
        var second = Small with { Layers = 4, KvHeads = 8, TokensPerBlock = 8 };
        Assert.NotEqual(first.BlockBytes, second.BlockBytes);
        var options = new DemoOptions
        {
            Text = _text,
            Model = first,
            SecondModel = second,
            Workload = new WorkloadOptions { Live = 32, MinContext = 64, MaxContext = 512 },
        };
        using var lines = new StringWriter();
        var report = new DemoRunner(_device, options, new LineDisplay(lines)).Run();
        Assert.True(report.IdenticalToUnevicted, lines.ToString());
        Assert.True(report.IdenticalToContiguous, lines.ToString());
        Assert.Equal(2, report.Models);
        Assert.True(report.EvictedBlocks > 1000 && report.CompactedBlocks > 100, report.ToJson());
    }

    [Fact]
    public void Two_models_must_have_a_thousand_blocks_compacted_and_one_need_not()
    {
        var options = new DemoOptions { Text = _text };
        Assert.Empty((Good with { CompactedBlocks = 0 }).Failures(DemoTargets.Of(options)));
        var two = DemoTargets.Of(options with { SecondModel = ModelShape.Second });
        Assert.Empty((Good with { CompactedBlocks = 1001 }).Failures(two));
        Assert.StartsWith("compacted_blocks", Assert.Single((Good with { CompactedBlocks = 1000 }).Failures(two)), StringComparison.Ordinal);
    }

    [Fact]
    public void A_pool_that_grows_and_shrinks_is_at_its_floor_in_the_end()
    {
        var options = new DemoOptions
        {
            Text = _text,
            Model = Small,
            Workload = new WorkloadOptions { MinContext = 64, MaxContext = 512 },
            Pool = new PoolSize(2 << 20, 4 << 20),
        };
        var report = new DemoRunner(_device, options, new LineDisplay(TextWriter.Null)).Run();
        Assert.True(report.IdenticalToUnevicted);
        Assert.True(report.EvictedBlocks > 1000, report.ToJson());
        Assert.Equal(4 << 20, report.PoolBytesPeak);
        Assert.InRange(report.PoolBytesEnd, 1, 2 << 20);
    }

    [Fact]
    public void A_pool_that_would_hold_everything_or_not_the_longest_sequence_is_refused_with_the_limits()
    {
        var options = new DemoOptions { Text = _text, Model = Small, Workload = new WorkloadOptions { MinContext = 64, MaxContext = 512 } };
        foreach (var bytes in (ReadOnlySpan<long>)[2 << 20, 256 << 20])
        {
            var runner = new DemoRunner(_device, options with { Pool = PoolSize.Fixed(bytes) }, new LineDisplay(TextWriter.Null));
            Assert.Contains("must be between 4MiB and ", Assert.Throws<UsageException>(runner.Run).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_pool_that_was_asked_for_has_targets_of_its_own()
    {
        var targets = DemoTargets.Of(new DemoOptions { Text = _text, Pool = new PoolSize(2 << 20, 64 << 20) });
        var report = Good with { EvictedBlocks = 1, ReloadedBlocks = 1, DeviceBytesPeak = 64 << 20, PoolBytesEnd = 2 << 20 };
        Assert.Empty(report.Failures(targets));
        Assert.Contains(report.Failures(new DemoTargets()), failure => failure.StartsWith("evicted_blocks", StringComparison.Ordinal));
        Assert.StartsWith("pool_bytes_end", Assert.Single((report with { PoolBytesEnd = 4 << 20 }).Failures(targets)), StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_on_windows_is_identical_and_windows_grow_while_others_are_evicted()
    {
        // 64 tokens fill a unit, and every sequence comes to have more while it decodes.
        var options = new DemoOptions
        {
            Text = _text,
            Model = Small with { KvHeads = 32, QueryHeads = 32, HeadDim = 128 },
            Workload = new WorkloadOptions { Live = 12, Waiting = 2, Generate = 24, MinContext = 72, MaxContext = 128 },
        };
        using var lines = new StringWriter();
        var report = new WindowsRunner(_device, options, new LineDisplay(lines)).Run();
        Assert.True(report.IdenticalToUnevicted, lines.ToString());
        Assert.True(report.Failures().Count == 0, report.ToJson());
        Assert.True(report.WindowBytes > 0 && report.GatheredBytes > 0 && report.WindowsDropped > 0, report.ToJson());
    }

    [Fact]
    public void A_report_on_windows_that_misses_a_target_says_which()
    {
        Assert.Empty(GoodOnWindows.Failures());
        (WindowsReport Report, string Name)[] misses =
        [
            (GoodOnWindows with { EvictedBlocks = 0 }, "evicted_blocks"),
            (GoodOnWindows with { ReloadedBlocks = 0 }, "reloaded_blocks"),
            (GoodOnWindows with { GrownWhileEvicting = 0 }, "grown_while_evicting"),
            (GoodOnWindows with { IdenticalToUnevicted = false }, "identical_to_unevicted"),
        ];
        foreach (var (report, name) in misses)
        {
            Assert.StartsWith(name, Assert.Single(report.Failures()), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_report_on_windows_has_the_documented_fields_and_no_others()
    {
        using var json = JsonDocument.Parse(GoodOnWindows.ToJson());
        Assert.Equal(
            [
                "device", "elapsed_s", "steps", "prompt_tokens", "generated_tokens", "tokens_per_s", "evicted_blocks", "reloaded_blocks", "window_bytes", "windows_grown",
                "windows_moved", "windows_dropped", "grown_while_evicting", "gathered_bytes", "pool_bytes", "needed_bytes", "identical_to_unevicted",
            ],
            json.RootElement.EnumerateObject().Select(property => property.Name));
    }

    [Fact]
    public void The_report_has_the_documented_fields_and_no_others()
    {
        using var json = JsonDocument.Parse(Good.ToJson());
        Assert.Equal(
            [
                "device", "elapsed_s", "models", "steps", "prompt_tokens", "generated_tokens", "tokens_per_s", "cleaned_blocks", "evicted_blocks", "reloaded_blocks",
                "moved_blocks", "compacted_blocks", "copies", "mean_run_length", "device_bytes_peak", "pool_bytes_peak", "pool_bytes_end", "needed_bytes", "managed_bytes", "gated_steps", "gated_evictions", "gated_reloads", "gated_moves",
                "identical_to_unevicted", "identical_to_contiguous", "flip_detected",
            ],
            json.RootElement.EnumerateObject().Select(property => property.Name));
    }

    [Fact]
    public void A_report_that_misses_any_target_says_which()
    {
        var targets = new DemoTargets();
        Assert.Empty(Good.Failures(targets));
        (DemoReport Report, string Name)[] misses =
        [
            (Good with { NeededBytes = (128 << 20) - 1 }, "needed_bytes"),
            (Good with { DeviceBytesPeak = 50 << 20 }, "device_bytes_peak"),
            (Good with { EvictedBlocks = 5000 }, "evicted_blocks"),
            (Good with { ReloadedBlocks = 5000 }, "reloaded_blocks"),
            (Good with { MovedBlocks = 100 }, "moved_blocks"),
            (Good with { GatedSteps = 3 }, "gated_steps"),
            (Good with { GatedEvictions = 0 }, "gated_evictions"),
            (Good with { GatedReloads = 0 }, "gated_reloads"),
            (Good with { GatedMoves = 0 }, "gated_moves"),
            (Good with { ManagedBytes = 8 }, "managed_bytes"),
            (Good with { ManagedBytes = -1 }, "managed_bytes"),
            (Good with { IdenticalToUnevicted = false }, "identical_to_unevicted"),
            (Good with { IdenticalToContiguous = false }, "identical_to_contiguous"),
            (Good with { FlipDetected = false }, "flip_detected"),
        ];
        foreach (var (report, name) in misses)
        {
            Assert.Contains(report.Failures(targets), failure => failure.StartsWith(name, StringComparison.Ordinal));
        }
    }

    public void Dispose() => _device.Dispose();

    private static WindowsReport GoodOnWindows => new()
    {
        Device = "cpu",
        ElapsedS = 1,
        Steps = 1,
        PromptTokens = 1,
        GeneratedTokens = 1,
        TokensPerS = 1,
        EvictedBlocks = 1,
        ReloadedBlocks = 1,
        WindowBytes = 1,
        WindowsGrown = 0,
        WindowsMoved = 1,
        WindowsDropped = 1,
        GrownWhileEvicting = 1,
        GatheredBytes = 1,
        PoolBytes = 1,
        NeededBytes = 3,
        IdenticalToUnevicted = true,
    };

    private static DemoReport Good => new()
    {
        Device = "cpu",
        ElapsedS = 1,
        Models = 1,
        Steps = 1,
        PromptTokens = 1,
        GeneratedTokens = 1,
        TokensPerS = 1,
        CleanedBlocks = 0,
        EvictedBlocks = 5001,
        ReloadedBlocks = 5001,
        MovedBlocks = 101,
        CompactedBlocks = 0,
        Copies = 10_000,
        MeanRunLength = 1,
        DeviceBytesPeak = 46 << 20,
        PoolBytesPeak = 44 << 20,
        PoolBytesEnd = 44 << 20,
        NeededBytes = 128 << 20,
        ManagedBytes = 0,
        GatedSteps = 4,
        GatedEvictions = 1,
        GatedReloads = 1,
        GatedMoves = 1,
        IdenticalToUnevicted = true,
        IdenticalToContiguous = true,
        FlipDetected = true,
    };
}
