using System.Text.Json;
using Kvcached.Bench.Ratios;
using Xunit;

namespace Kvcached.Tests.Bench;

public class RatioRunTests
{
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
    public void Sides_are_run_in_turn_and_the_value_is_the_median_of_paired_ratios()
    {
        using var log = new ScriptedSides(a: 3, b: 2);

        var result = RatioRun.Measure(new Comparison(AtMost(1.6), () => log), rounds: 3);

        Assert.Equal(1.5, result.Value, 9);
        Assert.Equal((3, 2, 0), (result.A, result.B, result.Noise));
        Assert.True(result.Runs >= 3);
        Assert.EndsWith("ABAABAABA", log.Order, StringComparison.Ordinal);
        Assert.Equal(Verdict.Holds, result.Verdict);
    }

    [Fact]
    public void What_is_counted_is_run_once()
    {
        using var log = new ScriptedSides(a: 0, b: 5);
        var goal = new RatioGoal("some_count", "bytes", 0, GoalDirection.AtMost, RatioGoal.OfA);

        var result = RatioRun.Measure(new Comparison(goal, () => log) { IsCounted = true }, rounds: 3);

        Assert.Equal("AB", log.Order);
        Assert.Equal((0, 0, 1, Verdict.Holds), (result.Value, result.Noise, result.Runs, result.Verdict));
    }

    [Fact]
    public void The_worst_case_decides_and_a_missed_condition_fails_a_good_value()
    {
        var comparison = new Comparison(
            AtMost(1.6),
            () => new ScriptedSides(a: 1.5, b: 1),
            () => new ScriptedSides(a: 1, b: 1, missed: "too slow"),
            () => new ScriptedSides(a: 1.4, b: 1));

        var result = RatioRun.Measure(comparison, rounds: 1);

        Assert.Equal((1, Verdict.Fails, "too slow"), (result.Value, result.Verdict, result.Missed));
        Assert.Equal(3, result.Extra.Count);
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
    public void An_unknown_name_is_refused_by_name_before_anything_runs()
    {
        using var output = new StringWriter();
        using var progress = new StringWriter();

        Assert.Equal(2, RatiosCommand.Run("alloc_free,alloc_fre", isQuick: true, output, progress));

        Assert.Contains("'alloc_fre'", progress.ToString(), StringComparison.Ordinal);
        Assert.Contains("alloc_free_scale", progress.ToString(), StringComparison.Ordinal);
        Assert.Empty(output.ToString());
    }

    [Fact]
    public void Names_of_goals_differ() => Assert.Equal(RatiosCommand.All.Count, RatiosCommand.All.Select(comparison => comparison.Goal.Name).Distinct().Count());

    private sealed class ScriptedSides(double a, double b, string? missed = null) : RatioSides
    {
        public string Order { get; private set; } = string.Empty;

        public override double RunA()
        {
            Note('A');
            return a;
        }

        public override double RunB()
        {
            Note('B');
            return b;
        }

        public override string? Missed(double a, double b) => missed;

        public override IEnumerable<ExtraField> Extra(double a, double b) => [new("field", a)];

        // The last runs suffice; the warm-up makes many.
        private void Note(char side) => Order = (Order.Length > 8 ? Order[^8..] : Order) + side;
    }
}
