using System.CommandLine;
using System.Text.Json;
using Kvcached.Daemon.Hardware;
using Kvcached.Daemon.Processes;

namespace Kvcached.Bench.Kill;

/// <summary><c>kill</c>: kills client and daemon processes at any instant, and looks what is left.</summary>
internal static class KillCommand
{
    private static readonly Option<int> Clients = new("--clients") { Description = "Client processes to kill (default 20).", DefaultValueFactory = _ => 20 };
    private static readonly Option<int> Daemons = new("--daemons") { Description = "Daemon processes to kill (default 3).", DefaultValueFactory = _ => 3 };
    private static readonly Option<int> Seed = new("--seed") { Description = "Of instants, and of what clients do (default 1).", DefaultValueFactory = _ => 1 };
    private static readonly Option<DeviceName> Device = DeviceName.Option("Of daemons and clients: cpu (default), opencl or cuda.");
    private static readonly Option<bool> Json = new("--json") { Description = "Write nothing but the JSON object to stdout; progress goes to stderr." };

    public static Command Create()
    {
        var command = new Command("kill", "Kills client processes beside two that must notice nothing, and daemons under clients that must notice at once.") { Clients, Daemons, Seed, Device, Json };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parse)
    {
        var progress = parse.GetValue(Json) ? Console.Error : Console.Out;
        try
        {
            var report = new KillRun(new KillOptions(parse.GetValue(Clients), parse.GetValue(Daemons), parse.GetValue(Seed)) { Device = parse.GetValue(Device).ToString() }, progress.WriteLine).Run();
            Console.Out.WriteLine(JsonSerializer.Serialize(report));
            var failures = report.Failures().ToList();
            failures.ForEach(failure => Console.Error.WriteLine($"kill: {failure}"));
            return failures.Count == 0 ? 0 : 1;
        }
        catch (Exception error) when (error is DaemonFailedException or InvalidOperationException)
        {
            Console.Error.WriteLine($"kill: {error.Message}");
            return 1;
        }
    }
}
