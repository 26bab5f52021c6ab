using Kvcached.Daemon;
using Kvcached.Daemon.Replay;
using Xunit;

namespace Kvcached.Tests.Replay;

public class ReplayOptionsTests
{
    [Theory]
    [InlineData("1KiBx16", 1024, 16)]
    [InlineData("1KiB x16", 1024, 16)]
    [InlineData("256x1", 256, 1)]
    [InlineData("256KiB x 1024", 262144, 1024)]
    public void A_layout_is_bytes_per_token_and_tokens_per_block(string text, int bytes, int tokens) =>
        Assert.Equal(new ReplayLayout(bytes, tokens), ReplayLayout.Parse(text));

    [Theory]
    [InlineData("1KiB", "'1KiB' is not a layout")]
    [InlineData("1KiBx", "'1KiBx' is not a layout")]
    [InlineData("x16", "'' is not a size")]
    [InlineData("1KiBx-4", "is not a layout")]
    [InlineData("100x16", "multiple of 256")]
    [InlineData("0x16", "0 bytes per token")]
    [InlineData("512KiBx16", "at most 262144")]
    [InlineData("1KiBx24", "24 tokens per block; it must be a power of two")]
    [InlineData("1KiBx0", "0 tokens per block")]
    [InlineData("1KiBx2048", "at most 1024")]
    public void A_layout_outside_the_limits_is_refused_by_name(string text, string what) => AssertRefused(what, () => ReplayLayout.Parse(text));

    [Fact]
    public void A_layout_keeps_the_bytes_of_a_token_together()
    {
        var shape = new ReplayLayout(768, 16).ToKvLayout().ToShape();
        Assert.Equal((768u, 16ul * 768, 4u), (shape.TokenStride, shape.BlockBytes, shape.TokensPerBlockShift));
    }

    [Theory]
    [InlineData("max", double.PositiveInfinity)]
    [InlineData("1", 1.0)]
    [InlineData("2.5", 2.5)]
    public void A_speed_is_a_factor_or_max(string text, double speed) => Assert.Equal(speed, ReplayOptions.ParseSpeed(text));

    [Theory]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("fast")]
    [InlineData("NaN")]
    [InlineData("∞")]
    [InlineData("")]
    public void A_speed_that_is_no_positive_number_is_refused(string text) => AssertRefused($"'{text}'", () => ReplayOptions.ParseSpeed(text));

    [Theory]
    [InlineData(0)]
    [InlineData(-2097152)]
    [InlineData(1 << 20)]
    [InlineData((2 << 20) + 1)]
    [InlineData((1L << 40) + (2 << 20))]
    [InlineData(long.MaxValue)]
    public void A_pool_that_is_no_multiple_of_its_unit_is_refused_with_the_limits(long bytes) =>
        AssertRefused("--pool: ", () => new ReplayOptions { Pool = PoolSize.Fixed(bytes) }.Validate(), "multiple of 2MiB, at least 2MiB and at most 1TiB");

    [Theory]
    [InlineData(1)]
    [InlineData(-2097152)]
    [InlineData(long.MaxValue)]
    public void Cold_memory_that_is_no_multiple_of_its_unit_is_refused_with_the_limits(long bytes) =>
        AssertRefused("--cold: ", () => new ReplayOptions { ColdBytes = bytes }.Validate(), "multiple of 2MiB");

    [Fact]
    public void Counts_outside_their_limits_are_refused()
    {
        AssertRefused("--requests: -1", () => new ReplayOptions { Requests = -1 }.Validate(), "between 1 and 10000000");
        AssertRefused("--requests: 10000001", () => new ReplayOptions { Requests = 10_000_001 }.Validate());
        AssertRefused("--active: 16385", () => new ReplayOptions { Active = 16_385 }.Validate(), "between 1 and 16384");
        AssertRefused("--seed: -1", () => new ReplayOptions { Seed = -1 }.Validate(), "between 0 and 2147483647");
    }

    [Fact]
    public void Processes_are_counted_and_have_no_cold_memory_to_flip_a_bit_of()
    {
        AssertRefused("--processes: 17", () => new ReplayOptions { Processes = 17 }.Validate(), "between 1 and 16");
        AssertRefused("--flip-bit: ", () => new ReplayOptions { Processes = 2, FlipBit = true }.Validate(), "leave out --processes");
    }

    [Fact]
    public void Requests_are_dealt_out_in_turn_and_each_process_takes_turns_in_its_part_of_the_pool()
    {
        var requests = Enumerable.Range(1, 5).Select(i => new TraceRequest(0, i, 24)).ToArray();
        var options = new ReplayOptions { Pool = PoolSize.Fixed(64 << 20), Processes = 2 };
        var (first, second) = (ReplayPlan.CreatePart(options, requests, 0), ReplayPlan.CreatePart(options, requests, 1));
        Assert.Equal([1, 3, 5], first.Requests.Select(request => request.InputTokens));
        Assert.Equal([2, 4], second.Requests.Select(request => request.InputTokens));
        Assert.Equal(options.Pool, first.Pool);
        Assert.Equal(ReplayPlan.Create(options with { Pool = PoolSize.Fixed(32 << 20) }, requests).TurnTokens, first.TurnTokens);
    }

    [Fact]
    public void A_block_larger_than_the_pool_is_refused() =>
        AssertRefused("--layout: ", () => new ReplayOptions { Pool = PoolSize.Fixed(2 << 20), Layout = ReplayLayout.Parse("256KiBx16") }.Validate(), "4MiB");

    [Fact]
    public void A_plan_keeps_three_times_as_many_requests_live_as_the_pool_holds()
    {
        var requests = Enumerable.Repeat(new TraceRequest(0, 1000, 24), 500).ToArray();
        var plan = ReplayPlan.Create(new ReplayOptions { Pool = PoolSize.Fixed(64 << 20) }, requests);
        Assert.Equal(3 * 64, plan.Active);
        Assert.True(plan.ColdBytes >= plan.Active * 1024L * 1024);
        Assert.Equal(0, plan.ColdBytes % ReplayOptions.UnitBytes);
        Assert.InRange(plan.TurnTokens * 1024, 24L << 20, 26L << 20);
    }

    [Fact]
    public void A_plan_never_keeps_more_requests_live_than_there_are()
    {
        var plan = ReplayPlan.Create(new ReplayOptions { Pool = PoolSize.Fixed(64 << 20), Active = 100 }, [new TraceRequest(0, 10, 10)]);
        Assert.Equal(1, plan.Active);
    }

    private static void AssertRefused(string what, Action action, string also = "")
    {
        var error = Assert.Throws<UsageException>(action);
        Assert.Contains(what, error.Message, StringComparison.Ordinal);
        Assert.Contains(also, error.Message, StringComparison.Ordinal);
    }
}
