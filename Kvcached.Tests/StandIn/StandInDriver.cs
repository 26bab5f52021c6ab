using System.Diagnostics;
using System.Reflection;
using Kvcached.Daemon.Processes;
using Xunit;

namespace Kvcached.Tests.StandIn;

/// <summary>
/// The stand-in for the CUDA driver (<c>gpu/driver</c>), and programs that find it: processes of their own, since a process has one driver. Built when it is first needed.
/// Where <c>CI</c> is <c>true</c> tests run in any case, and fail without a compiler.
/// </summary>
internal static class StandInDriver
{
    private static readonly Lazy<string> _folder = new(Build);

    /// <summary>Why tests that need it are not run; null where they are.</summary>
    internal static string? Missing { get; } =
        Environment.GetEnvironmentVariable("CI") == "true" || (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(':').Any(folder => File.Exists(Path.Combine(folder, "clang-19")))
            ? null
            : "Not run: there is no clang-19, which the stand-in for the CUDA driver is built with (apt-get install clang-19).";

    /// <summary>Runs a program on it until it ends.</summary>
    /// <param name="program">An assembly with an entry point.</param>
    /// <param name="limit">When it must have ended.</param>
    /// <param name="settings">What <c>driver.h</c> lets the environment ask for, without STAND_IN_: <c>CHANNELS=2</c>.</param>
    /// <param name="arguments">The program's.</param>
    /// <returns>What it wrote, and how it ended.</returns>
    internal static async Task<StandInRun> Run(Assembly program, TimeSpan limit, IEnumerable<string> settings, params string[] arguments)
    {
        var environment = settings.Select(setting => setting.Split('=', 2)).ToDictionary(setting => $"STAND_IN_{setting[0]}", setting => setting[1]);
        environment["LD_LIBRARY_PATH"] = _folder.Value;
        using var process = OwnProcess.Start(program, arguments, environment);
        process.StandardInput.Close();
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        using var over = new CancellationTokenSource(limit);
        try
        {
            await process.WaitForExitAsync(over.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"{string.Join(' ', arguments)} did not end within {limit}: {await output}{await error}");
        }

        return new StandInRun(process.ExitCode, await output, await error);
    }

    private static string Build()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Kvcached.sln")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException($"No folder above {AppContext.BaseDirectory} holds Kvcached.sln.");
        }

        var built = Path.Combine(AppContext.BaseDirectory, "stand-in");
        var start = new ProcessStartInfo(Path.Combine(folder, "tools", "build-driver.sh"), [built]) { RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"tools/build-driver.sh exited {process.ExitCode}: {error}");
        return built;
    }
}

/// <summary>How a program ended on the stand-in driver.</summary>
internal sealed record StandInRun(int ExitCode, string Output, string Error)
{
    public override string ToString() => $"exit {ExitCode}\n{Output}\n{Error}";
}

/// <summary>A test on the stand-in driver, skipped where that cannot be built.</summary>
public sealed class StandInFactAttribute : FactAttribute
{
    public StandInFactAttribute() => Skip = StandInDriver.Missing;
}

/// <summary>The same with cases.</summary>
public sealed class StandInTheoryAttribute : TheoryAttribute
{
    public StandInTheoryAttribute() => Skip = StandInDriver.Missing;
}
