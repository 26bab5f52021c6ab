using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;

namespace Kvcached.Bench.Simulation;

/// <summary><c>simulate</c>: random programs over the whole engine, one for each seed; exit 1 on the first violation.</summary>
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
        var command = new Command("simulate", "Runs random programs over the engine on the simulated device.") { seeds, first, ops, clients, drop, trace };
        command.SetAction(result => Run(result.GetValue(seeds), result.GetValue(first), result.GetValue(ops), result.GetValue(clients), result.GetValue(drop) ?? [], result.GetValue(trace)));
        return command;
    }

    private static int Run(long seeds, long first, int ops, int clients, DroppedOrder[] drop, bool trace)
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
        (ulong Seed, string Message)? violation = null;
        var gate = new Lock();
        using var progress = new Timer(_ => Console.Error.WriteLine($"{Volatile.Read(ref done)} of {seeds} seeds, {Stopwatch.GetElapsedTime(start).TotalSeconds:F0} s"), null, 2000, 2000);
        Parallel.For(0, seeds, new ParallelOptions { MaxDegreeOfParallelism = trace ? 1 : Environment.ProcessorCount }, (i, loop) =>
        {
            var result = SimulationRun.Run(new SimulationOptions { Seed = (ulong)(first + i), Operations = ops, Clients = clients, Dropped = drop, Trace = trace ? Console.Error : null });
            lock (gate)
            {
                total.Add(result.Coverage);
                dropped += result.DroppedWaits;
                implied += result.ImpliedWaits;
                if (result.Violation is { } message && (violation is null || (ulong)(first + i) < violation.Value.Seed))
                {
                    violation = ((ulong)(first + i), message);
                    loop.Break();
                }
            }

            Interlocked.Increment(ref done);
        });
        progress.Change(Timeout.Infinite, Timeout.Infinite);
        if (violation is { } found)
        {
            Console.Error.WriteLine($"seed {found.Seed}: {found.Message}");
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

        Report(total, done, Stopwatch.GetElapsedTime(start).TotalSeconds, violation?.Seed);
        return violation is null && (faults.Count == 0 || drop.Length > 0) ? 0 : 1;
    }

    private static void Report(SimulationCoverage coverage, long seeds, double seconds, ulong? violation)
    {
        using var output = Console.OpenStandardOutput();
        using (var json = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteNumber("seeds", seeds);
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
