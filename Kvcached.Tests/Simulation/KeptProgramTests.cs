extern alias faulty;

using Xunit;
using Faulty = faulty::Kvcached.Bench.Simulation;
using True = Kvcached.Bench.Simulation;

namespace Kvcached.Tests.Simulation;

/// <summary>
/// Programs that showed a bug which the engine once had, shrunk. They are kept as data: what a seed draws changes with the drawing. Each still
/// shows its bug where that is put back as a rule fault.
/// </summary>
public sealed class KeptProgramTests
{
    private const string WindowMovedBack = """
        {"Setup":{"Seed":6,"PoolUnits":10,"TableUnits":5,"Clients":[{"Layouts":[{"TokenBytes":320,"TokensPerBlock":8,"Window":14}],"LaneDepths":[4]}]},"Operations":[
            {"Command":"Create","Slot":4,"Tokens":16843009,"SkipsTurn":true},
            {"Command":"Create","Tokens":16843009,"SkipsTurn":true},
            {"Command":"Step","Slot":4,"Tokens":201457928,"SkipsTurn":true},
            {"Command":"Step","Others":1,"Tokens":33555968,"SkipsTurn":true,"Slices":9},
            {"Command":"Step","Others":2,"Tokens":33687554,"SkipsTurn":true},
            {"Command":"MoveInBackground","Slot":1,"Tokens":16843009},
            {"Command":"Step","Slot":3,"Tokens":50397698,"SkipsTurn":true},
            {"Command":"Truncate","Slot":2,"Tokens":16843009,"Amount":31029,"SkipsTurn":true},
            {"Command":"Step","Slot":4,"Tokens":16843009,"SkipsTurn":true}]}
        """;

    private const string TruncateOfACommittedWaitingStep = """
        {"Setup":{"Seed":4,"PoolUnits":2,"TableUnits":15,"Clients":[{"Layouts":[{"TokenBytes":64,"TokensPerBlock":4}],"LaneDepths":[4]},{"Layouts":[{"TokenBytes":256,"TokensPerBlock":8},{"TokenBytes":256,"TokensPerBlock":2}],"LaneDepths":[2]}]},"Operations":[
            {"Command":"Create","Tokens":16843009,"SkipsTurn":true},
            {"Command":"Create","Client":1,"Tokens":16843009,"SkipsTurn":true},
            {"Command":"Step","Client":1,"Tokens":16843009,"SkipsTurn":true},
            {"Command":"Step","Tokens":100991239,"SkipsTurn":true},
            {"Command":"Commit","Tokens":16843009,"Amount":31979,"SkipsTurn":true},
            {"Command":"Truncate","Tokens":16843009,"SkipsTurn":true},
            {"Command":"Commit","Tokens":16843009,"SkipsTurn":true}]}
        """;

    private const string SlotTakenBackWhileItsCopyOutReads = """
        {"Setup":{"Seed":380,"PoolUnits":6,"ColdUnits":4,"TableUnits":7,"SharesExceedPool":true,"Clients":[{"Layouts":[{"TokenBytes":256,"TokensPerBlock":8},{"TokenBytes":256,"TokensPerBlock":2}],"LaneDepths":[2,1]}]},"Operations":[
            {"Command":"Create","Slot":1,"Tokens":16843009,"SkipsTurn":true},
            {"Command":"Step","Tokens":33620491,"SkipsTurn":true},
            {"Command":"Evict","Tokens":16843009,"SkipsTurn":true,"Slices":-1},
            {"Command":"Step","Lane":1,"Tokens":16843009},
            {"Command":"Create","Tokens":16843009,"SkipsTurn":true},
            {"Command":"Step","Tokens":16843269,"SkipsTurn":true},
            {"Command":"Step","Others":1,"Tokens":83888648,"SkipsTurn":true},
            {"Command":"Evict","Tokens":16843009,"SkipsTurn":true,"Slices":-1},
            {"Command":"Clean","Slot":1,"Tokens":16843009},
            {"Command":"Clean","Slot":1,"Tokens":16843009,"SkipsTurn":true},
            {"Command":"Evict","Lane":1,"Slot":1,"Tokens":16843009,"SkipsTurn":true,"Slices":4},
            {"Command":"Step","Tokens":16843009}]}
        """;

