using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Kvcached.Bench.Fragmentation;

/// <summary><c>fragmentation</c>: what scattered blocks pin, before and after compaction. Tables on stderr, JSON on stdout; exit 1 where a goal fails.</summary>
internal static class FragmentationCommand
{
    private static readonly JsonSerializerOptions _json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    public static Command Create()
    {
        var seed = new Option<int>("--seed") { Description = "Seed of the day of churn.", DefaultValueFactory = _ => 1 };
        var plot = new Option<string?>("--plot") { Description = "File for the plot of the day (SVG).", HelpName = "file" };
        var command = new Command("fragmentation", "Measures what scattered blocks pin, before and after compaction.") { seed, plot };
        command.SetAction(result => CanWrite(result.GetValue(plot), Console.Error) ? Run(result.GetValue(seed), result.GetValue(plot), Console.Out, Console.Error) : 2);
        return command;
    }

    /// <summary>Whether the plot can be written, before anything is measured; what there is of the file stays until then.</summary>
    internal static bool CanWrite(string? plot, TextWriter errors)
    {
        try
        {
            if (plot is not null)
            {
                File.Open(plot, FileMode.OpenOrCreate, FileAccess.Write).Dispose();
            }

            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException)
        {
            errors.WriteLine($"--plot {plot}: {exception.Message}");
            return false;
        }
    }

    internal static int Run(int seed, string? plot, TextWriter output, TextWriter tables)
    {
        var start = Stopwatch.GetTimestamp();
        var retained = new List<RetainedRow>();
        tables.WriteLine("stride   held MiB   pinned/held before   after   moved blocks");
        for (var stride = 1; stride <= 16; stride++)
        {
            var row = StrideScenarios.Retain(stride);
            retained.Add(row);
            tables.WriteLine($"{stride,6} {MiB(row.Held),10:F1} {row.RatioBefore,20:F2} {row.RatioAfter,7:F2} {row.MovedBlocks,14:N0}{(row.Holds ? string.Empty : "   fails")}");
        }

        var returned = new List<ReturnedRow>();
        tables.WriteLine();
        tables.WriteLine("stride   before MiB   evicted MiB   returned MiB   held by the system MiB");
        for (var stride = 1; stride <= 8; stride++)
        {
            var row = StrideScenarios.Return(stride);
            returned.Add(row);
            tables.WriteLine($"{stride,6} {MiB(row.Before),12:F1} {MiB(row.Evicted),13:F1} {MiB(row.Returned),14:F1} {MiB(row.HeldBySystem),24:F1}{(row.Holds(returned[0]) ? string.Empty : "   fails")}");
        }

        var order = ScatteredSequences.Run();
        tables.WriteLine();
        tables.WriteLine("order       mean run length   blocks moved   copies a block   evict and reload GB/s   scan GB/s");
        foreach (var row in order)
        {
            tables.WriteLine($"{(row.Restored ? "restored" : "as grown"),-8} {row.MeanRunLength,18:F1} {row.ReorderedBlocks,14:N0} {row.CopiesPerBlock,16:F3} {row.EvictReloadRate,23:F2} {row.ScanRate,11:F2}{(row.Holds ? string.Empty : "   fails")}");
        }

        var day = new DayOfChurn(seed).Run();
        tables.WriteLine();
        tables.WriteLine($"day: {day.Requests:N0} requests, {day.Refused:N0} refused ({day.RefusedWithRoom:N0} with room), {MiB(day.WrittenBytes):N0} MiB written, {day.MovedFraction:P2} of that moved{(day.Holds ? string.Empty : "   fails")}");
        if (plot is not null)
        {
            File.WriteAllText(plot, DayPlot.Svg(day.Samples));
        }

        var holds = retained.TrueForAll(row => row.Holds) && returned.TrueForAll(row => row.Holds(returned[0])) && order.All(row => row.Holds) && day.Holds;
        output.WriteLine(JsonSerializer.Serialize(new
        {
            ElapsedS = Math.Round(Stopwatch.GetElapsedTime(start).TotalSeconds, 1),
            Retained = retained,
            Returned = returned.Select(row => new { row.Stride, row.Before, row.Evicted, row.Returned, row.HeldBySystem, row.Floor, row.Mismatched, Holds = row.Holds(returned[0]) }),
            Order = order,
            Day = new { Seed = seed, day.Requests, day.Refused, day.RefusedWithRoom, day.WrittenBytes, day.MovedBytes, day.MovedFraction, day.Holds },
            Holds = holds,
        }, _json));
        return holds ? 0 : 1;
    }

    private static double MiB(long bytes) => bytes / 1048576.0;
}
