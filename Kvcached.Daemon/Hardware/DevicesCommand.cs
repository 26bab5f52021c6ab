using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization;
using Kvcached.Daemon.Admin;
using Spectre.Console;

namespace Kvcached.Daemon.Hardware;

/// <summary><c>kvcached devices</c>: what there is to run on, and why something is not usable.</summary>
internal static class DevicesCommand
{
    private static readonly Option<bool> Json = new("--json") { Description = "Write one JSON object." };

    public static Command Create()
    {
        var command = new Command("devices", "Lists the devices of this machine, and why one cannot be used.") { Json };
        command.SetAction(parse => Run(parse.GetValue(Json), Console.Out));
        return command;
    }

    internal static int Run(bool json, TextWriter output)
    {
        var devices = DeviceList.Find();
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(new DevicesReport(devices), DevicesJson.Default.DevicesReport));
            return 0;
        }

        var table = new Table().Border(TableBorder.None).AddColumn("device").AddColumn(new TableColumn("MiB").RightAligned()).AddColumn("what it is").AddColumn("usable");
        foreach (var device in devices)
        {
            table.AddRow(
                Markup.Escape(device.Name),
                device.Bytes is { } bytes ? (bytes >> 20).ToString("N0", System.Globalization.CultureInfo.InvariantCulture) : string.Empty,
                Markup.Escape(Printable.Escape(device.Description)),
                device.Unusable is { } why ? Markup.Escape("no: " + Printable.Escape(why)) : "yes");
        }

        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
        if (Console.IsOutputRedirected)
        {
            console.Profile.Width = AdminOutput.FileWidth;
        }

        console.Write(table);
        return 0;
    }
}

/// <summary>What <c>devices --json</c> writes.</summary>
internal sealed record DevicesReport(IReadOnlyList<ListedDevice> Devices);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(DevicesReport))]
internal sealed partial class DevicesJson : JsonSerializerContext;
