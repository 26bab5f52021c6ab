using System.CommandLine;
using Kvcached.Bench.Elastic;
using Kvcached.Kernels;

namespace Kvcached.Bench.Ratios;

/// <summary><c>ratios</c>: what must cost little, measured beside what it is compared with. A JSON line for each goal; exit 1 if one fails.</summary>
internal static class RatiosCommand
{
    private static readonly ElementFormat[] _formats = [ElementFormat.Float32, ElementFormat.Float16, ElementFormat.BFloat16];

    /// <summary>All comparisons, in the order in which they run.</summary>
    public static IReadOnlyList<Comparison> All { get; } =
    [
        new(AtMost("step_cost_256", "ns", 100, RatioGoal.OfA), () => new StepCostSides(256)),
        new(AtMost("step_cost_4096", "ns", 100, RatioGoal.OfA), () => new StepCostSides(4096)),
        new(AtMost("alloc_free", "ns", 60, RatioGoal.OfA), () => new AllocFreeSides()),
        new(AtMost("alloc_free_scale", "ratio", 1.5, RatioGoal.Quotient), () => new AllocFreeScaleSides()),
        new(AtMost("lookup_tax_ordered", "ratio", 1.01, RatioGoal.Quotient), Decode(isScattered: false)),
        new(AtMost("lookup_tax_scattered", "ratio", 1.02, RatioGoal.Quotient), Decode(isScattered: true)),
        new(AtMost("prefill_tax", "ratio", 1.02, RatioGoal.Quotient), Prefill()),
        new(AtLeast("evict_reload_bandwidth", "ratio", 0.92), () => new EvictReloadSides()),
        new(AtLeast("decode_under_churn", "ratio", 0.90), () => new DecodeUnderChurnSides()),
        new(AtLeast("decode_during_compaction", "ratio", 0.90), () => new DecodeDuringCompactionSides()),
        new(AtLeast("compaction_bandwidth", "ratio", 0.90), () => new CompactionSides()),
        new(AtMost("segment_handover", "ratio", 1.5, RatioGoal.Quotient), () => new SegmentHandoverSides()),
        new(AtMost("remap_table_vs_vm", "ratio", 0.05, RatioGoal.Quotient), () => new RemapSides()),
        new(AtMost("ring_round_trip", "ratio", 1.5, RatioGoal.Quotient), () => new RingRoundTripSides()),
        new(AtLeast("daemon_vs_embedded", "ratio", 0.8), () => new DaemonVsEmbeddedSides()),
        new(AtLeast("client_scaling", "ratio", 0.9), () => new ClientScalingSides()),
        new(AtMost("bookkeeping", "%", 0.2, (a, b) => 100 * a / b), () => new BookkeepingSides()) { IsCounted = true },
        new(AtMost("steady_state_allocation", "bytes", 0, RatioGoal.OfA), () => new SteadyStateSides()) { IsCounted = true },
        new(AtLeast("elastic_vs_static", "ratio", 2), () => new ElasticSides()) { IsCounted = true },
    ];

    public static Command Create() => Create((only, pace) => Run(All, only, pace, Console.Out, Console.Error));

    /// <summary>The command line, and what to run with its names and at its pace.</summary>
    internal static Command Create(Func<string?, RatioPace, int> run)
    {
        var only = new Option<string?>("--only") { Description = "Names of the goals to measure, separated by commas." };
        var quick = new Option<bool>("--quick") { Description = $"At least {RatioPace.Quick.Rounds} runs of a case instead of {RatioPace.Full.Rounds}; the sizes stay." };
        var command = new Command("ratios", "Measures what must cost little beside what it is compared with; a JSON line for each goal.") { only, quick };
        command.SetAction(result => run(result.GetValue(only), result.GetValue(quick) ? RatioPace.Quick : RatioPace.Full));
        return command;
    }

    /// <summary>Measures the goals that are named, or all, and writes a line for each.</summary>
    /// <returns>0 if no goal fails, 1 if one does, 2 where a name is unknown.</returns>
    internal static int Run(IReadOnlyList<Comparison> comparisons, string? only, RatioPace pace, TextWriter output, TextWriter progress)
    {
        if (only is not null)
        {
            var names = only.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
            var known = comparisons.Select(comparison => comparison.Goal.Name).ToArray();
            string[] unknown = names.Length == 0 ? ["nothing"] : [.. names.Except(known).Select(name => $"'{name}'")];
            if (unknown.Length > 0)
            {
                progress.WriteLine($"--only names {string.Join(", ", unknown)}; there are {string.Join(", ", known)}.");
                return 2;
            }

            comparisons = [.. comparisons.Where(comparison => names.Contains(comparison.Goal.Name))];
        }

        var fails = 0;
        foreach (var comparison in comparisons)
        {
            progress.WriteLine($"{comparison.Goal.Name} …");
            var result = RatioRun.Measure(comparison, pace);
            output.WriteLine(result.ToJson());
            output.Flush();
            fails += result.Verdict == Verdict.Fails ? 1 : 0;
        }

        return fails == 0 ? 0 : 1;
    }

    private static RatioGoal AtMost(string name, string unit, double goal, Func<double, double, double> valueOf) => new(name, unit, goal, GoalDirection.AtMost, valueOf);

    private static RatioGoal AtLeast(string name, string unit, double goal) => new(name, unit, goal, GoalDirection.AtLeast, RatioGoal.Quotient);

    /// <summary>Which part of the read bandwidth a contiguous decode kernel must reach, so that the tax is one on something that is fast.</summary>
    internal static double LeastReadShare(ElementFormat format) => format == ElementFormat.Float32 ? 0.6 : 0.35;

    private static Func<RatioSides>[] Decode(bool isScattered) =>
    [
        .. _formats.Select(format => (Func<RatioSides>)(() => new AttentionSides(
            (KernelNames.DecodePaged, KernelNames.DecodeContiguous),
            new AttentionSize(Sequences: 8, Tokens: 4096, NewTokens: 1),
            format,
            isScattered,
            LeastReadShare(format)))),
    ];

    private static Func<RatioSides>[] Prefill() =>
    [
        .. _formats.Select(format => (Func<RatioSides>)(() => new AttentionSides(
            (KernelNames.PrefillPaged, KernelNames.PrefillContiguous),
            new AttentionSize(Sequences: 2, Tokens: 1024, NewTokens: 128),
            format,
            isScattered: true))),
    ];
}
