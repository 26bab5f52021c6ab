extern alias faulty;

using FsCheck;
using FsCheck.Fluent;
using Xunit;
using Xunit.Abstractions;
using Faulty = faulty::Kvcached.Bench.Simulation;
using True = Kvcached.Bench.Simulation;

namespace Kvcached.Tests.Simulation;

/// <summary>
/// FsCheck over simulated programs: random ones pass, and one that fails is shrunk to the few commands that it takes, failing in the same way.
/// </summary>
public sealed class ShrinkingTests(ITestOutputHelper output)
{
    private const int Operations = 2000;
    private const int Clients = 3;
    private const int FewCommands = 12;
    private const int Candidates = 32;

    [Theory]
    [InlineData("ViewSlotReusedEarly")]
    [InlineData("PublishBeforeCopyIn")]
    [InlineData("LastStepNotHandedOver")]
    [InlineData("CoveredEntryWritten")]
    [InlineData("ColdCopySurvivesAppend")]
    [InlineData("WindowLeavesEntry")]
    [InlineData("MoveLeavesEntry")]
    [InlineData("MoveForgetsCopyOut")]
    [InlineData("TrimmedWhileRead")]
    public void A_program_that_shows_a_broken_rule_shrinks_to_a_few_commands(string fault) => ExpectFewCommands(new Faulty.RunOptions { Fault = fault });

    [Theory]
    [InlineData("wait CopyOutAfterWriter")]
    [InlineData("wait AppendAfterCopyOut")]
    [InlineData("wait StepAfterOtherLane")]
    [InlineData("queue lane in: lane In before lane Begin")]
    public void A_program_that_shows_a_dropped_order_shrinks_to_a_few_commands(string order) =>
        ExpectFewCommands(new Faulty.RunOptions { Dropped = [Faulty.DroppedOrder.Parse(order)] });

    [Fact]
    public void Any_program_passes()
    {
        var programs = Gen.Choose(1, int.MaxValue).SelectMany(seed => Gen.Choose(1, 4).SelectMany(clients => Gen.Choose(20, 400).Select(
            count => True.SimulatedProgram.Draw((ulong)seed, count, clients).Cut(count))));
        Prop.ForAll(Arb.From(programs, True.ProgramShrinker.Smaller), ExpectNoViolation).Check(Config.QuickThrowOnFailure.WithMaxTest(200));
    }

    private static void ExpectNoViolation(True.SimulatedProgram program)
    {
        var options = new True.RunOptions();
        if (True.SimulationRun.Run(program, options).Violation is not null)
        {
            var log = new StringWriter();
            Assert.Fail($"{True.SimulationRun.Run(program, options with { Log = log }).Violation}\n{log}");
        }
    }

    /// <summary>Looks for a program that fails, lets FsCheck shrink it, and counts what is left.</summary>
    private void ExpectFewCommands(Faulty.RunOptions options)
    {
        var (failing, kind) = FindFailing(options);
        var smallest = failing;
        var programs = Arb.From(Gen.Constant(failing), Faulty.ProgramShrinker.Smaller);
        var property = Prop.ForAll(programs, program =>
        {
            var fails = Faulty.SimulationRun.Run(program, options).ViolationKind == kind;
            smallest = fails ? program : smallest;
            return !fails;
        });
        Assert.ThrowsAny<Exception>(() => property.Check(Config.QuickThrowOnFailure.WithMaxTest(1)));

        var log = new StringWriter();
        var result = Faulty.SimulationRun.Run(smallest, options with { Log = log });
        output.WriteLine($"{failing.Operations.Count()} commands shrunk to {smallest.Operations.Count()}: {kind}\n{log}\n{result.Violation}");
        Assert.Equal(kind, result.ViolationKind);
        Assert.InRange(smallest.Operations.Count(), 1, FewCommands);
    }

    /// <summary>Of the first programs that fail, the one that does so soonest: what a long one shrinks to is often longer.</summary>
    private static (Faulty.SimulatedProgram Program, string Kind) FindFailing(Faulty.RunOptions options)
    {
        var failing = new List<(Faulty.SimulatedProgram Program, string Kind, int Operations)>();
        for (var seed = 1UL; failing.Count < Candidates; seed++)
        {
            var program = Faulty.SimulatedProgram.Draw(seed, Operations, Clients);
            var result = Faulty.SimulationRun.Run(program, options);
            if (result.ViolationKind is { } kind)
            {
                failing.Add((program.Cut(result.ReadOperations), kind, result.ReadOperations));
            }
        }

        var (soonest, itsKind, _) = failing.MinBy(candidate => candidate.Operations);
        return (soonest, itsKind);
    }
}
