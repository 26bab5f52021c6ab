using System.Diagnostics;

namespace Kvcached.Tests;

/// <summary>Starts this assembly once more, as the program that it is too.</summary>
internal static class SecondProcess
{
    internal static Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo(Path.GetFileName(Environment.ProcessPath) == "dotnet" ? Environment.ProcessPath! : "dotnet");
        foreach (var argument in (string[])["exec", typeof(SecondProcess).Assembly.Location, .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        // A process that is killed would leave the runtime's own files behind.
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        return Process.Start(start)!;
    }
}
