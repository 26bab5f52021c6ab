using System.Diagnostics;

namespace Kvcached.Daemon.Processes;

/// <summary>Starts this project's programs as processes of their own.</summary>
internal static class OwnProcess
{
    /// <summary>Starts a program with its standard streams redirected, and without the runtime's diagnostic files, which outlive a kill.</summary>
    /// <param name="program">An assembly with an entry point.</param>
    /// <param name="arguments">Its arguments.</param>
    public static Process Start(System.Reflection.Assembly program, params IEnumerable<string> arguments) => Start(program, arguments, environment: null);

    /// <summary>The same, with more in its environment.</summary>
    public static Process Start(System.Reflection.Assembly program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment)
    {
        var start = new ProcessStartInfo(Path.GetFileName(Environment.ProcessPath) == "dotnet" ? Environment.ProcessPath! : "dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        start.ArgumentList.Add("exec");
        start.ArgumentList.Add(program.Location);
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start) ?? throw new InvalidOperationException($"{program.Location} did not start.");
    }
}
