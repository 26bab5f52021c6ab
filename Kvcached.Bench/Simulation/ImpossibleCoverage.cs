namespace Kvcached.Bench.Simulation;

/// <summary>Commands that never meet a block in some condition, and why. Every other pair is possible, and must be met.</summary>
public static class ImpossibleCoverage
{
    private static readonly (Predicate<(SimulatedCommand Command, BlockCondition Condition, bool IsLive)> Covers, string Reason)[] _rules =
    [
        (pair => pair.Command is SimulatedCommand.Create, "it makes a sequence, and meets none"),
        (pair => pair.Command is SimulatedCommand.Commit, "it tells token ids, and touches no block"),
        (pair => pair.Command is (SimulatedCommand.Compact or SimulatedCommand.Trim), "it is about the pool, and names no block"),
        (pair => pair.Command is (SimulatedCommand.Kill or SimulatedCommand.Condemn or SimulatedCommand.ProveGone), "it is about a client, and names no block"),
        (pair => pair.Command is SimulatedCommand.Empty && pair.Condition is (BlockCondition.None or BlockCondition.Leaving or BlockCondition.Cold), "it moves what is on the device"),
        (pair => pair.Command is SimulatedCommand.Empty && pair.Condition is (BlockCondition.WrittenDirty or BlockCondition.WrittenCleaning or BlockCondition.WrittenClean), "it leaves a block alone whose writer has not been observed"),
        (pair => pair.Command is SimulatedCommand.MakeRoom && pair.Condition is (BlockCondition.None or BlockCondition.Leaving or BlockCondition.Cold), "it drops what is on the device"),
        (pair => !pair.IsLive && pair.Condition is (BlockCondition.WrittenDirty or BlockCondition.WrittenCleaning or BlockCondition.WrittenClean), "the step that wrote it is in flight"),
    ];

    /// <summary>
    /// Whether a pair is too rare to be asked for, met once in a million operations or less: a segment is emptied for a lane while the background queue is
    /// still filling it (<c>CompactionTests</c> show it); a lane drops what its own live step has written, and the copy has been observed before the step's
    /// end (<c>LoopTests</c>).
    /// </summary>
    public static bool IsRare(SimulatedCommand command, BlockCondition condition) => (command, condition)
        is (SimulatedCommand.Empty, BlockCondition.ArrivingDirty or BlockCondition.ArrivingCleaning or BlockCondition.ArrivingClean)
        or (SimulatedCommand.MakeRoom, BlockCondition.WrittenClean);

    /// <summary>Why a command cannot meet a condition, or null if it can.</summary>
    public static string? ReasonFor(SimulatedCommand command, BlockCondition condition, bool isLive) =>
        Array.Find(_rules, rule => rule.Covers((command, condition, isLive))).Reason;
}
