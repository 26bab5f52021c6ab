using System.CommandLine;
using System.Text.Json;
using Xunit;
using Xunit.Abstractions;
using Xunit.Sdk;

namespace Kvcached.Tests;

/// <summary>
/// <c>suites</c>: runs the test classes whose names begin with certain words, in this process and one test after the other, by xunit's own framework: for machines on which there is
/// no SDK, and so no <c>dotnet test</c>. Exit 1 if a test fails, 2 where none was run.
/// </summary>
internal static class SuitesCommand
{
    public static Command Create()
    {
        var prefixes = new Argument<string[]>("prefixes") { Description = "What the classes' names begin with: Cuda." };
        var command = new Command("suites", "Runs the test classes whose names begin so; failures, and a JSON object of how many there were.") { prefixes };
        command.SetAction(parse => Run(parse.GetValue(prefixes)!, Console.Out));
        return command;
    }

    internal static int Run(string[] prefixes, TextWriter output)
    {
        using var framework = new XunitTestFramework(new Sink());
        var assembly = typeof(SuitesCommand).Assembly;
        var cases = Discover(framework, assembly, prefixes);
        using var run = new Sink { Output = output };
        using (var executor = framework.GetExecutor(assembly.GetName()))
        {
            executor.RunTests(cases, run, new Options());
            run.Done.Wait();
        }

        output.WriteLine(JsonSerializer.Serialize(new { passed = run.Passed, failed = run.Failed, skipped = run.Skipped }));
        return run.Failed > 0 ? 1 : run.Passed == 0 ? 2 : 0;
    }

    private static List<ITestCase> Discover(XunitTestFramework framework, System.Reflection.Assembly assembly, string[] prefixes)
    {
        using var discoverer = framework.GetDiscoverer(Reflector.Wrap(assembly));
        var cases = new List<ITestCase>();
        foreach (var type in assembly.GetTypes().Where(type => type is { IsPublic: true, IsAbstract: false } && prefixes.Any(prefix => type.Name.StartsWith(prefix, StringComparison.Ordinal))))
        {
            using var found = new Sink { Cases = cases };
            discoverer.Find(type.FullName!, includeSourceInformation: false, found, new Options());
            found.Done.Wait();
        }

        return cases;
    }

    /// <summary>What the framework says, of a discovery or a run.</summary>
    private sealed class Sink : LongLivedMarshalByRefObject, IMessageSink, IDisposable
    {
        public ManualResetEventSlim Done { get; } = new();

        public List<ITestCase> Cases { get; init; } = [];

        public TextWriter? Output { get; init; }

        public int Passed { get; private set; }

        public int Failed { get; private set; }

        public int Skipped { get; private set; }

        public bool OnMessage(IMessageSinkMessage message)
        {
            switch (message)
            {
                case ITestCaseDiscoveryMessage found:
                    Cases.Add(found.TestCase);
                    break;
                case ITestPassed:
                    Passed++;
                    break;
                case ITestSkipped skipped:
                    Skipped++;
                    Output?.WriteLine($"{skipped.Test.DisplayName}: {skipped.Reason}");
                    break;
                case ITestFailed failed:
                    Fail(failed.Test.DisplayName, failed);
                    break;
                case IFailureInformation failure:
                    // A class, a collection or the framework itself: its tests may not have run.
                    Fail(failure.GetType().Name, failure);
                    break;
                case IDiscoveryCompleteMessage or ITestAssemblyFinished:
                    Done.Set();
                    break;
            }

            return true;
        }

        public void Dispose() => Done.Dispose();

        private void Fail(string what, IFailureInformation failure)
        {
            Failed++;
            Output?.WriteLine($"FAILED {what}: {string.Join(" ", failure.Messages)}");
            Output?.WriteLine(string.Join(Environment.NewLine, failure.StackTraces));
        }
    }

    /// <summary>Tests share one device, and some measure it: one at a time.</summary>
    private sealed class Options : ITestFrameworkDiscoveryOptions, ITestFrameworkExecutionOptions
    {
        private readonly Dictionary<string, object?> _values = new() { ["xunit.execution.DisableParallelization"] = true, ["xunit.execution.SynchronousMessageReporting"] = true };

        public TValue GetValue<TValue>(string name) => _values.TryGetValue(name, out var value) ? (TValue)value! : default!;

        public void SetValue<TValue>(string name, TValue value) => _values[name] = value;
    }
}
