using System.CommandLine;
using System.Text.Json;
using Kvcached.Daemon.Processes;

namespace Kvcached.Bench.Fuzz;

/// <summary><c>fuzz</c>: hostile clients against a real daemon.</summary>
internal static class FuzzCommand
{
    private static readonly Option<long> Messages = new("--messages") { Description = "Control frames and ring records to offer (default 100,000).", DefaultValueFactory = _ => 100_000 };
    private static readonly Option<int> Seed = new("--seed") { Description = "Of all that hostile and honest clients do (default 1).", DefaultValueFactory = _ => 1 };
    private static readonly Option<bool> Json = new("--json") { Description = "Write nothing but the JSON object to stdout; progress goes to stderr." };

    public static Command Create()
    {
        var command = new Command("fuzz", "Hostile clients write what they like to a daemon's socket and into its rings, beside honest ones that must notice nothing.") { Messages, Seed, Json };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parse)
    {
        var progress = parse.GetValue(Json) ? Console.Error : Console.Out;
        try
        {
            var report = new FuzzRun(new FuzzOptions(parse.GetValue(Messages), parse.GetValue(Seed)), progress.WriteLine).Run();
            Console.Out.WriteLine(JsonSerializer.Serialize(report));
            var failures = report.NotAsItMustBe().ToList();
            failures.ForEach(failure => Console.Error.WriteLine($"fuzz: {failure}"));
            return failures.Count == 0 ? 0 : 1;
        }
        catch (Exception error) when (error is DaemonFailedException or InvalidOperationException or KvException)
        {
            Console.Error.WriteLine($"fuzz: {error.Message}");
            return 1;
        }
    }
}
