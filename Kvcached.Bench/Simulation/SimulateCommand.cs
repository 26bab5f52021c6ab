using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;

namespace Kvcached.Bench.Simulation;

/// <summary><c>simulate</c>: random programs over the whole engine, one for each seed. Exit 0 if all pass, 1 on the first violation, 3 if none but some were inconclusive.</summary>
internal static class SimulateCommand
{
    public static Command Create()
    {
        var seeds = new Option<long>("--seeds") { Description = "Programs to run, each from a seed of its own.", DefaultValueFactory = _ => 100 };
        var first = new Option<long>("--first") { Description = "First seed.", DefaultValueFactory = _ => 1 };
        var ops = new Option<int>("--ops") { Description = "Operations of a program.", DefaultValueFactory = _ => 2000 };
        var clients = new Option<int>("--clients") { Description = "Clients that share the pool.", DefaultValueFactory = _ => 3 };
        var drop = new Option<DroppedOrder[]>("--drop")
        {
            Description = "Class of order that is dropped, to see it noticed: \"wait CopyOutAfterWriter\", \"queue lane in: lane In before lane Begin\", \"observed lane End\" (docs/simulation.md).",
            HelpName = "order",
            CustomParser = result =>
            {
                try
                {
                    return [.. result.Tokens.Select(token => DroppedOrder.Parse(token.Value))];
                }
                catch (FormatException exception)
                {
                    result.AddError(exception.Message);
                    return [];
                }
            },
        };
        var trace = new Option<bool>("--trace") { Description = "Print every submission and slice of the programs." };
        var shrink = new Option<bool>("--shrink") { Description = "Make the program that shows a violation as small as it still shows it, and print its operations." };
        var program = new Option<SimulatedProgram?>("--program")
        {
            Description = "File with a program, as --shrink prints it: runs that one, in the open.",
            HelpName = "file",
            CustomParser = result =>
            {
                try
                {
                    return SimulatedProgram.Parse(File.ReadAllText(result.Tokens[0].Value));
                }
                catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException or JsonException)
                {
                    result.AddError($"--program {result.Tokens[0].Value}: {exception.Message}");
                    return null;
                }
            },
        };
        var command = new Command("simulate", "Runs random programs over the engine on the simulated device.") { seeds, first, ops, clients, drop, trace, shrink, program };
        command.SetAction(result => result.GetValue(program) is { } one
            ? RunOne(one, new RunOptions { Dropped = result.GetValue(drop) ?? [], Trace = result.GetValue(trace) ? Console.Error : null })
            : Run(result.GetValue(seeds), result.GetValue(first), result.GetValue(ops), result.GetValue(clients), result.GetValue(drop) ?? [], result.GetValue(trace), result.GetValue(shrink)));
        return command;
    }

    private static int Run(long seeds, long first, int ops, int clients, DroppedOrder[] drop, bool trace, bool shrink)
    {
        foreach (var (name, value, min, max) in ((string, long, long, long)[])[("--seeds", seeds, 1, long.MaxValue), ("--first", first, 0, long.MaxValue - seeds), ("--ops", ops, 1, 100_000_000), ("--clients", clients, 1, 8)])
        {
            if (value < min || value > max)
            {
                Console.Error.WriteLine($"{name} is {value}; it must be {min} to {max}.");
                return 2;
            }
        }

        var total = new SimulationCoverage();
        var start = Stopwatch.GetTimestamp();
        var done = 0L;
        long dropped = 0, implied = 0;
        long passed = 0, inconclusive = 0;
        var traceHash = 0UL;
        (SimulationOptions Options, SimulationResult Result)? violation = null;
        var gate = new Lock();
        using var progress = new Timer(_ => Console.Error.WriteLine($"{Volatile.Read(ref done)} of {seeds} seeds, {Stopwatch.GetElapsedTime(start).TotalSeconds:F0} s"), null, 2000, 2000);
        Parallel.For(0, seeds, new ParallelOptions { MaxDegreeOfParallelism = trace ? 1 : Environment.ProcessorCount }, (i, loop) =>
        {
            var options = new SimulationOptions { Seed = (ulong)(first + i), Operations = ops, Clients = clients, Dropped = drop, Trace = trace ? Console.Error : null };
            var result = SimulationRun.Run(options);
            lock (gate)
            {
                total.Add(result.Coverage);
                dropped += result.DroppedWaits;
                implied += result.ImpliedWaits;
                traceHash += result.TraceHash;
                passed += result.Outcome == SimulationOutcome.Pass ? 1 : 0;
                inconclusive += result.Outcome == SimulationOutcome.Inconclusive ? 1 : 0;
                if (result.Inconclusive is { } reason && result.Violation is null && inconclusive <= 10)
                {
                    Console.Error.WriteLine($"seed {options.Seed}: inconclusive: {reason}");
                }

                if (result.Violation is not null && (violation is null || options.Seed < violation.Value.Options.Seed))
                {
                    violation = (options, result);
                    loop.Break();
                }
            }

            Interlocked.Increment(ref done);
        });
        progress.Change(Timeout.Infinite, Timeout.Infinite);
        if (violation is { } found)
        {
            Console.Error.WriteLine($"seed {found.Options.Seed}: {found.Result.Violation}");
            if (shrink)
            {
                Shrink(found.Options, found.Result);
            }
        }

        if (DroppedOrder.WaitsOf(drop) != 0)
        {
            Console.Error.WriteLine($"{dropped} waits dropped, {implied} of them implied by waits that stayed");
        }

        CoverageTable.Write(total, Console.Error);
        var faults = CoverageTable.Faults(total, total.Planned);
        foreach (var fault in faults)
        {
            Console.Error.WriteLine(fault);
        }

        Report(total, done, Stopwatch.GetElapsedTime(start).TotalSeconds, passed, inconclusive, traceHash, violation?.Options.Seed);
        return ExitOf(violation is not null || (faults.Count > 0 && drop.Length == 0) ? SimulationOutcome.Violation : inconclusive > 0 ? SimulationOutcome.Inconclusive : SimulationOutcome.Pass);
    }

    private static void Shrink(SimulationOptions options, SimulationResult result)
    {
        var program = SimulatedProgram.Draw(options.Seed, options.Operations, options.Clients).Cut(result.ReadOperations);
        options = options with { Trace = null };
        var small = ProgramShrinker.Shrink(program, smaller => SimulationRun.Run(smaller, options).ViolationKind == result.ViolationKind);
        Console.Error.WriteLine($"\nthe first {result.ReadOperations} operations of the program, shrunk to {small.Operations.Count()}:");
        RunOne(small, options);
        Console.Error.WriteLine($"for --program: {small.ToJson()}\n");
    }

    /// <summary>Runs a program in the open.</summary>
    private static int RunOne(SimulatedProgram program, RunOptions options)
    {
        var result = SimulationRun.Run(program, options with { Log = Console.Error });
        Console.Error.WriteLine($"\n{result.Outcome}{(result.Violation ?? result.Inconclusive) switch { null => string.Empty, var why => $": {why}" }}");
        return ExitOf(result.Outcome);
    }

    private static int ExitOf(SimulationOutcome outcome) => outcome switch { SimulationOutcome.Pass => 0, SimulationOutcome.Violation => 1, _ => 3 };

    private static void Report(SimulationCoverage coverage, long seeds, double seconds, long passed, long inconclusive, ulong traceHash, ulong? violation)
    {
        using var output = Console.OpenStandardOutput();
        using (var json = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteNumber("seeds", seeds);
            json.WriteNumber("passed", passed);
            json.WriteNumber("inconclusive", inconclusive);
            json.WriteString("trace_hash", $"0x{traceHash:X16}");
            json.WriteNumber("elapsed_s", Math.Round(seconds, 2));
            json.WriteNumber("operations", coverage.Planned);
            json.WriteNumber("operations_per_s", Math.Round(coverage.Planned / seconds));
            json.WriteNumber("refused", coverage.RefusedSteps);
            json.WriteNumber("refused_fraction", Math.Round((double)coverage.RefusedSteps / Math.Max(1, coverage.Planned + coverage.RefusedSteps), 4));
            json.WriteNumber("busy_then_accepted", coverage.BusySteps);
            json.WriteNumber("too_many_steps", coverage.TooManySteps);
            json.WriteNumber("cleaned_blocks", coverage.Cleaned);
            json.WriteNumber("evicted_blocks", coverage.Evicted);
            json.WriteNumber("reloaded_blocks", coverage.Reloaded);
            json.WriteNumber("moved_blocks", coverage.Moved);
            json.WriteNumber("compacted_blocks", coverage.Compacted);
            json.WriteNumber("reordered_blocks", coverage.Reordered);
            json.WriteNumber("scrubbed_bytes", coverage.ScrubbedBytes);
            json.WriteNumber("over_quota", coverage.OverQuotaSteps);
            json.WriteNumber("trimmed_units", coverage.TrimmedUnits);
            json.WriteNumber("grown_units", coverage.GrownUnits);
            json.WriteNumber("grown_again_units", coverage.GrownAgainUnits);
            json.WriteNumber("arrivals", coverage.Arrivals);
            json.WriteNumber("refusals", coverage.Refusals);
            WriteWindows(json, coverage);
            WriteDeaths(json, coverage);
            WriteMix(json, coverage);
            WriteCoverage(json, coverage);
            if (violation is { } seed)
            {
                json.WriteNumber("violating_seed", seed);
            }

            json.WriteEndObject();
        }

        output.WriteByte((byte)'\n');
    }

    private static void WriteWindows(Utf8JsonWriter json, SimulationCoverage coverage)
    {
        json.WriteStartObject("windows");
        foreach (var what in Enum.GetValues<WindowEvent>())
        {
            json.WriteNumber(what.ToString(), coverage.Windows(what));
        }

        json.WriteEndObject();
    }

    private static void WriteDeaths(Utf8JsonWriter json, SimulationCoverage coverage)
    {
        json.WriteStartObject("deaths");
        foreach (var what in Enum.GetValues<DeathEvent>())
        {
            json.WriteNumber(what.ToString(), coverage.Deaths(what));
        }

        json.WriteEndObject();
    }

    private static void WriteMix(Utf8JsonWriter json, SimulationCoverage coverage)
    {
        json.WriteStartObject("mix");
        foreach (var command in Enum.GetValues<SimulatedCommand>())
        {
            json.WriteNumber(command.ToString(), coverage.Operations(command));
        }

        json.WriteEndObject();
    }

    private static void WriteCoverage(Utf8JsonWriter json, SimulationCoverage coverage)
    {
        json.WriteStartObject("coverage");
        foreach (var command in Enum.GetValues<SimulatedCommand>())
        {
            json.WriteStartObject(command.ToString());
            foreach (var state in Enum.GetValues<BlockCondition>())
            {
                json.WriteStartArray(state.ToString());
                json.WriteNumberValue(coverage.Met(command, state, isLive: false));
                json.WriteNumberValue(coverage.Met(command, state, isLive: true));
                json.WriteEndArray();
            }

            json.WriteEndObject();
        }

        json.WriteEndObject();
    }
}
