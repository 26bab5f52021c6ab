namespace Kvcached.Memory;

/// <summary>Rules of the engine that a test can switch off, to show that the simulator notices. See <c>docs/simulation.md</c>.</summary>
internal enum RuleFault
{
    None,

    /// <summary>A view slot is used again before the step that had it has been observed as ended.</summary>
    ViewSlotReusedEarly,

    /// <summary>A slot of page tables is used again before the step that had it has been observed as ended.</summary>
    PageTableSlotReusedEarly,

    /// <summary>Staging is written again before its copy has been observed.</summary>
    StagingReusedEarly,

    /// <summary>The table update stands before the copy-in of its submission.</summary>
    PublishBeforeCopyIn,

    /// <summary>A block leaves a sequence without the sequence's last step joining its frontier.</summary>
    LastStepNotHandedOver,

    /// <summary>A segment is carved again without the union of its blocks' frontiers.</summary>
    SegmentWithoutUnion,

    /// <summary>An entry that a live step's view covers is written.</summary>
    CoveredEntryWritten,

    /// <summary>An append leaves the block's cold copy valid.</summary>
    ColdCopySurvivesAppend,

    /// <summary>A truncate makes a new version of the block that it cuts, an append does not.</summary>
    VersionByTruncateOnly,

    /// <summary>A block counts as clean, but nothing remembers the copy-out that makes it so.</summary>
    CleanBeforeOrdered,

    /// <summary>A frontier keeps one value for each lane, whichever of the lane's timelines it is of.</summary>
    OneValuePerLane,

    /// <summary>A point is taken out of a frontier one signal before it has been observed.</summary>
    PrunedEarly,

    /// <summary>The upper half of a run of units that is split forgets the run's frontier.</summary>
    SplitForgetsFrontier,

    /// <summary>A row is given back without its frontier.</summary>
    RowFrontierLost,

    /// <summary>A fresh row is written where entries are dirty, not from its first entry on.</summary>
    RowReplacedWithoutCopy,

    /// <summary>An entry is not marked dirty when its block has come to other bytes.</summary>
    MoveLeavesEntry,

    /// <summary>An entry is not marked dirty when its block comes into sight of the sliding window again.</summary>
    WindowLeavesEntry,

    /// <summary>A step that appends to a block is not noted as its last writer.</summary>
    LastWriterNotNoted,

    /// <summary>A sequence does not know of the transfers that its next step must wait for.</summary>
    TransferNotNoted,

    /// <summary>A cold slot does not know of the copy-in that reads it.</summary>
    ColdReaderNotNoted,

    /// <summary>The slot of a clean block is taken back while its copy-out still reads the block's bytes.</summary>
    SlotTakenWhileCopied,

    /// <summary>A block whose writer is live is moved on the background queue.</summary>
    LiveWriterMoved,

    /// <summary>A block whose writer is live on another lane is copied out.</summary>
    LiveWriterCopied,

    /// <summary>The background queue takes bytes that wait for points of a lane.</summary>
    BackgroundIntoUnobserved,

    /// <summary>A lane takes bytes that wait for live steps of another client.</summary>
    ForeignStepAwaited,

    /// <summary>A block whose writer is live is moved to empty its segment.</summary>
    LiveWriterCompacted,

    /// <summary>The bytes that a move leaves are free before it has read them.</summary>
    MoveSourceFreedEarly,

    /// <summary>A move forgets the copy-out that makes its block clean.</summary>
    MoveForgetsCopyOut,

    /// <summary>The places that were found for a segment's blocks are not given back where there are not enough.</summary>
    PlacesNotGivenBack,

    /// <summary>A segment is emptied although a client keeps more than it may by the bytes that its blocks leave.</summary>
    CompactedBeyondLimit,

    /// <summary>A window of units that is put together of free runs has the frontier of the first alone.</summary>
    WindowWithoutUnion,

    /// <summary>Of a segment that is carved of bytes still in use, blocks but the first forget the frontier.</summary>
    CarvedFrontierForgotten,

    /// <summary>A trim takes memory whose frontier has not been observed.</summary>
    TrimmedWhileRead,

    /// <summary>A trim takes a run as it finds it, though less of it is above the floor.</summary>
    TrimmedBelowFloor,

    /// <summary>A trim ends with compaction, though what was under way then keeps memory that it was to take.</summary>
    TrimEndsEarly,

    /// <summary>Units that have no memory are used without getting it.</summary>
    UsedWithoutMemory,

    /// <summary>Units whose memory comes later are used at once.</summary>
    UsedBeforeItCame,

    /// <summary>Memory that the device refused counts as come.</summary>
    RefusalNotNoticed,

    /// <summary>Memory that was refused once is never asked for again.</summary>
    RefusedForEver,

    /// <summary>The end of a step counts as observed when its begin is.</summary>
    EndCountedFromBegin,

    /// <summary>The end of a step counts as observed although its begin, or even its plan, is still to come.</summary>
    EndBeforeBegin,

    /// <summary>The reservations of a step that turns out Busy are not given back.</summary>
    PlanNotAtomic,

