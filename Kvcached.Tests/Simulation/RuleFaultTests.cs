extern alias faulty;

using faulty::Kvcached.Bench.Simulation;
using Kvcached.Memory;
using Xunit;
using Xunit.Abstractions;

namespace Kvcached.Tests.Simulation;

/// <summary>
/// Breaks one rule of the engine at a time, in an assembly compiled from the library's sources with the breaks compiled in, and expects the
/// simulation to notice within 200 seeds.
/// </summary>
public sealed class RuleFaultTests(ITestOutputHelper output)
{
    private const int Seeds = 200;
    private const int Operations = 2000;

    public static TheoryData<string> Faults => [.. Enum.GetNames<RuleFault>().Except([nameof(RuleFault.None)])];

    [Fact]
    public void No_rule_broken_is_clean_in_the_same_assembly()
    {
        for (var seed = 1UL; seed <= 20; seed++)
        {
            Assert.Null(SimulationRun.Run(new SimulationOptions { Seed = seed, Operations = Operations }).Violation);
        }
    }

    [Theory]
    [MemberData(nameof(Faults))]
    public void A_broken_rule_is_noticed(string fault)
    {
        for (var seed = 1UL; seed <= Seeds; seed++)
        {
            var result = SimulationRun.Run(new SimulationOptions { Seed = seed, Operations = Operations, Fault = fault });
            if (result.Violation is { } violation)
            {
                output.WriteLine($"{fault}: noticed by seed {seed} after {result.Operations} operations: {violation}");
                return;
            }
        }

        Assert.Fail($"{fault}: not noticed in {Seeds} seeds.");
    }
}
