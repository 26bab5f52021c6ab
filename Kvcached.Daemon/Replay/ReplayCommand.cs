using System.CommandLine;
using System.Diagnostics;
using Kvcached.Daemon.Hardware;
using Kvcached.Daemon.Processes;
using Kvcached.Devices;
using Kvcached.Devices.OpenCl;
using Spectre.Console;

namespace Kvcached.Daemon.Replay;

/// <summary><c>kvcached replay</c>: replays a request trace on a pool that is too small for it and verifies every byte that its steps read.</summary>
internal static class ReplayCommand
{
    private const int Failed = 1;

    private static readonly Option<string?> Trace = new("--trace") { Description = "Trace to replay: an Azure CSV or a Mooncake JSONL file, told apart by content. Without it a workload like Azure's is generated.", HelpName = "file" };
    private static readonly Option<int> Requests = new("--requests") { Description = $"Requests to replay (default: all of the trace, or {ReplayOptions.DefaultGeneratedRequests} generated ones).", HelpName = "n" };
    private static readonly Option<PoolSize?> Pool = PoolSize.Option($"Device memory for blocks, multiples of 2MiB: grows and shrinks between floor and ceiling, or keeps the one size given (default {ReplayOptions.DefaultPool}).");
    private static readonly Option<string?> Cold = new("--cold") { Description = "Host memory for cold copies, a multiple of 2MiB (default: what the largest requests that can be live together need).", HelpName = "size" };
    private static readonly Option<string> Layout = new("--layout") { Description = "Bytes per token and tokens per block.", HelpName = "bytesxtokens", DefaultValueFactory = _ => ReplayLayout.Default.ToString() };
    private static readonly Option<string> Speed = new("--speed") { Description = "How many times faster than in the trace requests arrive, or max: all at once.", HelpName = "x|max", DefaultValueFactory = _ => "max" };
    private static readonly Option<int> Active = new("--active") { Description = "Live requests (default: three times what the pool holds).", HelpName = "n" };
    private static readonly Option<int> Seed = new("--seed") { Description = "Seed of the generated workload and of the truncations.", HelpName = "n", DefaultValueFactory = _ => 1 };
    private static readonly Option<bool> FlipBit = new("--flip-bit") { Description = "Flip one bit of cold memory: the run must notice, and exits 1." };
    private static readonly Option<int> Processes = new("--processes") { Description = $"Deal the requests out to this many client processes of one daemon (1 to {ReplayOptions.MaxProcesses}). Not with --flip-bit.", HelpName = "n" };
    private static readonly Option<DeviceName> Device = DeviceName.Option("Run on this device: cpu (default), opencl, cuda or auto; see 'kvcached devices'.");
    private static readonly Option<bool> Json = new("--json") { Description = "Write nothing but the JSON line to standard output." };

    /// <summary>The command.</summary>
    public static System.CommandLine.Command Create()
    {
        var command = new System.CommandLine.Command("replay", "Replays a request trace on a pool that is too small for it, and verifies every byte that its steps read.")
        {
            Trace, Device, Requests, Pool, Cold, Layout, Speed, Active, Seed, FlipBit, Processes, Json,
        };
        command.SetAction(parse => Execute(ReadOptions(parse), parse.GetValue(Json), Console.Out, Console.Error));
        return command;
    }

    /// <summary>Runs a replay and writes its report.</summary>
    /// <returns>0 if every request was served and every granule verified; 1 otherwise, and whenever a bit was to be flipped.</returns>
    /// <exception cref="UsageException">An option or the trace cannot be used.</exception>
    public static int Execute(ReplayOptions options, bool json, TextWriter output, TextWriter errors)
    {
        var started = Stopwatch.GetTimestamp();
        options.Validate();
        try
        {
            options = options with { Device = DeviceName.Parse(options.Device)!.Value.Resolve().ToString() };
            var requests = ReadRequests(options);
            var report = options.Processes > 0 ? RunServed(options, requests) : RunEmbedded(options, requests);
            report = report with { ElapsedSeconds = Math.Round(Stopwatch.GetElapsedTime(started).TotalSeconds, 3) };
            return Conclude(options, json, report, output, errors);
        }
        catch (Exception error) when (error is TraceException or KvException or DeviceUnavailableException or OpenClBuildException or OutOfDeviceMemoryException)
        {
            throw new UsageException($"replay: {error.Message}", error);
        }
        catch (Exception error) when (error is ReplayStalledException or ReplayClientException or DaemonFailedException or DeviceLostException or DeviceCallException)
        {
            errors.WriteLine($"kvcached: replay: {error.Message}");
            return Failed;
        }
    }

