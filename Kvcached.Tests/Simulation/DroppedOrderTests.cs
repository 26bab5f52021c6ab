using Kvcached.Bench.Simulation;
using Xunit;
using Xunit.Abstractions;

namespace Kvcached.Tests.Simulation;

/// <summary>
/// Takes one class of order away at a time, each that there is, and expects the simulation to notice within 200 seeds; or, where another order
/// implies it, to notice only what is missing when that one is gone too.
/// </summary>
public sealed class DroppedOrderTests(ITestOutputHelper output)
{
    private const int Seeds = 200;

    /// <summary>Orders that another implies, and that one. Why, says <c>docs/simulation.md</c>.</summary>
    public static readonly TheoryData<string, string> Implied = new()
    {
        { "queue lane in: lane Begin before lane In", "queue lane in: lane In before lane In" },
    };

    /// <summary>Every class of order that some programs had.</summary>
    public static TheoryData<string> Orders =>
        [.. Enumerable.Range(1, 16).SelectMany(seed => Run((ulong)seed).Orders).Distinct().Select(order => order.ToString()).Except(Implied.Select(row => (string)row[0]))];

    [Theory]
    [MemberData(nameof(Orders))]
    public void An_order_that_is_dropped_is_noticed(string order)
    {
        long dropped = 0, implied = 0;
        for (var seed = 1UL; seed <= Seeds; seed++)
        {
            var result = Run(seed, order);
            dropped += result.DroppedWaits;
            implied += result.ImpliedWaits;
            if (result.Violation is { } violation)
            {
                output.WriteLine($"{order}: noticed by seed {seed} after {result.Operations} operations, {dropped} waits dropped, {implied} implied: {violation}");
                return;
            }
        }

        Assert.Fail($"{order}: not noticed in {Seeds} seeds; {dropped} waits dropped, {implied} of them implied by others.");
    }

    /// <summary>
    /// Orders of queues and of what is observed change nothing of a run but what counts as ordered. So where a run without both orders ends
    /// before one without the second alone, it is the first that is missed there.
    /// </summary>
    [Theory]
    [MemberData(nameof(Implied))]
    public void An_order_that_another_implies_is_noticed_without_both(string order, string other)
    {
        for (var seed = 1UL; seed <= Seeds; seed++)
        {
            var both = Run(seed, order, other);
            if (both.Violation is { } violation && Run(seed, other).Operations > both.Operations)
            {
                output.WriteLine($"{order}, with {other}: noticed by seed {seed} after {both.Operations} operations: {violation}");
                Assert.Null(Run(seed, order).Violation);
                return;
            }
        }

        Assert.Fail($"{order}: without {other} too, not noticed in {Seeds} seeds.");
    }

    [Theory]
    [MemberData(nameof(Implied))]
    public void An_order_that_another_implies_is_not_missed(string order, string other)
    {
        var seeds = Enumerable.Range(1, Seeds / 4).AsParallel().Where(seed => Run((ulong)seed, order).Violation is not null);
        Assert.True(!seeds.Any(), $"{order} is missed by seed {seeds.FirstOrDefault()}: {other} does not imply it.");
    }

    private static SimulationResult Run(ulong seed, params string[] orders) =>
        SimulationRun.Run(new SimulationOptions { Seed = seed, Dropped = [.. orders.Select(DroppedOrder.Parse)] });
}
