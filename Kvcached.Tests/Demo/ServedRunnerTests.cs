using System.Diagnostics;
using System.Text.Json;
using Kvcached.Daemon.Demo;
using Kvcached.Daemon.Demo.Served;
using Kvcached.Daemon.Processes;
using Xunit;

namespace Kvcached.Tests.Demo;

/// <summary>The demo with a real daemon and two model processes, with models small enough for a test.</summary>
public class ServedRunnerTests
{
    private static readonly ModelShape[] _shapes =
    [
        new() { Layers = 4, Hidden = 64, FeedForward = 64, MaxContext = 512 },
        new() { Layers = 3, Hidden = 64, FeedForward = 64, MaxContext = 512, KvHeads = 8, TokensPerBlock = 8, AxisOrder = KvAxisOrder.HeadMajor },
    ];

    private readonly DemoOptions _options = new()
    {
        Text = Enumerable.Range(0, 3000).Select(i => (byte)(i * i)).ToArray(),
        Workload = new WorkloadOptions { Live = 24, Waiting = 3, Generate = 48, MinContext = 64, MaxContext = 512 },
        ManagedWindowSteps = 0,
    };

    [Fact]
    public void Two_processes_on_a_daemon_with_a_pool_of_a_third_of_what_they_need_are_identical_to_runs_that_keep_everything()
    {
        using var lines = new StringWriter();
        var report = Runner(TextWriter.Synchronized(lines)).Run();
        Assert.True(report.IdenticalToUnevicted, lines.ToString());
        Assert.Equal(2, report.Processes);
        Assert.InRange(report.PoolBytes, 1, report.NeededBytes / 3);
        Assert.True(report.EvictedBlocks > 1000 && report.ReloadedBlocks > 1000, report.ToJson());
    }

    [Fact]
    public void A_model_process_that_dies_is_named_and_nothing_is_left_behind() =>
        AssertFails("The process of model-2 has ended before its time", (_, models) => models.Models[1].Pid);

    [Fact]
    public void A_daemon_that_dies_is_said_to_have_and_nothing_is_left_behind() =>
        AssertFails("The daemon has ended while models used it", (daemon, _) => daemon.Pid);

    [Fact]
    public void A_process_that_is_told_to_end_takes_its_daemons_folder_along()
    {
        var temporary = Directory.CreateTempSubdirectory("kvcached-test-").FullName;
        try
        {
            var environment = new Dictionary<string, string> { ["TMPDIR"] = temporary };
            using var replay = OwnProcess.Start(typeof(ServedRunner).Assembly, ["replay", "--processes", "1", "--requests", "100"], environment);
            Assert.True(SpinWait.SpinUntil(() => Directory.GetFiles(temporary, "*.sock", SearchOption.AllDirectories).Length > 0, TimeSpan.FromSeconds(20)));
            Signals.Send(replay.Id, Signals.Terminate);
            Assert.True(replay.WaitForExit(TimeSpan.FromSeconds(20)));
            Assert.Equal((128 + Signals.Terminate, 0), (replay.ExitCode, Directory.GetDirectories(temporary).Length));
        }
        finally
        {
            Directory.Delete(temporary, recursive: true);
        }
    }

    [Fact]
    public void A_report_that_misses_a_target_says_which()
    {
        Assert.Empty(Good.Failures());
        (ServedReport Report, string Name)[] misses =
        [
            (Good with { EvictedBlocks = 1000 }, "evicted_blocks"),
            (Good with { ReloadedBlocks = 1000 }, "reloaded_blocks"),
            (Good with { ManagedBytes = 8 }, "managed_bytes"),
            (Good with { IdenticalToUnevicted = false }, "identical_to_unevicted"),
        ];
        foreach (var (report, name) in misses)
        {
            Assert.StartsWith(name, Assert.Single(report.Failures()), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_report_has_the_documented_fields_and_no_others()
    {
        using var json = JsonDocument.Parse(Good.ToJson());
        Assert.Equal(
            [
                "device", "elapsed_s", "processes", "steps", "prompt_tokens", "generated_tokens", "tokens_per_s", "cleaned_blocks", "evicted_blocks", "reloaded_blocks",
                "moved_blocks", "compacted_blocks", "gathered_bytes", "needed_bytes", "pool_bytes", "managed_bytes", "identical_to_unevicted",
            ],
            json.RootElement.EnumerateObject().Select(property => property.Name));
    }

    [Fact]
    public void Models_that_share_a_daemon_have_blocks_of_different_sizes() =>
        Assert.Equal(ModelShape.Variants.Count, ModelShape.Variants.Select(shape => shape.BlockBytes).Distinct().Count());

    [Fact]
    public void A_process_whose_kernels_run_on_contiguous_windows_of_the_daemons_pool_is_identical_to_a_run_that_keeps_everything()
    {
        // 64 tokens fill a unit of a window.
        var shape = _shapes[0] with { KvHeads = 32, QueryHeads = 32, HeadDim = 128 };
        var options = _options with { HasWindows = true, Workload = new WorkloadOptions { Live = 12, Waiting = 0, Generate = 16, MinContext = 72, MaxContext = 112 } };
        using var lines = new StringWriter();
        var report = new ServedRunner([shape], options, new LineDisplay(TextWriter.Synchronized(lines))).Run();
        Assert.True(report.IdenticalToUnevicted, lines.ToString());
        Assert.True(report.GatheredBytes > 0 && report.EvictedBlocks > 0 && report.ReloadedBlocks > 0, report.ToJson());
    }

    private ServedRunner Runner(TextWriter lines) => new(_shapes, _options, new LineDisplay(lines));

    /// <summary>Kills a process once the models decode.</summary>
    private void AssertFails(string message, Func<DaemonProcess, ModelProcesses, int> victim)
    {
        string? socket = null;
        List<int> processes = [];
        var runner = new ServedRunner(_shapes, _options, new LineDisplay(TextWriter.Null))
        {
            Decoding = (daemon, models) =>
            {
                socket = daemon.Socket;
                processes.AddRange([daemon.Pid, .. models.Models.Select(model => model.Pid)]);
                using var process = Process.GetProcessById(victim(daemon, models));
                process.Kill();
            },
        };
        Assert.StartsWith(message, Assert.Throws<DemoFailedException>(runner.Run).Message, StringComparison.Ordinal);
        Assert.False(File.Exists(socket));
        Assert.All(processes, pid => Assert.False(Directory.Exists($"/proc/{pid}")));
    }

    private static ServedReport Good => new()
    {
        Device = "cpu",
        ElapsedS = 1,
        Processes = 2,
        Steps = 1,
        PromptTokens = 1,
        GeneratedTokens = 1,
        TokensPerS = 1,
        CleanedBlocks = 0,
        EvictedBlocks = 1001,
        ReloadedBlocks = 1001,
        MovedBlocks = 0,
        CompactedBlocks = 0,
        GatheredBytes = 0,
        NeededBytes = 3,
        PoolBytes = 1,
        ManagedBytes = 0,
        IdenticalToUnevicted = true,
    };
}
