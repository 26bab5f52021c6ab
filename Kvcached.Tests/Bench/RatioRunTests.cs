using System.Diagnostics;
using System.Text.Json;
using Kvcached.Bench.Ratios;
using Xunit;

namespace Kvcached.Tests.Bench;

[Collection(nameof(RatioRunTests))]
public class RatioRunTests
{
    /// <summary>So many rounds, and no more warm-up than there must be.</summary>
    private static readonly RatioPace _three = new(Rounds: 3) { RoundTime = TimeSpan.Zero, WarmUpTime = TimeSpan.Zero, WarmUpLimit = TimeSpan.Zero };

    private static RatioGoal AtMost(double goal) => new("some_tax", "ratio", goal, GoalDirection.AtMost, RatioGoal.Quotient);

    private static RatioGoal AtLeast(double goal) => new("some_rate", "ratio", goal, GoalDirection.AtLeast, RatioGoal.Quotient);

    [Fact]
    public void The_median_is_of_the_middle_values()
    {
        Assert.Equal(3, RatioStatistics.Median([9, 1, 3]));
        Assert.Equal(2.5, RatioStatistics.Median([9, 1, 3, 2]));
        Assert.True(double.IsNaN(RatioStatistics.Median([])));
    }

    [Fact]
    public void The_noise_of_few_ratios_is_their_farthest_and_of_many_is_nearer()
    {
        Assert.Equal(0.25, RatioStatistics.NoiseOf([1.125, 0.75, 1]), 9);

        // Ranks 41 and 60 of 100 bound the median; the nearest are spread by 0.001 each.
        Assert.Equal(0.010, RatioStatistics.NoiseOf(Enumerable.Range(0, 101).Select(i => 1 + ((i - 50) * 0.001))), 3);
    }

    [Theory]
    [InlineData(1.00, 0.004, "Holds")]
    [InlineData(1.00, 0.006, "Inconclusive")]
    [InlineData(1.01, 0.0, "Holds")]
    [InlineData(1.03, 0.009, "Fails")]
    [InlineData(1.03, 0.011, "Inconclusive")]
    [InlineData(1.00, double.NaN, "Inconclusive")]
    [InlineData(double.NaN, 0.0, "Inconclusive")]
    public void A_goal_is_judged_where_the_noise_is_at_most_half_the_margin(double value, double noise, string verdict) =>
        Assert.Equal(verdict, AtMost(1.01).Judge(value, noise).ToString());

    [Fact]
    public void A_goal_that_is_a_least_value_fails_below_it()
    {
        Assert.Equal(Verdict.Fails, AtLeast(0.9).Judge(0.8, 0.01));
        Assert.Equal(Verdict.Holds, AtLeast(0.9).Judge(0.95, 0.01));
    }

    [Fact]
    public void Sides_are_run_in_turn_after_a_warm_up()
    {
        using var sides = new ScriptedSides(a: [3], b: [2], isHeldAgainst: true);

        var result = RatioRun.Measure(new Comparison(AtMost(1.6), () => sides), _three);

        Assert.Equal("ABABAB" + "A" + "BA" + "*A" + "BA" + "BA" + "*A", sides.Order);
        Assert.Equal((1.5, 3, 2, 0, 3), (result.Value, result.A, result.B, result.Noise, result.Runs));
        Assert.Equal(Verdict.Holds, result.Verdict);
    }

    [Fact]
    public void The_value_is_the_median_of_paired_ratios_and_what_drifts_falls_on_both()
    {
        // The machine gets slower all the time, and B is disturbed once. The medians of A and of B have a ratio of a half.
        using var sides = new ScriptedSides(a: [4, 9, 16, 36], b: [6, 120, 24]) { WarmUps = 3 };

        var result = RatioRun.Measure(new Comparison(AtMost(1.6), () => sides), _three);

        Assert.Equal(1, result.Value, 9);
        Assert.Equal((12, 24), (result.A, result.B));
    }

    [Fact]
    public void The_noise_is_how_far_a_run_of_A_lies_from_the_next_in_the_unit_of_the_value()
    {
        using var sides = new ScriptedSides(a: [10, 10, 8, 8], b: [1, 1, 1]) { WarmUps = 3 };

        var result = RatioRun.Measure(new Comparison(new RatioGoal("some_cost", "ns", 100, GoalDirection.AtMost, RatioGoal.OfA), () => sides), _three);

        Assert.Equal(0.25 * Math.Sqrt(80), result.Noise, 9);
        Assert.Equal(Math.Sqrt(80), result.Value, 9);
    }

