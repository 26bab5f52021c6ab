using System.Globalization;

namespace Kvcached.Bench.Simulation;

/// <summary>Prints what commands have met, and says whether all that is possible was met.</summary>
internal static class CoverageTable
{
    /// <summary>From so many planned operations on, what is possible and was not met is a failure. Fewer cannot be expected to meet it all.</summary>
    public const long JudgedFrom = 1_000_000;

    /// <summary>The same for a block whose copy out has been observed before the end of the step that wrote it: that lasts a turn or two.</summary>
    public const long PassingJudgedFrom = 3_000_000;

    private static readonly SimulatedCommand[] _commands = [.. Enum.GetValues<SimulatedCommand>().Where(command => command is not (SimulatedCommand.Create or SimulatedCommand.Commit or SimulatedCommand.Compact or SimulatedCommand.Trim or SimulatedCommand.Limit or SimulatedCommand.Kill or SimulatedCommand.Condemn or SimulatedCommand.ProveGone))];

    /// <summary>What is wrong: pairs that were to be met and were not, if there were operations enough, and pairs that were met and cannot be.</summary>
    public static IReadOnlyList<string> Faults(SimulationCoverage coverage, long operations)
    {
        var faults = new List<string>();
        foreach (var command in _commands)
        {
            foreach (var condition in Enum.GetValues<BlockCondition>())
            {
                foreach (var isLive in (ReadOnlySpan<bool>)[false, true])
                {
                    var isMet = coverage.Met(command, condition, isLive) > 0;
                    var pair = $"{command} on a block that is {condition}, {(isLive ? "under" : "without")} a step in flight,";
                    if (ImpossibleCoverage.ReasonFor(command, condition, isLive) is { } reason)
                    {
                        faults.AddRange(isMet ? [$"{pair} was met, although it cannot be: {reason}"] : []);
                    }
                    else if (!isMet && operations >= (condition == BlockCondition.WrittenClean ? PassingJudgedFrom : JudgedFrom) && !ImpossibleCoverage.IsRare(command, condition))
                    {
                        faults.Add($"{pair} was not met");
                    }
                }
            }
        }

        (string What, long Count)[] counts =
        [
            ("a compaction that was asked for", coverage.Operations(SimulatedCommand.Compact)),
            ("a trim", coverage.Operations(SimulatedCommand.Trim)),
            ("a change of a tenant's limits", coverage.Operations(SimulatedCommand.Limit)),
            ("a step over its tenant's quota", coverage.OverQuotaSteps),
            ("a byte that was scrubbed", coverage.ScrubbedBytes),
            ("a unit of the pool that lost its memory", coverage.TrimmedUnits),
            ("a unit of the pool that got memory again", coverage.GrownAgainUnits),
            ("memory of the pool that came later", coverage.Arrivals),
            ("memory of the pool that was refused", coverage.Refusals),
            .. Enum.GetValues<WindowEvent>().Select(what => ($"a contiguous window that is {what}", coverage.Windows(what))),
            .. Enum.GetValues<DeathEvent>().Select(what => ($"a death that is {what}", coverage.Deaths(what))),
        ];
        faults.AddRange(counts.Where(count => count.Count == 0 && operations >= JudgedFrom).Select(count => $"{count.What} was not met"));
        return faults;
    }

    /// <summary>A row for each condition, two figures for each command: without a step in flight, and under one.</summary>
    public static void Write(SimulationCoverage coverage, TextWriter output)
    {
        output.WriteLine("blocks met by each command, without a step in flight / under one; - where that cannot be");
        output.WriteLine($"{string.Empty,-16}{string.Concat(_commands.Select(command => $"{command,17}"))}");
        foreach (var condition in Enum.GetValues<BlockCondition>())
        {
            output.WriteLine($"{condition,-16}{string.Concat(_commands.Select(command => $"{Cell(coverage, command, condition),17}"))}");
        }
    }

    private static string Cell(SimulationCoverage coverage, SimulatedCommand command, BlockCondition condition) =>
        $"{Figure(coverage, command, condition, isLive: false)} / {Figure(coverage, command, condition, isLive: true),-5}";

    private static string Figure(SimulationCoverage coverage, SimulatedCommand command, BlockCondition condition, bool isLive)
    {
        var met = coverage.Met(command, condition, isLive);
        return met == 0 && ImpossibleCoverage.ReasonFor(command, condition, isLive) is not null ? "-"
            : met < 10_000 ? met.ToString(CultureInfo.InvariantCulture)
            : met < 10_000_000 ? $"{met / 1000}k"
            : $"{met / 1_000_000}M";
    }
}