    private static ReplayReport RunEmbedded(ReplayOptions options, TraceRequest[] requests)
    {
        var plan = ReplayPlan.Create(options, requests);
        using var device = new ColdMemoryTap(DeviceName.Parse(options.Device)!.Value.Open(DeviceKernels.None));
        using var run = new ReplayRun(device, plan, options);
        return WithProgress(plan.Requests.Length, plan.Active, plan.TotalTokens, run.Run);
    }

    private static ReplayReport RunServed(ReplayOptions options, TraceRequest[] requests)
    {
        if (requests.Length < options.Processes)
        {
            throw new UsageException($"--processes: {options.Processes}; there are {requests.Length} requests to deal out.");
        }

        var run = new ServedReplay(options, requests);
        return WithProgress(requests.Length, run.Active, run.TotalTokens, run.Run);
    }

    private static ReplayOptions ReadOptions(ParseResult parse)
    {
        return new ReplayOptions
        {
            TracePath = parse.GetValue(Trace),
            Device = parse.GetValue(Device).ToString(),
            Requests = ReadCount(parse, Requests, ReplayOptions.MaxRequests),
            Pool = parse.GetValue(Pool) ?? ReplayOptions.DefaultPool,
            ColdBytes = ReadCold(parse.GetValue(Cold)),
            Layout = ReplayLayout.Parse(parse.GetValue(Layout)!),
            Speed = ReplayOptions.ParseSpeed(parse.GetValue(Speed)!),
            Active = ReadCount(parse, Active, ReplayOptions.MaxActive),
            Seed = parse.GetValue(Seed),
            FlipBit = parse.GetValue(FlipBit),
            Processes = ReadCount(parse, Processes, ReplayOptions.MaxProcesses),
        };
    }

    private static long ReadCold(string? text)
    {
        if (text is null)
        {
            return 0;
        }

        return SizeParser.Parse(text) is > 0 and var bytes
            ? bytes
            : throw new UsageException($"--cold: {text}; a replay evicts, so it must be at least {SizeParser.Format(ReplayOptions.UnitBytes)}.");
    }

    /// <summary>Reads a count: 0, which asks for the default, only where the option is not given.</summary>
    private static int ReadCount(ParseResult parse, Option<int> option, int max)
    {
        if (parse.GetResult(option) is null)
        {
            return 0;
        }

        var value = parse.GetValue(option);
        return value >= 1 && value <= max
            ? value
            : throw new UsageException($"{option.Name}: {value}; it must be between 1 and {max}.");
    }

    /// <summary>The workload that options ask for.</summary>
    internal static TraceRequest[] ReadRequests(ReplayOptions options)
    {
        if (options.TracePath is { } path)
        {
            return [.. TraceReader.Read(path, options.Requests > 0 ? options.Requests : ReplayOptions.MaxRequests)];
        }

        return [.. GeneratedWorkload.Generate(options.Requests > 0 ? options.Requests : ReplayOptions.DefaultGeneratedRequests, options.Seed)];
    }

    /// <summary>Shows on standard error how far the run is: a bar where people look at it, else a line now and then.</summary>
    private static ReplayReport WithProgress(int requests, int active, long totalTokens, Func<Action<long>?, ReplayReport> run)
    {
        if (Console.IsErrorRedirected)
        {
            var next = TimeSpan.FromSeconds(5);
            var started = Stopwatch.GetTimestamp();
            return run(tokens =>
            {
                var elapsed = Stopwatch.GetElapsedTime(started);
                if (elapsed >= next)
                {
                    Console.Error.WriteLine($"replay: {tokens * 100 / totalTokens} % of {totalTokens} tokens, {elapsed.TotalSeconds:F0} s");
                    next = elapsed + TimeSpan.FromSeconds(5);
                }
            });
        }

        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        return console.Progress().AutoClear(true).Start(context =>
        {
            var task = context.AddTask($"{requests} requests, {active} live", maxValue: totalTokens);
            return run(tokens => task.Value = tokens);
        });
    }

    private static int Conclude(ReplayOptions options, bool json, ReplayReport report, TextWriter output, TextWriter errors)
    {
        if (!json)
        {
            report.WriteTo(output);
        }

        output.WriteLine(report.ToJson());
        if (options.FlipBit)
        {
            errors.WriteLine(report.Flipped is { } flipped ? $"kvcached: replay: flipped {flipped}." : "kvcached: replay: no request was evicted whole, so no bit was flipped.");
        }

        if (report.EvictedBlocks == 0)
        {
            errors.WriteLine("kvcached: replay: nothing was evicted: the pool holds all that was live. A smaller --pool, or a larger --active, shows more.");
        }

        foreach (var complaint in report.Complaints())
        {
            errors.WriteLine($"kvcached: replay: {complaint}");
        }

        return report.Holds && !options.FlipBit ? 0 : Failed;
    }
}