    [Fact]
    public void A_round_begins_anew_after_what_is_measured_beside()
    {
        // The second A of each pair is twice the first; what follows the run beside is a first.
        using var sides = new ScriptedSides(a: [1, 2, 1, 2], b: [1], isHeldAgainst: true) { WarmUps = 3 };

        var result = RatioRun.Measure(new Comparison(AtMost(1.6), () => sides), _three with { Rounds = 1 });

        Assert.Equal("ABABAB" + "A" + "BA" + "*A", sides.Order);
        Assert.Equal(0.5 * Math.Sqrt(2), result.Noise, 9);
    }

    [Fact]
    public void Short_rounds_are_more()
    {
        using var sides = new ScriptedSides(a: [1], b: [1]);

        var result = RatioRun.Measure(new Comparison(AtMost(1.6), () => sides), _three with { RoundTime = TimeSpan.FromHours(1), MaxRounds = 50 });

        Assert.Equal(50, result.Runs);
    }

    [Fact]
    public void Sides_may_want_more_rounds_and_make_the_value_of_them()
    {
        using var sides = new ScriptedSides(a: [1], b: [1]) { Rounds = 7, Value = 1.25 };

        var result = RatioRun.Measure(new Comparison(AtMost(1.6), () => sides), _three);

        Assert.Equal((7, 1.25), (result.Runs, result.Value));
    }

    [Theory]
    [InlineData(0.99, 99)]
    [InlineData(0.995, 100)]
    [InlineData(0.01, 1)]
    [InlineData(1, 100)]
    public void A_percentile_is_the_least_value_that_so_many_do_not_exceed(double part, double value) =>
        Assert.Equal(value, RatioStatistics.Percentile(Enumerable.Range(1, 100).Reverse().Select(i => (double)i), part));

    [Fact]
    public void Rounds_count_once_nothing_is_compiled_any_more()
    {
        // Slow and unsteady until the B of the second round, in which something is compiled, and the round after that takes up what it left.
        var compiled = 5L;
        using var sides = new ScriptedSides(a: [100, 50, 100, 3, 3, 3, 3], b: [100, 100, 100, 2, 2, 2]) { WarmUps = 3 };
        sides.OnRun = () => compiled += sides.Order.EndsWith("A" + "BA" + "B", StringComparison.Ordinal) && sides.Order.Length == 10 ? 1 : 0;

        var result = RatioRun.Measure(new Comparison(AtMost(1.6), () => sides), _three with { WarmUpLimit = TimeSpan.FromHours(1), CompiledMethods = () => compiled });

        Assert.Equal("ABABAB" + "A" + "BA" + "BA" + "BA" + "BABABA", sides.Order);
        Assert.Equal((1.5, 3, 2, 0, 3), (result.Value, result.A, result.B, result.Noise, result.Runs));
        Assert.Equal(1, sides.TimesForgotten);
        Assert.Equal(["field"], result.Extra.Select(field => field.Name));
    }

    [Fact]
    public void Rounds_count_though_something_is_compiled_after_the_limit_and_the_line_says_so()
    {
        var compiled = 5L;
        using var sides = new ScriptedSides(a: [3], b: [2]) { OnRun = () => compiled++ };

        var result = RatioRun.Measure(new Comparison(AtMost(1.6), () => sides), _three with { CompiledMethods = () => compiled });

        Assert.Equal("ABABAB" + "A" + "BABABA", sides.Order);
        Assert.Equal(7, result.CompiledMeanwhile);
        Assert.Contains("\"compiled_meanwhile\":7", result.ToJson(), StringComparison.Ordinal);
    }

    [Fact]
    public void Rounds_count_after_the_warm_up_time_though_nothing_is_compiled()
    {
        using var sides = new ScriptedSides(a: [3], b: [2]);
        var start = Stopwatch.GetTimestamp();

        var result = RatioRun.Measure(new Comparison(AtMost(1.6), () => sides), _three with { WarmUpTime = TimeSpan.FromMilliseconds(20), CompiledMethods = () => 5 });

        Assert.True(Stopwatch.GetElapsedTime(start) > TimeSpan.FromMilliseconds(20));
        Assert.Equal((3, true), (result.Runs, sides.TimesForgotten > 0));
    }

