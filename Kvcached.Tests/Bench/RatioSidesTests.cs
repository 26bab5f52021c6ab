using Kvcached.Bench.Ratios;
using Kvcached.Kernels;
using Xunit;

namespace Kvcached.Tests.Bench;

// Sides bind threads to processors.
[Collection(nameof(RatioRunTests))]
public class RatioSidesTests
{
    [Theory]
    [InlineData(4, 8, null)]
    [InlineData(3.9, 8, "3.9 GB/s of churn; it must be half of the 8.0 GB/s of plain copies")]
    [InlineData(double.NaN, 8, "NaN GB/s of churn; it must be half of the 8.0 GB/s of plain copies")]
    public void Churn_below_half_of_the_plain_copies_fails_the_line(double churn, double plain, string? missed) =>
        Assert.Equal(missed, DecodeBesideSides.MissedRate("churn", churn, plain));

    [Fact]
    public void A_contiguous_kernel_below_its_part_of_the_read_bandwidth_fails_the_line()
    {
        using var sides = new AttentionSides(
            (KernelNames.DecodePaged, KernelNames.DecodeContiguous), new AttentionSize(Sequences: 1, Tokens: 64, NewTokens: 1), ElementFormat.Float32, isScattered: false, leastReadShare: 0.6);
        sides.RunBeside();
        var share = sides.Extra(1, 1).Single(field => field.Name == "float32_read_share").Value;
        var bytes = 64 * AttentionSize.Heads * AttentionSize.HeadDim * sizeof(float) * 2;
        Assert.Equal(bytes / sides.Extra(1, 1).Single(field => field.Name == "float32_read_gb_s").Value, share, share * 1e-9);

        // Taking so much longer it reads at that part of the bandwidth.
        Assert.Null(sides.Missed(1, share / 0.61));
        Assert.Equal("the Float32 twin reads at 59 % of the read bandwidth; it must reach 60 %", sides.Missed(1, share / 0.59));
    }

    [Theory]
    [InlineData("Float32", 0.6)]
    [InlineData("Float16", 0.35)]
    [InlineData("BFloat16", 0.35)]
    public void The_part_of_the_read_bandwidth_is_the_one_that_is_promised(string format, double share) =>
        Assert.Equal(share, RatiosCommand.LeastReadShare(Enum.Parse<ElementFormat>(format)));

    [Fact]
    public void Every_allocation_in_the_middle_half_of_the_turns_counts()
    {
        var totals = new SteadyStateSides.Stretch[8];
        for (var turn = 0; turn < 8; turn++)
        {
            totals[turn] = new(turn < 2 ? 1000 * turn : turn < 5 ? 2000 : 2001, 10 * turn, 20 * turn);
        }

        Assert.Equal((new SteadyStateSides.Stretch(1, 40, 80), 4), SteadyStateSides.MiddleHalf(totals));
    }

    [Theory]
    [InlineData(100, 100, true)]
    [InlineData(99, 100, false)]
    [InlineData(100, 99, false)]
    public void A_stretch_without_evictions_or_reloads_is_not_busy(long evicted, long reloaded, bool isBusy) =>
        Assert.Equal(isBusy, new SteadyStateSides.Stretch(0, evicted, reloaded).IsBusy);

    [Theory]
    [InlineData(typeof(DecodeUnderChurnSides))]
    [InlineData(typeof(SteadyStateSides))]
    [InlineData(typeof(DecodeDuringCompactionSides))]
    [InlineData(typeof(SegmentHandoverSides))]
    public void The_line_fails_where_nothing_shows_that_its_condition_is_met(Type type)
    {
        using var sides = (RatioSides)Activator.CreateInstance(type)!;

        Assert.NotNull(sides.Missed(1, 1));
    }

    [Fact]
    public void Steps_of_a_run_are_begun_at_once_however_many_they_are()
    {
        using var sides = new ManySteps();

        Assert.True(sides.RunB() > 0);
    }

    [Fact]
    public void A_handover_counts_its_99th_percentile_and_moves_what_plain_copies_copy()
    {
        using var sides = new SegmentHandoverSides();
        var times = Enumerable.Range(0, 4).Select(_ => sides.RunA()).ToArray();
        var plain = Enumerable.Range(0, 3).Select(_ => sides.RunB()).ToArray();

        Assert.Null(sides.Missed(1, 1));
        Assert.Equal(times.Max() / 2, sides.ValueOf(new RatioGoal("handover", "ratio", 1.5, GoalDirection.AtMost, RatioGoal.Quotient), [1], [2]));
        Assert.Equal(3 * ((plain.Max() / plain.Order().ElementAt(1)) - 1), sides.NoiseOf(3, [1]), 1e-9);
        Assert.Equal(16, sides.Extra(1, 1).Single(field => field.Name == "moved_mib").Value);
    }

    [Theory]
    [InlineData(typeof(RemapSides))]
    [InlineData(typeof(EvictReloadSides))]
    [InlineData(typeof(CompactionSides))]
    [InlineData(typeof(DecodeDuringCompactionSides))]
    [InlineData(typeof(SegmentHandoverSides))]
    public void Sides_that_check_what_they_move_find_nothing_wrong(Type type)
    {
        using var sides = (RatioSides)Activator.CreateInstance(type)!;

        Assert.True(sides.RunA() > 0);
        Assert.True(sides.RunB() > 0);
        Assert.True(sides.RunA() > 0);
    }

    private sealed class ManySteps() : DecodeUnderChurnSides(device: null, new DecodeLoad(Sequences: 1, Tokens: 64, Steps: 16) { IsPinned = false }, poolBytes: 192 << 20);
}
