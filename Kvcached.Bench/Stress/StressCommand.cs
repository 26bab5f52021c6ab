using System.CommandLine;
using System.Text.Json;
using Kvcached.Daemon.Processes;

namespace Kvcached.Bench.Stress;

/// <summary><c>stress</c>: real processes on one daemon, and everything that can happen to them at once.</summary>
internal static class StressCommand
{
    private static readonly Option<double> Minutes = new("--minutes") { Description = "How long (default 1).", DefaultValueFactory = _ => 1 };
    private static readonly Option<int> Processes = new("--processes") { Description = "Client processes, each a tenant (default 4).", DefaultValueFactory = _ => 4 };
    private static readonly Option<int> Seed = new("--seed") { Description = "Of what happens (default 1).", DefaultValueFactory = _ => 1 };
    private static readonly Option<bool> Json = new("--json") { Description = "Write nothing but the JSON object to stdout; progress goes to stderr." };

    public static Command Create()
    {
        var command = new Command("stress", "Real client processes churn on one daemon while limits change, the pool is compacted and trimmed, and clients are stopped and killed.") { Minutes, Processes, Seed, Json };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parse)
    {
        var progress = parse.GetValue(Json) ? Console.Error : Console.Out;
        var said = 0L;
        try
        {
            var report = new StressRun(TimeSpan.FromMinutes(parse.GetValue(Minutes)), parse.GetValue(Processes), parse.GetValue(Seed), Say).Run();
            Console.Out.WriteLine(JsonSerializer.Serialize(report));
            var failures = report.Failures().ToList();
            failures.ForEach(failure => Console.Error.WriteLine($"stress: {failure}"));
            return failures.Count == 0 ? 0 : 1;
        }
        catch (Exception error) when (error is DaemonFailedException or InvalidOperationException or KvException)
        {
            Console.Error.WriteLine($"stress: {error.Message}");
            return 1;
        }

        void Say(string line)
        {
            var now = Environment.TickCount64;
            if (now - said > 5000)
            {
                said = now;
                progress.WriteLine(line);
            }
        }
    }
}