    [Fact]
    public void What_is_counted_is_run_once()
    {
        using var sides = new ScriptedSides(a: [0], b: [5]);
        var goal = new RatioGoal("some_count", "bytes", 0, GoalDirection.AtMost, RatioGoal.OfA);

        var result = RatioRun.Measure(new Comparison(goal, () => sides) { IsCounted = true }, _three);

        Assert.Equal("AB", sides.Order);
        Assert.Equal((0, 0, 1, Verdict.Holds), (result.Value, result.Noise, result.Runs, result.Verdict));
    }

    [Fact]
    public void The_worst_case_decides_and_a_missed_condition_fails_a_good_value()
    {
        var comparison = new Comparison(
            AtMost(1.6),
            () => new ScriptedSides(a: [1.5], b: [1]),
            () => new ScriptedSides(a: [1], b: [1], missed: "too slow"),
            () => new ScriptedSides(a: [1.4], b: [1]));

        var result = RatioRun.Measure(comparison, _three);

        Assert.Equal((1, Verdict.Fails, "too slow"), (result.Value, result.Verdict, result.Missed));
        Assert.Equal(3, result.Extra.Count);
    }

    [Fact]
    public void What_was_compiled_meanwhile_is_said_once_for_all_cases()
    {
        var compiled = 0L;
        ScriptedSides Open() => new(a: [1.5], b: [1]) { OnRun = () => compiled++ };

        var result = RatioRun.Measure(new Comparison(AtMost(1.6), Open, Open), _three with { CompiledMethods = () => compiled });

        Assert.Equal(14, result.CompiledMeanwhile);
        Assert.Equal(2, result.ToJson().Split("compiled_meanwhile").Length);
    }

    [Theory]
    [InlineData("AtMost", 1.5)]
    [InlineData("AtLeast", 1.2)]
    public void Of_cases_that_all_hold_the_worst_value_decides(string direction, double worst)
    {
        var goal = direction == "AtMost" ? AtMost(1.6) : AtLeast(1.1);

        var result = RatioRun.Measure(
            new Comparison(goal, () => new ScriptedSides(a: [1.3], b: [1]), () => new ScriptedSides(a: [1.5], b: [1]), () => new ScriptedSides(a: [1.2], b: [1])), _three);

        Assert.Equal((worst, Verdict.Holds), (result.Value, result.Verdict));
    }

    [Fact]
    public void Sides_are_closed_though_a_run_fails_and_the_failure_is_not_lost()
    {
        using var sides = new ScriptedSides(a: [], b: [1]);

        Assert.Throws<IndexOutOfRangeException>(() => RatioRun.Measure(new Comparison(AtMost(1), () => sides), _three));

        Assert.True(sides.IsClosed);
    }

    [Fact]
    public void A_line_has_the_fields_that_readers_expect_in_their_order()
    {
        var result = new RatioResult { Goal = AtLeast(0.9), Value = 0.912345678, Noise = 0.001, A = 3, B = double.NaN, Runs = 7, Extra = [new("gb_s", 4)] };

        using var line = JsonDocument.Parse(result.ToJson());

        Assert.Equal(["name", "value", "unit", "goal", "direction", "noise", "verdict", "a", "b", "runs", "gb_s"], line.RootElement.EnumerateObject().Select(field => field.Name));
        Assert.Contains("\"direction\":\">=\"", result.ToJson(), StringComparison.Ordinal);
        Assert.Equal(0.91235, line.RootElement.GetProperty("value").GetDouble());
        Assert.Equal("holds", line.RootElement.GetProperty("verdict").GetString());
        Assert.Equal(JsonValueKind.Null, line.RootElement.GetProperty("b").ValueKind);
    }

    [Fact]
    public void A_line_says_why_it_fails_whatever_its_value()
    {
        var result = new RatioResult { Goal = AtMost(1.5), Value = 1, Noise = 0, A = 1, B = 1, Runs = 7, Missed = "too slow" };

        using var line = JsonDocument.Parse(result.ToJson());

        Assert.Equal(("fails", "too slow"), (line.RootElement.GetProperty("verdict").GetString(), line.RootElement.GetProperty("missed").GetString()));
        Assert.Equal("<=", line.RootElement.GetProperty("direction").GetString());
    }

    [Fact]
    public void Sides_that_compute_do_so_on_one_processor_and_no_other_thread_is_bound()
    {
        var before = AllowedProcessors();
        string? during = null;
        using var sides = new ScriptedSides(a: [1], b: [1]) { OnRun = () => during = AllowedProcessors() };

        RatioRun.Measure(new Comparison(AtMost(1.6), () => sides), _three);

        Assert.Equal(ThreadPin.LastProcessor().ToString(), during);
        Assert.Equal(before, AllowedProcessors());
    }

