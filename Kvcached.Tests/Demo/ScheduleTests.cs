using Kvcached.Daemon;
using Kvcached.Daemon.Demo;
using Xunit;

namespace Kvcached.Tests.Demo;

public class ScheduleTests
{
    private static readonly ModelShape Shape = new();
    private static readonly byte[] Text = [.. Enumerable.Range(0, 5000).Select(i => (byte)(i * 7))];

    [Fact]
    public void The_default_workload_needs_128_MiB_and_spans_contexts_of_256_to_2048()
    {
        var requests = Workload.Create(Text, new WorkloadOptions());
        var schedule = Plan(requests, live: 64);
        Assert.True(schedule.NeededBlocks * Shape.BlockBytes >= 128L << 20);
        Assert.Equal(256, requests.Min(request => request.Context));
        Assert.Equal(2048, requests.Max(request => request.Context));
        Assert.True(Shape.Parameters >= 20_000_000);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Every_sequence_grows_to_its_context_one_step_at_a_time_prompt_first(int seed)
    {
        var requests = Workload.Create(Text, new WorkloadOptions { Seed = seed });
        var schedule = Plan(requests, live: 64);
        var tokens = new int[requests.Length];
        foreach (var step in schedule.Steps)
        {
            var items = schedule.Items.Skip(step.FirstItem).Take(step.Items).ToArray();
            Assert.Equal(step.Rows, items.Sum(item => item.NewTokens));
            Assert.Equal(step.Items, items.Select(item => item.Request).Distinct().Count());
            foreach (var (request, newTokens) in items)
            {
                Assert.Equal(step.IsPrefill, tokens[request] < requests[request].Prompt.Length);
                Assert.True(step.IsPrefill || newTokens == 1);
                tokens[request] += newTokens;
                Assert.True(!step.IsPrefill || tokens[request] <= requests[request].Prompt.Length);
            }
        }

        Assert.Equal(requests.Select(request => request.Context), tokens);
    }

    [Fact]
    public void No_more_than_the_live_sequences_live_and_a_waiting_one_starts_when_one_has_ended()
    {
        var requests = Workload.Create(Text, new WorkloadOptions());
        var schedule = Plan(requests, live: 64);
        var tokens = new int[requests.Length];
        var most = 0;
        foreach (var step in schedule.Steps)
        {
            foreach (var (request, newTokens) in schedule.Items.Skip(step.FirstItem).Take(step.Items))
            {
                tokens[request] += newTokens;
            }

            most = Math.Max(most, requests.Count(request => tokens[request.Number] > 0 && tokens[request.Number] < request.Context));
        }

        Assert.Equal(64, most);
        Assert.Equal(72, requests.Length);
    }

    [Fact]
    public void Steps_stay_within_their_limits()
    {
        var requests = Workload.Create(Text, new WorkloadOptions());
        var schedule = Plan(requests, live: 64);
        Assert.InRange(schedule.MaxRows, 1, 512);
        Assert.InRange(schedule.MaxItems, 1, 12);
    }

    [Fact]
    public void The_policy_never_names_a_sequence_that_has_ended_or_not_begun()
    {
        var requests = Workload.Create(Text, new WorkloadOptions());
        var schedule = Plan(requests, live: 64);
        var tokens = new int[requests.Length];
        foreach (var step in schedule.Steps)
        {
            foreach (var (request, newTokens) in schedule.Items.Skip(step.FirstItem).Take(step.Items))
            {
                tokens[request] += newTokens;
            }

            if (step.Action != PolicyAction.None)
            {
                Assert.InRange(tokens[step.ActionRequest], 1, requests[step.ActionRequest].Context - 1);
            }
        }

        Assert.Contains(schedule.Steps, step => step.Action == PolicyAction.Move);
    }

    [Fact]
    public void An_empty_text_is_named()
    {
        var error = Assert.Throws<UsageException>(() => Workload.Create(ReadOnlyMemory<byte>.Empty, new WorkloadOptions()));
        Assert.Contains("no bytes", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_unreadable_file_is_named()
    {
        var error = Assert.Throws<UsageException>(() => DemoText.Read("/no/such/file"));
        Assert.Contains("/no/such/file", error.Message, StringComparison.Ordinal);
    }

    private static Schedule Plan(IReadOnlyList<Request> requests, int live) =>
        Schedule.Create(requests, Shape, new ScheduleOptions { Live = live, MaxBatchBlocks = 170 });
}
