using System.Diagnostics;
using System.Text.RegularExpressions;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Tests.Simulation;
using Xunit;

namespace Kvcached.Tests;

/// <summary>README and docs say what is so: the example compiles and runs, commands and options exist, links lead somewhere.</summary>
public sealed partial class ReadmeTests
{
    private static readonly string _root = FindRoot();

    public static TheoryData<string> Documents => [.. DocumentPaths];

    /// <summary>Project, subcommand and its options, of each command that a document names.</summary>
    public static TheoryData<string, string, string> Commands
    {
        get
        {
            var commands = DocumentPaths
                .SelectMany(document => CommandLine().Matches(Read(document)))
                .Select(match => (Project: match.Groups["project"].Value, Name: match.Groups["name"].Value, Options: string.Join(' ', OptionName().Matches(match.Groups["rest"].Value).Select(option => option.Value))))
                .Distinct();
            var data = new TheoryData<string, string, string>();
            foreach (var (project, name, options) in commands)
            {
                data.Add(project, name, options);
            }

            return data;
        }
    }

    [Fact]
    public void The_example_of_the_README_runs_and_every_token_survives_eviction()
    {
        // README example begins
        using var device = new CpuDevice(new CpuDeviceOptions { Kernels = [Forward.Kernel] });
        using var cache = KvCache.OpenEmbedded(device, new KvCacheOptions { PoolBytes = 4 << 20, ColdBytes = 16 << 20 });
        var model = cache.RegisterModel("tiny", new KvLayout { Layers = 8, Heads = 2, HeadDim = 64 });   // 4 KiB a token
        var lane = cache.OpenLane(new KvLaneOptions { Depth = 12 });
        var (queue, commands, tally) = (device.CreateQueue("model"), new CommandList(), device.Allocate(64, MemoryKind.Host, "tally"));
        KvSequence[] chats = [model.CreateSequence(), model.CreateSequence(), model.CreateSequence()];
        KvStep step = default;
        for (var turn = 0; turn < 12; turn++, commands.Clear())
        {
            step = lane.Begin([new KvStepItem(chats[turn % 3], NewTokens: 160)]);   // at once; evicts and reloads as it must
            Forward.Launch(commands, cache, model, step, tally);                    // your kernels: they read step.ViewsAddress()
            queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], commands, step.End);
        }
        cache.Wait(step.End, TimeSpan.FromMinutes(1));   // 7.5 MiB of KV went through a pool of 4 MiB
        // README example ends
        Assert.True(step.End.IsReached);
        Assert.Equal(new Forward.Tally { Compared = 3 * (160 + 320 + 480) * 8 * 2 * 2 }, Forward.Read(tally));
        var statistics = cache.GetStatistics();
        Assert.True(statistics.EvictedBlocks > 0 && statistics.ReloadedBlocks > 0);
        Assert.Equal((12, 0, 1), (statistics.Steps, statistics.RefusedSteps, statistics.HostWaits));
    }

    [Fact]
    public void The_README_shows_the_example_that_the_test_above_runs()
    {
        var source = Read(Path.Combine("Kvcached.Tests", "ReadmeTests.cs"));
        var lines = Between(source, "// README example begins\n", "        // README example ends").Split('\n');
        var example = string.Join('\n', lines.Select(line => line.StartsWith("        ", StringComparison.Ordinal) ? line[8..] : line));
        Assert.Equal(["csharp\n" + example.TrimEnd() + "\n"], Fence().Matches(Read("README.md")).Select(match => match.Groups[1].Value));
    }

    [Fact]
    public void Kernel_authors_are_shown_the_strides_that_the_tests_pass()
    {
        var source = Read(Path.Combine("Kvcached.Tests", "Paged", "PagedRig.cs"));
        var lines = Between(source, "// What docs/kernel-authors.md shows begins.\n", "    // What docs/kernel-authors.md shows ends.").Split('\n');
        var shown = string.Join('\n', lines.Select(line => line.StartsWith("    ", StringComparison.Ordinal) ? line[4..] : line)).Trim();
        Assert.Contains($"```csharp\n{shown}\n```", Read("docs/kernel-authors.md"), StringComparison.Ordinal);
    }

    [Fact]
    public void The_status_table_says_that_a_device_works_if_there_is_one()
    {
        var rows = Between(Read("README.md"), "## What works\n", "\n## ").Split('\n').Where(line => line.StartsWith('|')).Select(Cells).ToArray();
        var devices = rows[0][1..];
        Assert.Equal(["`cpu`", "`sim`", "`opencl`", "`cuda`"], devices);
        var built = typeof(IDevice).Assembly.GetExportedTypes()
            .Where(type => type is { IsClass: true, IsAbstract: false } && type.IsAssignableTo(typeof(IDevice)) && type != typeof(WaitDroppingDevice))
            .Select(type => type.Name);
        var working = devices.Where((_, column) => rows[2..].Any(row => row[column + 1] is not ("" or "–" or "not built"))).Select(device => device.Trim('`') + "Device");
        Assert.Equal(built.Order(), working.Order(), StringComparer.OrdinalIgnoreCase);
        Assert.All(rows[2..], row => Assert.Equal(rows[0].Length, row.Length));
    }

    [Fact]
    public void The_README_names_the_two_commands() =>
        Assert.All(["dotnet run -c Release --project Kvcached.Daemon -- demo\n", "dotnet test -c Release\n"], command => Assert.Contains(command, Read("README.md"), StringComparison.Ordinal));

    [Theory]
    [MemberData(nameof(Commands))]
    public void A_command_that_a_document_names_exists_with_its_options(string project, string name, string options)
    {
        var help = Run(Path.Combine(AppContext.BaseDirectory, $"{project}.dll"), name, "--help");
        var program = project == "Kvcached.Daemon" ? "kvcached" : project;
        Assert.Contains($"{program} {name} [options]", help, StringComparison.Ordinal);
        Assert.All(options.Split(' ', StringSplitOptions.RemoveEmptyEntries), option => Assert.Matches($"{option}\\b", help));
    }

    [Theory]
    [MemberData(nameof(Documents))]
    public void Links_lead_to_files_of_the_repository(string document)
    {
        var folder = Path.GetDirectoryName(Path.Combine(_root, document))!;
        var targets = Link().Matches(Read(document)).Select(match => match.Groups[1].Value).Where(target => !target.Contains("://", StringComparison.Ordinal));
        Assert.All(targets, target => Assert.True(Path.Exists(Path.Combine(folder, target)), $"{document} links to {target}"));
    }

    [Theory]
    [MemberData(nameof(Documents))]
    public void Source_files_that_a_document_names_exist(string document)
    {
        var names = SourcePaths().Select(Path.GetFileName).ToHashSet();
        Assert.All(SourceFile().Matches(Read(document)), match => Assert.Contains(match.Groups[1].Value, names));
    }

    [Fact]
    public void The_architecture_lists_every_class_of_wait()
    {
        var listed = WaitRow().Matches(Between(Read("docs/architecture.md"), "| `WaitReason` |", "\n## ")).Select(match => match.Groups[1].Value);
        Assert.Equal(Enum.GetNames<WaitReason>().Except([nameof(WaitReason.None)]), listed);
    }

    [Fact]
    public void The_simulation_page_lists_every_rule_that_tests_break()
    {
        var listed = RuleRow().Matches(Between(Read("docs/simulation.md"), "| rule broken |", "\n## ")).Select(match => match.Groups[1].Value);
        Assert.Equal(Enum.GetNames<RuleFault>().Except([nameof(RuleFault.None)]), listed);
    }

    [Fact]
    public void The_simulation_page_lists_every_class_of_order_that_tests_drop()
    {
        var listed = OrderCell().Matches(Between(Read("docs/simulation.md"), "## Every order matters", "\n## ")).Select(match => match.Groups[1].Value);
        var dropped = DroppedOrderTests.Orders.Cast<object[]>().Select(row => (string)row[0]);
        Assert.Equal(dropped.Order(), listed.Distinct().Order());
    }

    [Fact]
    public void Names_in_the_architecture_occur_in_the_sources()
    {
        var sources = string.Join('\n', SourcePaths().Where(path => !path.EndsWith("ReadmeTests.cs", StringComparison.Ordinal)).Select(File.ReadAllText));
        var names = CodeName().Matches(Read("docs/architecture.md")).SelectMany(match => match.Groups[1].Value.Split('.')).ToHashSet();
        Assert.All(names, name => Assert.Matches($@"\b{name}\b", sources));
    }

    private static IEnumerable<string> SourcePaths() =>
        Directory.EnumerateFiles(_root, "*.cs", SearchOption.AllDirectories).Where(path => !path.Contains("/obj/", StringComparison.Ordinal));

    private static IEnumerable<string> DocumentPaths =>
        Directory.EnumerateFiles(_root, "*.md").Concat(Directory.EnumerateFiles(Path.Combine(_root, "docs"), "*.md")).Select(path => Path.GetRelativePath(_root, path));

    private static string[] Cells(string row) => [.. row.Trim('|').Split('|').Select(cell => cell.Trim())];

    private static string Read(string document) => File.ReadAllText(Path.Combine(_root, document));

    private static string Between(string text, string begin, string end)
    {
        var from = text.IndexOf(begin, StringComparison.Ordinal);
        Assert.True(from >= 0, $"'{begin.Trim()}' is missing.");
        from += begin.Length;
        var to = text.IndexOf(end, from, StringComparison.Ordinal);
        Assert.True(to >= 0, $"'{end.Trim()}' is missing after '{begin.Trim()}'.");
        return text[from..to];
    }

    private static string FindRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Kvcached.sln")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException($"No folder above {AppContext.BaseDirectory} holds Kvcached.sln.");
        }

        return folder;
    }

    private static string Run(params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        return output;
    }

    [GeneratedRegex(@"dotnet run -c Release --project (?<project>\S+) -- (?<name>[a-z]+)(?<rest>[^\n`]*)")]
    private static partial Regex CommandLine();

    [GeneratedRegex("--[a-z-]+")]
    private static partial Regex OptionName();

    /// <summary>Between a pair of fences: the README has one block of code.</summary>
    [GeneratedRegex("```(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Fence();

    [GeneratedRegex(@"\]\(([^)#\s]+)")]
    private static partial Regex Link();

    [GeneratedRegex(@"^\| `(\w+)` \| [^|]*\| [^|]*\|$", RegexOptions.Multiline)]
    private static partial Regex WaitRow();

    [GeneratedRegex(@"^\| `(\w+)` \|", RegexOptions.Multiline)]
    private static partial Regex RuleRow();

    [GeneratedRegex(@"\| `((?:wait|queue|observed) [^`]+)` ")]
    private static partial Regex OrderCell();

    [GeneratedRegex(@"`([A-Z]\w*(?:\.[A-Z]\w*)?)`")]
    private static partial Regex CodeName();

    [GeneratedRegex(@"`(?:[\w./]*/)?(\w[\w.]*\.cs)`")]
    private static partial Regex SourceFile();
}