    [Theory]
    [InlineData("holds", 0, "good")]
    [InlineData("inconclusive", 0, "noisy")]
    [InlineData("fails", 1, "bad")]
    [InlineData("holds,inconclusive,fails", 1, "good,noisy,bad")]
    public void The_exit_status_is_1_where_a_line_fails_and_each_goal_has_a_line(string verdicts, int status, string only)
    {
        var (lines, progress, returned) = Run(only);

        Assert.Equal(status, returned);
        Assert.Equal(verdicts, string.Join(',', lines.Select(line => line.GetProperty("verdict").GetString())));
        Assert.Equal(only, string.Join(',', lines.Select(line => line.GetProperty("name").GetString())));
        Assert.Equal(lines.Count, progress.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
    }

    [Theory]
    [InlineData("good,bed", "'bed'")]
    [InlineData("god, bed", "'god', 'bed'")]
    [InlineData(" , ", "nothing")]
    public void Unknown_names_are_refused_by_name_before_anything_runs(string only, string named)
    {
        var (lines, progress, returned) = Run(only);

        Assert.Equal(2, returned);
        Assert.Empty(lines);
        Assert.Equal($"--only names {named}; there are good, noisy, bad.", progress.TrimEnd());
    }

    [Theory]
    [InlineData("", null, false)]
    [InlineData("--quick", null, true)]
    [InlineData("--only a,b --quick", "a,b", true)]
    [InlineData("--only a", "a", false)]
    public void The_command_line_chooses_names_and_pace(string arguments, string? names, bool isQuick)
    {
        (string? Only, RatioPace Pace) asked = default;

        var status = RatiosCommand.Create((only, pace) =>
        {
            asked = (only, pace);
            return 7;
        }).Parse(arguments).Invoke();

        Assert.Equal(7, status);
        Assert.Equal((names, isQuick ? RatioPace.Quick : RatioPace.Full), asked);
    }

    [Fact]
    public void A_quick_run_has_fewer_rounds() => Assert.InRange(RatioPace.Quick.Rounds, 9, RatioPace.Full.Rounds / 2);

    [Fact]
    public void Without_names_all_goals_are_measured() => Assert.Equal(3, Run(only: null).Lines.Count);

    [Fact]
    public void The_goals_are_those_that_are_promised() => Assert.Equal(
        [
            "step_cost_256 <= 100 ns", "step_cost_4096 <= 100 ns", "alloc_free <= 60 ns", "alloc_free_scale <= 1.5 ratio",
            "lookup_tax_ordered <= 1.01 ratio", "lookup_tax_scattered <= 1.02 ratio", "prefill_tax <= 1.02 ratio",
            "evict_reload_bandwidth >= 0.92 ratio", "decode_under_churn >= 0.9 ratio",
            "decode_during_compaction >= 0.9 ratio", "compaction_bandwidth >= 0.9 ratio", "segment_handover <= 1.5 ratio", "remap_table_vs_vm <= 0.05 ratio",
            "ring_round_trip <= 1.5 ratio", "daemon_vs_embedded >= 0.8 ratio", "client_scaling >= 0.9 ratio",
            "bookkeeping <= 0.2 %", "steady_state_allocation <= 0 bytes", "elastic_vs_static >= 2 ratio",
        ],
        RatiosCommand.All.Select(comparison => comparison.Goal)
            .Select(goal => $"{goal.Name} {(goal.Direction == GoalDirection.AtMost ? "<=" : ">=")} {goal.Goal} {goal.Unit}"));

    private static string AllowedProcessors() =>
        File.ReadLines("/proc/thread-self/status").First(line => line.StartsWith("Cpus_allowed_list", StringComparison.Ordinal)).Split(':')[1].Trim();

    private static (List<JsonElement> Lines, string Progress, int Status) Run(string? only)
    {
        Comparison[] comparisons =
        [
            new(AtMost(1.6) with { Name = "good" }, () => new ScriptedSides(a: [1], b: [1])),
            new(AtMost(1.6) with { Name = "noisy" }, () => new ScriptedSides(a: [1, 2, 1, 2], b: [1]) { WarmUps = 3 }),
            new(AtMost(1.6) with { Name = "bad" }, () => new ScriptedSides(a: [1.7], b: [1])),
        ];
        using var output = new StringWriter();
        using var progress = new StringWriter();
        var status = RatiosCommand.Run(comparisons, only, _three, output, progress);
        var lines = output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        return ([.. lines.Select(line => JsonDocument.Parse(line).RootElement)], progress.ToString(), status);
    }
}