    private const string EndSignalledBeforeItsBegin = """
        {"Setup":{"Seed":16,"PoolUnits":1,"TableUnits":15,"Clients":[{"Layouts":[{"TokenBytes":64,"TokensPerBlock":8}],"LaneDepths":[1]}]},"Operations":[
            {"Command":"Create","Tokens":16843009,"SkipsTurn":true},
            {"Command":"Step","Tokens":16843009,"EndsEarly":true,"SkipsTurn":true,"Slices":2},
            {"Command":"Step","Tokens":16843009}]}
        """;

    private const string WindowOfABusyStep = """
        {"Setup":{"Seed":1573,"PoolUnits":8,"TableUnits":14,"Clients":[{"Layouts":[{"TokenBytes":128,"TokensPerBlock":2},{"TokenBytes":640,"TokensPerBlock":8}],"LaneDepths":[3],"HasWindows":true},{"Layouts":[{"TokenBytes":64,"TokensPerBlock":8},{"TokenBytes":256,"TokensPerBlock":4}],"LaneDepths":[1],"HasWindows":true},{"Layouts":[{"TokenBytes":64,"TokensPerBlock":8}],"LaneDepths":[1]}]},"Operations":[
            {"Command":"Create","SkipsTurn":true},
            {"Command":"OpenWindow","SkipsTurn":true},
            {"Command":"Create","Client":2,"SkipsTurn":true},
            {"Command":"Step","Tokens":16843009,"SkipsTurn":true,"Slices":-1},
            {"Command":"Step","Client":2,"Tokens":16843009},
            {"Command":"Commit","Client":2,"SkipsTurn":true,"StallsForEver":true},
            {"Command":"Create","Client":1,"SkipsTurn":true},
            {"Command":"OpenWindow","Client":1,"SkipsTurn":true},
            {"Command":"OpenWindow","Client":1,"Amount":1,"SkipsTurn":true},
            {"Command":"Step","Client":1,"Tokens":16843009,"SkipsTurn":true},
            {"Command":"Step","Tokens":16843009,"SkipsTurn":true}]}
        """;

    private const string EndOfADeadStepBeforeItsBegin = """
        {"Setup":{"Seed":14,"PoolUnits":1,"ColdUnits":1,"TableUnits":5,"Clients":[{"Layouts":[{"TokenBytes":64,"TokensPerBlock":8}],"LaneDepths":[4]}]},"Operations":[
            {"Command":"Create","Tokens":16843009,"SkipsTurn":true},
            {"Command":"Step","Tokens":16843009,"SkipsTurn":true},
            {"Command":"Evict","Tokens":16843009,"SkipsTurn":true},
            {"Command":"Step","Tokens":16843009,"SkipsTurn":true},
            {"Command":"Kill","Tokens":16843009,"SkipsTurn":true},
            {"Command":"Clean","Tokens":16843009,"SkipsTurn":true}]}
        """;

    [Theory]
    [InlineData(EndOfADeadStepBeforeItsBegin, "EndsOfTheGoneSignalledEarly", "Race pool")]
    [InlineData(WindowOfABusyStep, "WindowNotListed", "InvalidOperationException Client # has stalled and keeps # bytes and # of rows from others; step # of lane #, of client #, waits although it fits beside that.")]
    [InlineData(WindowMovedBack, "WindowLeavesEntry", "Content")]
    [InlineData(TruncateOfACommittedWaitingStep, "TokensStayCommitted", "KvException # token ids, but only -# of the sequence's # tokens have not been committed.")]
    [InlineData(SlotTakenBackWhileItsCopyOutReads, "SlotTakenWhileCopied", "Race pool")]
    [InlineData(EndSignalledBeforeItsBegin, "EndBeforeBegin", "Race staging of lane #")]
    public void A_program_that_showed_a_bug_passes_and_shows_it_when_it_is_put_back(string program, string bug, string kind)
    {
        var result = True.SimulationRun.Run(True.SimulatedProgram.Parse(program), new True.RunOptions());
        Assert.Equal((True.SimulationOutcome.Pass, null), (result.Outcome, result.Violation ?? result.Inconclusive));
        Assert.Equal(kind, Faulty.SimulationRun.Run(Faulty.SimulatedProgram.Parse(program), new Faulty.RunOptions { Fault = bug }).ViolationKind);
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
        var exception = Record.Exception(() => True.SimulatedProgram.Parse(EndSignalledBeforeItsBegin.Replace(part, replacement, StringComparison.Ordinal)));
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
