using Kvcached.Bench.Simulation;
using Xunit;
using Xunit.Abstractions;

namespace Kvcached.Tests.Simulation;

/// <summary>
/// Takes one class of order away at a time, each that there is, and expects the simulation to notice within 200 seeds.
/// </summary>
public sealed class DroppedOrderTests(ITestOutputHelper output)
{
    private const int Seeds = 200;

    /// <summary>Every class of order that some programs had.</summary>
    public static TheoryData<string> Orders =>
        [.. Enumerable.Range(1, 16).SelectMany(seed => Run((ulong)seed).Orders).Distinct().Select(order => order.ToString())];

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

    private static SimulationResult Run(ulong seed, params string[] orders) =>
        SimulationRun.Run(new SimulationOptions { Seed = seed, Dropped = [.. orders.Select(DroppedOrder.Parse)] });
}
