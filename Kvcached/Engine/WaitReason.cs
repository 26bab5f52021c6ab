namespace Kvcached.Engine;

/// <summary>
/// Classes of order that the access tracker derives: what follows what. A wait carries its class, so that traces say why it is there and fault
/// injection can drop one class at a time.
/// </summary>
internal enum WaitReason
{
    None,

    /// <summary>A copy-out reads bytes that a step writes.</summary>
    CopyOutAfterWriter,

    /// <summary>A copy-out reads bytes that a copy-in or a move writes.</summary>
    CopyOutAfterTransfer,

    /// <summary>A copy-in overwrites bytes that steps read.</summary>
    CopyInAfterReaders,

    /// <summary>A copy-in overwrites bytes that a copy-out reads.</summary>
    CopyInAfterCopyOut,

    /// <summary>A copy-in overwrites bytes that another copy-in or a move touches.</summary>
    CopyInAfterTransfer,

    /// <summary>A copy-in reads the cold slot that a copy-out of its own lane writes.</summary>
    ReloadAfterCopyOut,

    /// <summary>A copy-in reads the cold slot that a copy-out of another lane writes.</summary>
    ReloadAcrossLanes,

    /// <summary>A copy-in reads the cold slot that a copy-out of the background queue writes.</summary>
    ReloadAfterBackground,

    /// <summary>A copy-in joins another that reads the same slot, so that the slot need remember the last one only.</summary>
    ReloadAfterReload,

    /// <summary>A copy-out overwrites a cold slot that a copy-in reads.</summary>
    ColdReuseAfterCopyIn,

    /// <summary>A copy-out overwrites a cold slot that a copy-out of the background queue writes.</summary>
    ColdReuseAfterBackground,

    /// <summary>A move reads bytes that a step writes.</summary>
    MoveAfterWriter,

    /// <summary>A move reads bytes that a copy-in or another move writes.</summary>
    MoveAfterTransfer,

    /// <summary>A move overwrites bytes that steps read.</summary>
    MoveIntoAfterReaders,

    /// <summary>A move overwrites bytes that a copy-out reads.</summary>
    MoveIntoAfterCopyOut,

    /// <summary>A move overwrites bytes that another transfer touches.</summary>
    MoveIntoAfterTransfer,

    /// <summary>A step writes into a new block whose bytes a copy-out reads.</summary>
    NewBlockAfterCopyOut,

    /// <summary>A step writes into a new block whose bytes a transfer touches.</summary>
    NewBlockAfterTransfer,

    /// <summary>A publish fills bytes with zeros that steps read.</summary>
    ScrubAfterReaders,

    /// <summary>A publish fills bytes with zeros that a copy-out reads.</summary>
    ScrubAfterCopyOut,

    /// <summary>A publish fills bytes with zeros that a transfer touches.</summary>
    ScrubAfterTransfer,

    /// <summary>A step writes into a block that a copy-out reads.</summary>
    AppendAfterCopyOut,

    /// <summary>A step uses blocks that the background queue wrote.</summary>
    StepAfterBackground,

    /// <summary>A step uses blocks that another lane's transfers wrote.</summary>
    StepAfterTransfer,

    /// <summary>A step uses a sequence whose last step was another lane's.</summary>
    StepAfterOtherLane,

    /// <summary>A publish writes a row that views of other steps cover.</summary>
    RowReuseAfterSteps,

    /// <summary>A publish gathers tokens that the sequence's last step writes.</summary>
    GatherAfterWriter,

    /// <summary>A publish gathers into bytes that steps read.</summary>
    GatherAfterReaders,
}