    /// <summary>A client pins what it likes.</summary>
    PinnedLimitNotApplied,

    /// <summary>A reservation binds others for as long as its holder waits, whatever it waits for.</summary>
    ReservationNeverLetsPass,

    /// <summary>A step that fits nowhere waits for live steps even if they pin nothing.</summary>
    LiveStepAwaitedForNothing,

    /// <summary>A step that is refused leaves later steps of its sequences alone.</summary>
    RefusalNotCarried,

    /// <summary>A step is planned while one before it on its lane is Busy.</summary>
    StepOvertaken,

    /// <summary>A truncate is done at once, though a step of the sequence is Busy.</summary>
    TruncateOvertakesStep,

    /// <summary>A truncate that is noted on a Busy step leaves tokens committed that it takes away.</summary>
    TokensStayCommitted,

    /// <summary>A block whose writer is live is moved to restore the order of its sequence.</summary>
    LiveWriterReordered,

    /// <summary>A run is moved to bytes whose frontier has not been observed.</summary>
    RunIntoUnobserved,

    /// <summary>A run is parted where it does not fit the places that there are.</summary>
    RunParted,

    /// <summary>A handle names whatever sequence has its place now.</summary>
    GenerationNotChecked,

    /// <summary>A handle of another client is as good as one's own.</summary>
    OwnerNotChecked,

    /// <summary>A slot of windows' addresses is used again before the step that had it has been observed as ended.</summary>
    WindowSlotReusedEarly,

    /// <summary>The address of a window that an earlier step staged is published for a sequence that has none.</summary>
    WindowAddressLeft,

    /// <summary>The upper half of a window that a truncate halves is free at once.</summary>
    HalfWithoutFrontier,

    /// <summary>A window grows over units without waiting for what uses them.</summary>
    GrownWithoutFrontier,

    /// <summary>A window that was given up is believed to have its tokens when it has bytes again.</summary>
    EmptiedWindowCurrent,

    /// <summary>A window is believed to have tokens that steps wrote which did not use it.</summary>
    WindowMissesAppend,

    /// <summary>A window is not measured against what its client may pin.</summary>
    WindowNotMeasured,

    /// <summary>A window whose bytes no step has used yet forgets what these wait for.</summary>
    FreshWindowForgetsFrontier,

    /// <summary>A window that a Busy step was given is found by nobody who needs room.</summary>
    WindowNotListed,

    /// <summary>Bytes that wait for a client's points are not counted as pinned once their segment is free units again.</summary>
    WaitingRunNotPinned,

    /// <summary>Blocks of different tenants lie in one segment.</summary>
    SegmentShared,

    /// <summary>Another tenant's blocks are taken although it has no more than it is guaranteed.</summary>
    TakenBelowMin,

    /// <summary>A tenant holds what it likes.</summary>
    MaxNotApplied,

    /// <summary>A tenant gets bytes of another's as that has left them.</summary>
    NotScrubbed,

    /// <summary>What fills bytes with zeros does not wait for those who use them still.</summary>
    ScrubbedEarly,

    /// <summary>A segment that is given back forgets whose bytes it has.</summary>
    OwnerForgotten,

    /// <summary>A client is reclaimed before it has been proved that nothing of it can write.</summary>
    ReclaimedBeforeProof,

    /// <summary>A client that is gone is reclaimed before its transfers are over.</summary>
    ReclaimedBeforeDrained,

    /// <summary>The ends of a client that is gone count at once, whether or not its steps have begun.</summary>
    EndsOfTheGoneCountedEarly,

    /// <summary>The ends of a client that is gone are signalled at once, whether or not its steps have begun.</summary>
    EndsOfTheGoneSignalledEarly,

    /// <summary>Nobody signals the ends of a client that is gone, for which its transfers wait.</summary>
    EndsOfTheGoneNotSignalled,

    /// <summary>A step that waits when its client is condemned is published all the same.</summary>
    WaitingStepOutlivesClient,

    /// <summary>A client that is condemned keeps the reservation.</summary>
    ReservationOfTheDead,

    /// <summary>A lane that has the number of another begins at zero, not at that one's last values.</summary>
    ReusedLaneBeginsAtZero,

    /// <summary>A lease runs before the step's begin point has been reached.</summary>
    LeaseBeforeBegin,

    /// <summary>A lease runs on from one step to the next.</summary>
    LeaseNotRenewed,
}

/// <summary>Constant false, and compiled away, but in the assembly that is built to be wrong.</summary>
internal static class RuleFaults
{
#if KVCACHED_FAULTS
    [ThreadStatic]
    private static RuleFault _active;

    /// <summary>Switches one fault on for this thread.</summary>
    public static void Activate(RuleFault fault) => _active = fault;

    public static bool Is(RuleFault fault) => _active == fault;
#else
    public static void Activate(RuleFault fault)
    {
        if (fault != RuleFault.None)
        {
            throw new NotSupportedException($"Rule fault {fault} is not compiled into this assembly.");
        }
    }

    public static bool Is(RuleFault fault) => false;
#endif
}
