using System.Diagnostics;
using Xunit;
using Xunit.Abstractions;

namespace Kvcached.Tests;

/// <summary>A program that some tests need and a machine may lack: CI must have it, elsewhere the test says that it was not run.</summary>
internal static class OutsideTool
{
    /// <summary>Whether the program is on PATH. Where it is not, fails in CI and tells <paramref name="output"/> elsewhere.</summary>
    internal static bool IsThere(string name, ITestOutputHelper output)
    {
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(Path.PathSeparator);
        if (folders.Any(folder => File.Exists(Path.Combine(folder, name))))
        {
            return true;
        }

        Assert.False(Environment.GetEnvironmentVariable("CI") == "true", $"There is no {name} on PATH; CI needs it.");
        output.WriteLine($"Not run: there is no {name} on PATH.");
        return false;
    }

    /// <summary>Runs a program in a folder until it ends, at most a minute; returns what it wrote to standard output.</summary>
    internal static string Run(string folder, string name, params string[] arguments)
    {
        var start = new ProcessStartInfo(name, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var written = process.StandardOutput.ReadToEnd();
        if (!process.WaitForExit(TimeSpan.FromMinutes(1)))
        {
            process.Kill();
            Assert.Fail($"{name} did not end within a minute.");
        }

        Assert.True(process.ExitCode == 0, $"{name} {string.Join(' ', arguments)} exited {process.ExitCode}: {written}{error.Result}");
        return written;
    }
}
