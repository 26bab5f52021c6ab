extern alias faulty;

using Xunit;
using Faulty = faulty::Kvcached.Bench.Simulation;
using True = Kvcached.Bench.Simulation;

namespace Kvcached.Tests.Simulation;

/// <summary>
/// Programs that showed a bug which the engine once had, shrunk, or that come to what few drawn ones do. They are kept as data: what a seed draws
/// changes with the drawing. Each passes; those of a bug still show it where that is put back as a rule fault.
/// </summary>
public sealed class KeptProgramTests
{
    [Theory]
    [InlineData("EndsOfTheGoneSignalledEarly", "Race pool")]
    [InlineData("WindowNotListed", "InvalidOperationException Client # has stalled and keeps # bytes and # of rows from others; step # of lane #, of client #, waits although it fits beside that.")]
    [InlineData("WindowLeavesEntry", "Content")]
    [InlineData("TokensStayCommitted", "KvException # token ids, but only -# of the sequence's # tokens have not been committed.")]
    [InlineData("SlotTakenWhileCopied", "Race pool")]
    [InlineData("EndBeforeBegin", "Race staging of lane #")]
    public void A_program_that_showed_a_bug_passes_and_shows_it_when_it_is_put_back(string bug, string kind)
    {
        var result = True.SimulationRun.Run(True.KeptPrograms.All[bug], new True.RunOptions());
        Assert.Equal((True.SimulationOutcome.Pass, null), (result.Outcome, result.Violation ?? result.Inconclusive));
        Assert.Equal(kind, Faulty.SimulationRun.Run(Faulty.KeptPrograms.All[bug], new Faulty.RunOptions { Fault = bug }).ViolationKind);
    }

    [Theory]
    [InlineData("{\"Setup\":{\"Seed\":16", "{\"Setup\":{\"Seed\":16", null)]
    [InlineData("\"PoolUnits\":1", "\"PoolUnits\":0", "PoolUnits must be 1 to 16384, not 0.")]
    [InlineData("\"PoolUnits\":1", "\"PoolUnits\":1,\"PoolFloorUnits\":2", "PoolFloorUnits must be 0 to 1, not 2.")]
    [InlineData("\"TableUnits\":15", "\"TableUnits\":999999999", "TableUnits must be 1 to 16384, not 999999999.")]
    [InlineData("\"PoolUnits\":1", "\"PoolUnits\":1,\"ColdUnits\":-1", "ColdUnits must be 0 to 16384, not -1.")]
    [InlineData("\"LaneDepths\":[1]", "\"LaneDepths\":[]", "number of a client's lanes must be 1 to 2, not 0.")]
    [InlineData("\"LaneDepths\":[1]", "\"LaneDepths\":[0]", "depth of a lane must be 1 to 64, not 0.")]
    [InlineData("\"TokenBytes\":64", "\"TokenBytes\":-1", "TokenBytes must be 64 to 4096, not -1.")]
    [InlineData("\"TokensPerBlock\":8", "\"TokensPerBlock\":3", "TokenBytes must be a multiple of 64 and TokensPerBlock a power of two, not 64 and 3.")]
    public void A_program_whose_set_up_cannot_be_had_is_not_read(string part, string replacement, string? error)
    {
        var exception = Record.Exception(() => True.SimulatedProgram.Parse(True.KeptPrograms.All["EndBeforeBegin"].ToJson().Replace(part, replacement, StringComparison.Ordinal)));
        Assert.Equal(error, exception?.Message);
    }

    [Theory]
    [InlineData("null")]
    [InlineData("{\"Setup\":{\"Seed\":1,\"PoolUnits\":1,\"TableUnits\":1,\"Clients\":null},\"Operations\":[]}")]
    [InlineData("{\"Setup\":{\"Seed\":1,\"PoolUnits\":1,\"TableUnits\":1,\"Clients\":[null]},\"Operations\":[]}")]
    [InlineData("{\"Setup\":null,\"Operations\":[]}")]
    public void What_is_no_program_is_not_read(string json) => Assert.Throws<System.Text.Json.JsonException>(() => True.SimulatedProgram.Parse(json));

    [Fact]
    public void A_program_is_read_as_it_was_written()
    {
        var program = True.SimulatedProgram.Draw(seed: 0, operations: 50, clients: 2).Cut(50);
        var read = True.SimulatedProgram.Parse(program.ToJson());
        Assert.Equal(program.Operations, read.Operations);
        Assert.Equal(program.ToJson(), read.ToJson());
        Assert.Equal(True.SimulationRun.Run(program, new True.RunOptions()).TraceHash, True.SimulationRun.Run(read, new True.RunOptions()).TraceHash);
    }
}
