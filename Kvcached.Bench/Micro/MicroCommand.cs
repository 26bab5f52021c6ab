using System.CommandLine;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Perfolizer.Horology;

namespace Kvcached.Bench.Micro;

/// <summary>
/// <c>micro</c>: benchmarks of single choices, each beside what was tried and lost. Takes BenchmarkDotNet's own options. All methods of a class do
/// the same work, and return the same value to show it.
/// </summary>
internal static class MicroCommand
{
    public static Command Create()
    {
        var quick = new Option<bool>("--quick") { Description = "Runs each once, in this process: shows that they run, measures nothing." };
        var command = new Command("micro", "Benchmarks of single choices beside what lost; takes BenchmarkDotNet's options, such as --filter '*TableUpdate*' and --list flat.")
        {
            quick,
        };
        command.TreatUnmatchedTokensAsErrors = false;
        command.SetAction(result => Run([.. result.UnmatchedTokens], result.GetValue(quick)));
        return command;
    }

    /// <summary>Runs the benchmarks that the arguments choose, or all.</summary>
    /// <returns>0 if all that were chosen ran, 1 if one did not, 2 if none was chosen.</returns>
    internal static int Run(string[] arguments, bool isQuick)
    {
        if (!arguments.Any(argument => argument is "--filter" or "-f" or "--list" or "--help" or "--info" or "--version"))
        {
            arguments = [.. arguments, "--filter", "*"];
        }

        var config = ManualConfig.CreateEmpty()
            .AddJob(isQuick ? Job.Dry.WithToolchain(InProcessEmitToolchain.Instance) : Job.Default.WithWarmupCount(3).WithIterationCount(9).WithIterationTime(TimeInterval.FromMilliseconds(200)))
            .AddColumnProvider(DefaultColumnProviders.Instance)
            .AddLogger(ConsoleLogger.Default)
            .WithArtifactsPath(Path.Combine("artifacts", "micro"));
        var summaries = BenchmarkSwitcher.FromAssembly(typeof(MicroCommand).Assembly).Run(arguments, config).ToArray();
        if (summaries.Length == 0)
        {
            // BenchmarkDotNet has said why; asked for a list or for help, it has done what was asked.
            return arguments.Any(argument => argument is "--list" or "--help" or "--info" or "--version") ? 0 : 2;
        }

        return summaries.All(summary => !summary.HasCriticalValidationErrors && summary.Reports.All(report => report.Success)) ? 0 : 1;
    }
}
