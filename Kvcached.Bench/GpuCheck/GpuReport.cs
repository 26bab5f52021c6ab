using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Kvcached.Bench.GpuCheck;

/// <summary>
/// <c>gpu-report</c>: makes report.json and report.md of what the parts of <c>tools/gpu-check.sh</c> have left in a folder: parts.tsv (name, exit status, seconds, command), and for
/// each part what it wrote to its output, where lines that are JSON objects are findings, and to its errors.
/// </summary>
internal static class GpuReport
{
    private const string Unreadable = "unreadable";
    private const int SaidLines = 6;
    private const int SaidCharacters = 1200;
    private static readonly string[] _written = ["out", "err"];
    private static readonly JsonDocumentOptions _strict = new() { AllowDuplicateProperties = false };
    private static readonly JsonSerializerOptions _json = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static Command CreateCommand()
    {
        var folder = new Argument<string>("folder");
        var commit = new Option<string>("--commit") { DefaultValueFactory = _ => "unknown" };
        var driver = new Option<string>("--driver") { DefaultValueFactory = _ => "unknown" };
        var command = new Option<string>("--command") { DefaultValueFactory = _ => "gpu-check.sh" };
        var report = new Command("gpu-report", "Makes the reports of tools/gpu-check.sh.") { folder, commit, driver, command };
        report.Hidden = true;
        report.SetAction(parse => Write(parse.GetValue(folder)!, new JsonObject
        {
            ["date"] = DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm'Z'", CultureInfo.InvariantCulture),
            ["commit"] = parse.GetValue(commit),
            ["driver"] = parse.GetValue(driver),
            ["command"] = parse.GetValue(command),
        }));
        return report;
    }

    /// <summary>Writes both reports.</summary>
    /// <param name="folder">Where the parts have left what they wrote, and where the reports go.</param>
    /// <param name="report">What is known beside the parts.</param>
    /// <returns>0 if all parts hold or could not be run, 1 if one fails.</returns>
    internal static int Write(string folder, JsonObject report)
    {
        report["devices"] = Findings(Path.Combine(folder, "devices.out")).FirstOrDefault()?["devices"]?.DeepClone();
        var parts = File.ReadLines(Path.Combine(folder, "parts.tsv")).Select(line => Part(folder, line.Split('\t'))).ToList();
        report["parts"] = new JsonArray([.. parts]);
        File.WriteAllText(Path.Combine(folder, "report.json"), report.ToJsonString(_json) + "\n");
        File.WriteAllText(Path.Combine(folder, "report.md"), Markdown(report, parts));
        return parts.Exists(part => Fails((string)part["result"]!)) ? 1 : 0;
    }

    private static JsonObject Part(string folder, string[] fields)
    {
        var (name, status) = (fields[0], int.Parse(fields[1], CultureInfo.InvariantCulture));
        var findings = Findings(Path.Combine(folder, $"{name}.out")).ToList();
        if (status == 0 && findings.Exists(finding => finding[Unreadable] is not null))
        {
            status = 1;
        }

        return new JsonObject
        {
            ["name"] = name,
            ["result"] = status switch { 0 => "holds", 1 => "fails", 2 => "not run", 124 => "took too long", 125 => "no time left", _ => $"broke down with exit status {status}" },
            ["seconds"] = int.Parse(fields[2], CultureInfo.InvariantCulture),
            ["command"] = fields[3],
            ["findings"] = new JsonArray([.. findings]),
            ["said"] = status == 0 ? string.Empty : Said(folder, name),
        };
    }

    private static bool Fails(string result) => result is not ("holds" or "not run");

    private static IEnumerable<JsonNode> Findings(string path)
    {
        foreach (var line in File.Exists(path) ? File.ReadLines(path) : [])
        {
            JsonNode? finding = null;
            try
            {
                finding = line.StartsWith('{') ? JsonNode.Parse(line, documentOptions: _strict) : null;
            }
            catch (JsonException)
            {
                // Cut off with its part; of one that ended well, a fault of the part.
                finding = new JsonObject { [Unreadable] = line };
            }

            if (finding is not null)
            {
                yield return finding;
            }
        }
    }

    // The end of its errors; of a test run, what failed stands in its output.
    private static string Said(string folder, string name)
    {
        var lines = _written.Select(end => Path.Combine(folder, $"{name}.{end}")).Where(File.Exists)
            .SelectMany(File.ReadLines).Where(line => line.Length > 0 && !line.StartsWith('{') && !line.EndsWith('…')).ToList();
        var said = string.Join(Environment.NewLine, lines.FindAll(line => line.StartsWith("FAILED", StringComparison.Ordinal)) is { Count: > 0 } failed ? failed : lines.TakeLast(SaidLines));
        return said.Length <= SaidCharacters ? said : said[..SaidCharacters] + " …";
    }

    private static string Markdown(JsonObject report, List<JsonObject> parts)
    {
        var text = new StringBuilder();
        var device = string.Join("; ", (report["devices"] as JsonArray ?? []).Where(device => ((string?)device!["name"])?.StartsWith("cuda", StringComparison.Ordinal) == true).Select(device => (string?)device!["description"]));
        text.AppendLine(CultureInfo.InvariantCulture, $"# {device}").AppendLine();
        text.AppendLine(CultureInfo.InvariantCulture, $"Driver: {report["driver"]}. Commit {report["commit"]}, {report["date"]}. Command: `{report["command"]}`.").AppendLine();
        text.AppendLine("| part | result | s | found |").AppendLine("|---|---|---|---|");
        foreach (var part in parts.Skip(1))
        {
            var found = string.Join("<br>", part["findings"]!.AsArray().Select(finding => Describe(finding!)));
            text.AppendLine(CultureInfo.InvariantCulture, $"| {part["name"]} | {part["result"]} | {part["seconds"]} | {found.Replace("|", "\\|", StringComparison.Ordinal)} |");
        }

        foreach (var part in parts.Where(part => (string)part["result"]! != "holds"))
        {
            text.AppendLine().AppendLine(CultureInfo.InvariantCulture, $"## {part["name"]}: {part["result"]}").AppendLine();
            text.AppendLine(CultureInfo.InvariantCulture, $"`{part["command"]}`").AppendLine().AppendLine("```").AppendLine((string?)part["said"]).AppendLine("```");
        }

        return text.ToString();
    }

    private static string Describe(JsonNode finding) => finding switch
    {
        _ when finding["says"] is { } says => $"{finding["name"]}: {finding["verdict"]}. {says}",
        _ when finding["goal"] is not null => $"{finding["name"]}: {finding["verdict"]}, {finding["value"]} where {finding["direction"]} {finding["goal"]} is demanded, noise {finding["noise"]}",
        _ => finding.ToJsonString(new JsonSerializerOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }),
    };
}
