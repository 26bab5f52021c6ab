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

    private static readonly Option<string?> Socket = new("--socket")
    {
        Description = $"Socket of the daemon (default: ${ServeSettings.Prefix}Socket, else kvcached.sock in $XDG_RUNTIME_DIR, or in the folder for temporary files).",
        HelpName = "path",
    };

    private static readonly Option<bool> Json = new("--json") { Description = "Write one JSON object." };

    private static readonly Option<double?> Interval = Value<double>(
        "--interval", "seconds", "Seconds between looks (default 1).", text => ServeSettings.ReadNumber(text) is >= 0.05 and <= 3600 and var seconds ? seconds : null, "a number of seconds, 0.05 to 3600");

    private static readonly Option<int?> Count = Value<int>("--count", "looks", "Looks to take; without it, until interrupted.", ServeSettings.ReadCount, "a whole number, 1 or more");

    private static readonly Argument<string> Tenant = new("tenant") { Description = "The tenant's name." };

    private static readonly Option<long?> Max = Size("--max", "Hard limit: what the tenant may hold of the pool at most; none for no limit.", none: long.MaxValue);

    private static readonly Option<long?> Min = Size("--min", "Guaranteed minimum: never taken for another tenant; none for no minimum.", none: 0);

    private static readonly Option<int?> Weight = Value<int>(
        "--weight", "number", "Part of what lies between, beside the weights of other active tenants.", ServeSettings.ReadCount, "a whole number, 1 or more");

    public static IEnumerable<Command> Create() =>
    [
        Make("status", "Shows what a daemon holds, by tenant and client.", ShowStatus, Json),
        Make("top", "Shows, again and again, what tenants hold and how fast blocks come and go.", ShowTop, Interval, Count),
        MakeLimit(),
        Make("compact", "Has the pool compacted: blocks of sparse segments are moved into fuller ones, while kernels run.", (control, _, _) => control.Ask<OkMessage>(new CompactMessage())),
        Make("trim", "Compacts the pool, and gives memory above its floor back to the system.", (control, _, _) => control.Ask<OkMessage>(new TrimMessage())),
    ];

    private static Command Make(string name, string description, Action<ControlClient, ParseResult, AdminOutput> act, params ReadOnlySpan<Symbol> symbols)
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

    private static Command MakeLimit()
    {
        var command = Make("limit", "Changes limits of a tenant; what is not named stays.", SetLimits, Tenant, Max, Min, Weight);
        command.Validators.Add(result =>
        {
            if (result.GetResult(Max) is null && result.GetResult(Min) is null && result.GetResult(Weight) is null)
            {
                result.AddError("limit: name at least one of --max, --min and --weight.");
            }
        });
        return command;
    }

    private static int Run(string name, ParseResult parse, Action<ControlClient, ParseResult, AdminOutput> act)
    {
        var socket = ServeSettings.FindSocket(parse.GetValue(Socket), Environment.GetEnvironmentVariables());
        try
        {
            using var control = AdminConnection.Open(socket);
            var output = new AdminOutput();
            act(control, parse, output);
            output.Flush();
            return 0;
        }
        catch (KvException error)
        {
            Console.Error.WriteLine(Printable.Escape($"kvcached: {name}: {error.Message}"));
            return Failed;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            if (AdminOutput.IsUnread(error))
            {
                return 0;
            }

            Console.Error.WriteLine(Printable.Escape($"kvcached: {name}: Cannot write to standard output: {error.Message}"));
            return Failed;
        }
    }

    private static void ShowStatus(ControlClient control, ParseResult parse, AdminOutput output)
    {
        var status = Read(control);
        if (parse.GetValue(Json))
        {
            output.Text.WriteLine(JsonSerializer.Serialize(status, ControlJson.Default.DaemonStatus));
            return;
        }

        output.Tables.MarkupLineInterpolated($"daemon {status.Pid} on {status.Device}, up {TimeSpan.FromSeconds(Math.Round(status.UptimeSeconds)):c}");
        output.Tables.MarkupLineInterpolated($"pool {Mebibytes(status.Totals.ResidentBytes)} of {Mebibytes(status.PoolBytes)} MiB in use, {Mebibytes(status.PoolPhysicalBytes)} MiB of memory; cold {Mebibytes(status.Totals.ColdBytes)} of {Mebibytes(status.ColdCapacityBytes)} MiB");
        output.Tables.Write(StatusTables.Tenants(status));
        output.Tables.Write(StatusTables.Clients(status));
    }

    private static void ShowTop(ControlClient control, ParseResult parse, AdminOutput output)
    {
        var interval = TimeSpan.FromSeconds(parse.GetValue(Interval) ?? 1);
        var left = parse.GetValue(Count) ?? int.MaxValue;
        var before = Read(control);
        if (!output.IsTerminal)
        {
            for (; left > 0; left--)
            {
                Thread.Sleep(interval);
                var now = Read(control);
                output.Tables.Write(StatusTables.Top(before, now));
                output.Flush();
                before = now;
            }

            return;
        }

        output.Tables.Live(StatusTables.Top(before, before)).Start(display =>
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

    private static void SetLimits(ControlClient control, ParseResult parse, AdminOutput output)
    {
        var request = new LimitMessage { Tenant = parse.GetValue(Tenant)!, MinBytes = parse.GetValue(Min), MaxBytes = parse.GetValue(Max), Weight = parse.GetValue(Weight) };
        var isNew = !Array.Exists(Read(control).Tenants, tenant => tenant.Name == request.Tenant);
        control.Ask<OkMessage>(request);
        if (Array.Find(Read(control).Tenants, tenant => tenant.Name == request.Tenant) is { } now)
        {
            var max = now.MaxBytes is { } bytes ? SizeParser.Format(bytes) : "none";
            output.Text.WriteLine(Printable.Escape($"tenant {now.Name}{(isNew ? ", which is new" : string.Empty)}: minimum {SizeParser.Format(now.MinBytes)}, maximum {max}, weight {now.Weight}"));
        }
    }

    private static DaemonStatus Read(ControlClient control) => control.Ask<StatusMessage>(new GetStatusMessage()).Status;

    private static long Mebibytes(long bytes) => bytes >> 20;

    private static Option<long?> Size(string name, string description, long none) =>
        Value<long>(name, "size", description, text => text == "none" ? none : SizeParser.Parse(text), "a size, such as 512MiB, or none");

    private static Option<T?> Value<T>(string name, string help, string description, Func<string, T?> read, string allowed)
        where T : struct => new(name)
        {
            Description = description,
            HelpName = help,
            CustomParser = result => ReadValue(result, name, read, allowed),
        };

    private static T? ReadValue<T>(ArgumentResult result, string name, Func<string, T?> read, string allowed)
        where T : struct
    {
        try
        {
            return GivenText.Of(name, result.Tokens[0].Value).Read(read, allowed);
        }
        catch (UsageException error)
        {
            result.AddError(error.Message);
            return null;
        }
    }
}
