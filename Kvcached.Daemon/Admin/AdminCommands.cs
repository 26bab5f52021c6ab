using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json;
using Kvcached.Daemon.Processes;
using Kvcached.Daemon.Serve;
using Kvcached.Protocol;
using Spectre.Console;
using Command = System.CommandLine.Command;

namespace Kvcached.Daemon.Admin;

/// <summary><c>kvcached status</c>, <c>top</c>, <c>limit</c>, <c>compact</c> and <c>trim</c>: what an operator asks of a daemon that runs.</summary>
internal static class AdminCommands
{
    private const int Failed = 1;

    /// <summary>Columns of tables that no terminal shows.</summary>
    private const int FileWidth = 160;

    private static readonly Option<string> Socket = new("--socket")
    {
        Description = "Socket of the daemon.",
        HelpName = "path",
        DefaultValueFactory = _ => ServeSettings.DefaultSocket(),
    };

    private static readonly Option<bool> Json = new("--json") { Description = "Write one JSON object." };

    private static readonly Option<double> Interval = new("--interval")
    {
        Description = "Seconds between looks (default 1).",
        HelpName = "seconds",
        DefaultValueFactory = _ => 1,
    };

    private static readonly Option<int?> Count = new("--count") { Description = "Looks to take; without it, until interrupted.", HelpName = "looks" };

    private static readonly Argument<string> Tenant = new("tenant") { Description = "The tenant's name." };

    private static readonly Option<long?> Max = Size("--max", "Hard limit: what the tenant may hold of the pool at most; none for no limit.");

    private static readonly Option<long?> Min = Size("--min", "Guaranteed minimum: never taken for another tenant.");

    private static readonly Option<int?> Weight = new("--weight") { Description = "Part of what lies between, beside the weights of other active tenants.", HelpName = "number" };

    public static IEnumerable<Command> Create() =>
    [
        Make("status", "Shows what a daemon holds, by tenant and client.", ShowStatus, Json),
        Make("top", "Shows, again and again, what tenants hold and how fast blocks come and go.", ShowTop, Interval, Count),
        Make("limit", "Changes limits of a tenant; what is not named stays.", SetLimits, Tenant, Max, Min, Weight),
        Make("compact", "Has the pool compacted: blocks of sparse segments are moved into fuller ones, while kernels run.", (control, _) => control.Ask<OkMessage>(new CompactMessage())),
        Make("trim", "Compacts the pool, and gives memory above its floor back to the system.", (control, _) => control.Ask<OkMessage>(new TrimMessage())),
    ];

    private static Command Make(string name, string description, Action<ControlClient, ParseResult> act, params ReadOnlySpan<Symbol> symbols)
    {
        var command = new Command(name, description) { Socket };
        foreach (var symbol in symbols)
        {
            if (symbol is Option option)
            {
                command.Add(option);
            }
            else
            {
                command.Add((Argument)symbol);
            }
        }

        command.SetAction(parse => Run(name, parse, act));
        return command;
    }

    private static int Run(string name, ParseResult parse, Action<ControlClient, ParseResult> act)
    {
        try
        {
            using var control = AdminConnection.Open(parse.GetValue(Socket)!);
            if (!AnsiConsole.Profile.Out.IsTerminal)
            {
                AnsiConsole.Profile.Width = FileWidth;
            }

            act(control, parse);
            return 0;
        }
        catch (KvException error)
        {
            Console.Error.WriteLine($"kvcached: {name}: {error.Message}");
            return Failed;
        }
    }

    private static void ShowStatus(ControlClient control, ParseResult parse)
    {
        var status = Read(control);
        if (parse.GetValue(Json))
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(status, ControlJson.Default.DaemonStatus));
            return;
        }

        AnsiConsole.MarkupLineInterpolated($"daemon {status.Pid} on {status.Device}, up {TimeSpan.FromSeconds(Math.Round(status.UptimeSeconds)):c}");
        AnsiConsole.MarkupLineInterpolated($"pool {Mebibytes(status.Totals.ResidentBytes)} of {Mebibytes(status.PoolBytes)} MiB in use, {Mebibytes(status.PoolPhysicalBytes)} MiB of memory; cold {Mebibytes(status.Totals.ColdBytes)} of {Mebibytes(status.ColdCapacityBytes)} MiB");
        AnsiConsole.Write(StatusTables.Tenants(status));
        AnsiConsole.Write(StatusTables.Clients(status));
    }

    private static void ShowTop(ControlClient control, ParseResult parse)
    {
        var interval = TimeSpan.FromSeconds(Math.Clamp(parse.GetValue(Interval), 0.05, 3600));
        var left = parse.GetValue(Count) ?? int.MaxValue;
        var before = Read(control);
        if (!AnsiConsole.Profile.Out.IsTerminal)
        {
            for (; left > 0; left--)
            {
                Thread.Sleep(interval);
                var now = Read(control);
                AnsiConsole.Write(StatusTables.Top(before, now));
                before = now;
            }

            return;
        }

        AnsiConsole.Live(StatusTables.Top(before, before)).Start(display =>
        {
            for (; left > 0; left--)
            {
                Thread.Sleep(interval);
                var now = Read(control);
                display.UpdateTarget(StatusTables.Top(before, now));
                before = now;
            }
        });
    }

    private static void SetLimits(ControlClient control, ParseResult parse)
    {
        var request = new LimitMessage { Tenant = parse.GetValue(Tenant)!, MinBytes = parse.GetValue(Min), MaxBytes = parse.GetValue(Max), Weight = parse.GetValue(Weight) };
        if (request is { MinBytes: null, MaxBytes: null, Weight: null })
        {
            throw new UsageException("limit: name at least one of --max, --min and --weight.");
        }

        control.Ask<OkMessage>(request);
    }

    private static DaemonStatus Read(ControlClient control) => control.Ask<StatusMessage>(new GetStatusMessage()).Status;

    private static long Mebibytes(long bytes) => bytes >> 20;

    private static Option<long?> Size(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "size",
        CustomParser = ReadSize,
    };

    private static long? ReadSize(ArgumentResult result)
    {
        try
        {
            var text = result.Tokens[0].Value;
            return text == "none" ? long.MaxValue : SizeParser.Parse(text);
        }
        catch (UsageException error)
        {
            result.AddError(error.Message);
            return null;
        }
    }
}
