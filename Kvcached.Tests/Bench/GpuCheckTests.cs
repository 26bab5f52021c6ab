using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Kvcached.Bench.GpuCheck;
using Kvcached.Bench.Ratios;
using Kvcached.Devices.Cpu;
using Kvcached.Kernels;
using Kvcached.Tests.Devices;
using Kvcached.Tests.Kernels;
using Xunit;

namespace Kvcached.Tests.Bench;

/// <summary>What the check of a GPU says where there is none. What it finds where there is one, no test says.</summary>
public sealed class GpuCheckTests
{
    [Fact]
    public void Parts_are_listed_by_names_of_their_own()
    {
        var output = new StringWriter();
        Assert.Equal(0, GpuCheckCommand.Names(output));
        var lines = output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(GpuCheckCommand.All.Count, lines.Length);
        Assert.Equal(lines.Length, lines.Select(line => line.Split('\t')[0]).Distinct().Count());
        Assert.All(lines, line => Assert.Equal(2, line.Split('\t', StringSplitOptions.RemoveEmptyEntries).Length));
    }

    [Fact]
    public void A_part_that_is_not_there_is_named_with_those_that_are()
    {
        var (output, progress) = (new StringWriter(), new StringWriter());
        Assert.Equal(2, GpuCheckCommand.Run("vmm_page_cost,nothing", 0, RatioPace.Quick, output, progress));
        Assert.Contains("nothing; there are words_on_memfd", progress.ToString(), StringComparison.Ordinal);
        Assert.Empty(output.ToString());
    }

    [Fact]
    public void Where_there_is_no_GPU_the_device_says_what_to_do()
    {
        if (CudaTests.Missing is null)
        {
            return;
        }

        var (output, progress) = (new StringWriter(), new StringWriter());
        Assert.Equal(2, GpuCheckCommand.Run(null, 0, RatioPace.Quick, output, progress));
        Assert.StartsWith("cuda device 0 cannot be used: ", progress.ToString(), StringComparison.Ordinal);
        Assert.Empty(output.ToString());
    }

    [Fact]
    public void An_answer_is_a_line_as_those_of_ratios_are()
    {
        var finding = GpuFinding.Answer("x", isSo: false, "it is \"so\"", new ExtraField("us", 1.23456789));
        Assert.Equal("""{"name":"x","verdict":"fails","says":"it is \"so\"","us":1.2346}""", finding.Json);
        Assert.True(finding.Fails);
        Assert.Contains("\"reported\"", GpuFinding.Answer("x", isSo: null, "y").Json, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ElementFormat.Float16)]
    [InlineData(ElementFormat.Float32)]
    internal void Decode_gives_the_same_bits_wherever_keys_and_values_lie(ElementFormat format)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Workers = 1 });
        var results = Enum.GetValues<KvPlaces>().Select(places =>
        {
            using var attention = new GpuAttention(device, new HostStream(), new GpuAttentionSize(Sequences: 3, Tokens: 512, Layers: 2), format, places);
            return attention.Results();
        }).ToList();
        Assert.All(results, result => Assert.Equal(results[0], result));
    }

    [Fact]
    public void Small_copies_are_measured_in_every_size_and_number()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Workers = 1 });
        var finding = SmallCopies.Run(device, device, rounds: 1);
        Assert.False(finding.Fails);
        var figures = JsonNode.Parse(finding.Json)!.AsObject();
        Assert.Equal(8 * 3, figures.Count(figure => figure.Key.StartsWith("kernel_us_", StringComparison.Ordinal) && (double)figure.Value! > 0));
        Assert.Equal(3, figures.Count(figure => figure.Key.StartsWith("crossover_", StringComparison.Ordinal)));
        Assert.Contains("64 at once", (string?)figures["says"], StringComparison.Ordinal);
        Assert.Equal(0, device.DeviceBytes);
    }

    [Fact]
    public void A_step_that_is_enqueued_again_gives_the_same_bits_while_blocks_move()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Workers = 1 });
        var finding = GraphReplay.Run(device, new HostStream(), enqueue => enqueue);
        Assert.Contains("gave the same bits while", finding.Json, StringComparison.Ordinal);
        Assert.False(finding.Fails);
    }

    [Fact]
    public void The_report_says_of_each_part_what_became_of_it()
    {
        var folder = Directory.CreateTempSubdirectory("kvcached-report-").FullName;
        try
        {
            File.WriteAllLines(Path.Combine(folder, "parts.tsv"), ["devices\t0\t1\tkvcached devices", "good\t0\t2\tcheck good", "bad\t1\t3\tsuites bad", "slow\t124\t4\tcheck slow", "none\t2\t0\tsdpa", "twice\t0\t5\tcheck twice"]);
            File.WriteAllText(Path.Combine(folder, "devices.out"), """{"devices":[{"name":"cpu","description":"2 processors"},{"name":"cuda:0","description":"NVIDIA X"}]}""");
            File.WriteAllText(Path.Combine(folder, "good.out"), GpuFinding.Answer("good", isSo: true, "it works").Json);
            File.WriteAllText(Path.Combine(folder, "slow.out"), "{\"cut");
            File.WriteAllText(Path.Combine(folder, "twice.out"), "{\"x\":1,\"x\":2}");
            File.WriteAllText(Path.Combine(folder, "bad.out"), "FAILED The_test: 1 is not 2\nat Somewhere\n");
            File.WriteAllText(Path.Combine(folder, "none.err"), "not run: PyTorch is not there\n");
            Assert.Equal(1, GpuReport.Write(folder, new JsonObject { ["driver"] = "580", ["commit"] = "abc", ["date"] = "today", ["command"] = "gpu-check.sh" }));
            var text = File.ReadAllText(Path.Combine(folder, "report.md"));
            string[] said = ["# NVIDIA X", "Driver: 580. Commit abc, today.", "| good | holds | 2 | good: holds. it works |", "| twice | fails | 5 | {\"unreadable\":\"{\\\"x\\\":1,\\\"x\\\":2}\"} |", "## bad: fails", "FAILED The_test: 1 is not 2", "## slow: took too long", "PyTorch is not there"];
            Assert.All(said, part => Assert.Contains(part, text, StringComparison.Ordinal));
            Assert.DoesNotContain("at Somewhere", text, StringComparison.Ordinal);
            var report = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "report.json")))!;
            Assert.Equal("not run", (string?)report["parts"]![4]!["result"]);
            Assert.Equal("it works", (string?)report["parts"]![1]!["findings"]![0]!["says"]);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Suites_run_without_a_test_host()
    {
        var output = new StringWriter();
        Assert.Equal(0, SuitesCommand.Run(["SoftmaxTests"], output));
        Assert.Contains("\"failed\":0", output.ToString(), StringComparison.Ordinal);
    }

    /// <summary>Does everything at once, on this thread, by the cpu kernels.</summary>
    private sealed unsafe class HostStream : ILaunchStream
    {
        public void Launch<T>(string name, in T arguments)
            where T : unmanaged => KernelRunner.Run(name, arguments);

        public void Copy(ulong target, ulong source, long bytes) => Buffer.MemoryCopy((void*)source, (void*)target, bytes, bytes);

        public void Clear(ulong target, long bytes) => NativeMemory.Clear((void*)target, (nuint)bytes);

        public void Synchronize()
        {
        }
    }
}
