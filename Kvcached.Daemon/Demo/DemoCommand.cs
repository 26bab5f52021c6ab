using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Kvcached.Daemon.Demo.Served;
using Kvcached.Daemon.Hardware;
using Kvcached.Daemon.Processes;
using Kvcached.Devices;
using Kvcached.Devices.OpenCl;
using Spectre.Console;
using Command = System.CommandLine.Command;

namespace Kvcached.Daemon.Demo;

/// <summary><c>kvcached demo</c>: a transformer decodes on a pool a third of what its KV cache needs.</summary>
internal static class DemoCommand
{
    private const int Failed = 1;

    private static readonly Option<string?> Text = new("--text")
    {
        Description = "Cut prompts from this file (default: the repository's documents).",
        HelpName = "file",
    };

    private static readonly Option<bool> Json = new("--json")
    {
        Description = "Write nothing but the JSON object to stdout; progress goes to stderr.",
    };

    private static readonly Option<int> Seed = Count("--seed", "Seed of weights, workload and policy", 1, 0, int.MaxValue);

    private static readonly Option<int> Models = Count("--models", "Models that share the pool; two have half of the sequences each", 1, 1, 2);

    private static readonly Option<int?> Processes = new("--processes")
    {
        Description = $"Serve this many models, a process each, by a daemon (1 to {ModelShape.Variants.Count}). Not with --pool, --models or --contiguous-windows.",
        HelpName = "count",
        CustomParser = result => ParseCount(result, "--processes", 1, ModelShape.Variants.Count),
    };

    private static readonly Option<int> Sequences = Count("--sequences", "Sequences that live at a time", 64, 64, 1024);

    private static readonly Option<int> Generate = Count("--generate", "Tokens that most requests generate", 64, 48, 192);

    private static readonly Option<PoolSize?> Pool = PoolSize.Option("Device memory for blocks, multiples of 2MiB: grows and shrinks between floor and ceiling, or keeps the one size given (default: a third of what the sequences need).");

    private static readonly Option<bool> ContiguousWindows = new("--contiguous-windows")
    {
        Description = "Run the contiguous kernels, which know of no table, on windows of the pool instead. Not with --pool or --models.",
    };

    private static readonly Option<DeviceName> Device = DeviceName.Option("Run on this device: cpu (default), opencl, cuda or auto; see 'kvcached devices'.");

    public static Command Create()
    {
        var command = new Command("demo", "Decodes with a transformer on a pool a third of what its KV cache needs, and compares every token with runs that never evict.")
        {
            Text, Json, Device, Seed, Models, Processes, Sequences, Generate, Pool, ContiguousWindows,
        };
        command.SetAction(parse => Run(parse));
        return command;
    }

    /// <summary>Runs a command of the demo, and says what kept it from its end.</summary>
    internal static int Guard(Func<int> run)
    {
        try
        {
            return run();
        }
        catch (Exception error) when (error is DemoFailedException or DaemonFailedException or KvException or DeviceLostException or DeviceCallException or OutOfDeviceMemoryException or TimeoutException)
        {
            Console.Error.WriteLine($"kvcached: demo: {error.Message}");
            return Failed;
        }
        catch (Exception error) when (error is DeviceUnavailableException or OpenClBuildException)
        {
            throw new UsageException($"demo: {error.Message}", error);
        }
    }

    private static int Run(ParseResult parse)
    {
        var text = parse.GetValue(Text) is { } path ? DemoText.Read(path) : DemoText.Documents();
        var models = parse.GetValue(Models);
        var processes = parse.GetValue(Processes);
        var options = new DemoOptions
        {
            Text = text,
            Device = parse.GetValue(Device),
            Pool = parse.GetValue(Pool),
            SecondModel = models == 1 ? null : ModelShape.Second,
            HasWindows = parse.GetValue(ContiguousWindows),
            Workload = new WorkloadOptions
            {
                Seed = parse.GetValue(Seed),
                Live = parse.GetValue(Sequences) / (processes ?? models),
                Generate = parse.GetValue(Generate),
            },
        };
        if (processes is not null && (options.Pool is not null || options.SecondModel is not null || options.HasWindows))
        {
            throw new UsageException("--processes serves models of its own on a pool of a third of what they need; leave --pool, --models and --contiguous-windows out.");
        }

        var json = parse.GetValue(Json);
        return Guard(() => processes is { } count ? RunServed(count, options, json) : options.HasWindows ? RunOnWindows(options, json) : Run(options, json));
    }

    private static int Run(DemoOptions options, bool json)
    {
        var report = ShowOnDevice(options, json, (device, display) => new DemoRunner(device, options, display).Run());
        return Report(report.ToJson(), report.Failures(DemoTargets.Of(options)));
    }

    private static int RunOnWindows(DemoOptions options, bool json)
    {
        if (options.Pool is not null || options.SecondModel is not null)
        {
            throw new UsageException("--contiguous-windows runs one model on a pool of a third of what its sequences need; leave --pool and --models out.");
        }

        var report = ShowOnDevice(options, json, (device, display) => new WindowsRunner(device, options, display).Run());
        return Report(report.ToJson(), report.Failures());
    }

    private static int RunServed(int processes, DemoOptions options, bool json)
    {
        var report = Show(json, display => new ServedRunner([.. ModelShape.Variants.Take(processes)], options with { Device = options.Device.Resolve() }, display).Run());
        return Report(report.ToJson(), report.Failures());
    }

    private static TReport ShowOnDevice<TReport>(DemoOptions options, bool json, Func<IDevice, IDemoDisplay, TReport> run)
    {
        using var device = options.Device.Open(Transformer.Kernels);
        return Show(json, display => run(device, display));
    }

    private static TReport Show<TReport>(bool json, Func<IDemoDisplay, TReport> run)
    {
        var output = json ? Console.Error : Console.Out;
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
        if (!console.Profile.Out.IsTerminal || console.Profile.Width < TableDisplay.MinWidth)
        {
            return run(new LineDisplay(output));
        }

        var report = default(TReport);
        TableDisplay.Run(console, display => report = run(display));
        return report!;
    }

    private static int Report(string json, IReadOnlyList<string> failures)
    {
        Console.Out.WriteLine(json);
        foreach (var failure in failures)
        {
            Console.Error.WriteLine($"kvcached: demo: {failure}");
        }

        return failures.Count == 0 ? 0 : Failed;
    }

    private static Option<int> Count(string name, string description, int fallback, int least, int most) => new(name)
    {
        Description = $"{description} ({least} to {most}; default {fallback}).",
        HelpName = "count",
        DefaultValueFactory = _ => fallback,
        CustomParser = result => ParseCount(result, name, least, most),
    };

    private static int ParseCount(ArgumentResult result, string name, int least, int most)
    {
        var text = result.Tokens[0].Value;
        if (!int.TryParse(text, CultureInfo.InvariantCulture, out var value) || value < least || value > most)
        {
            result.AddError($"{name} is {text}; it must be between {least} and {most}.");
        }

        return value;
    }
}
