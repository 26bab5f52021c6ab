using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Bench.Simulation;

/// <summary>
/// What state a block can be in, as far as anything that is done with it depends on that: whether it is on the device, what has written its bytes there
/// and not been observed, and what has become of its cold copy. Every block is in exactly one.
/// </summary>
public enum BlockCondition
{
    /// <summary>There is no block: the sequence is empty.</summary>
    None,

    /// <summary>Settled on the device, no cold copy.</summary>
    Dirty,

    /// <summary>Settled on the device, its copy-out not observed.</summary>
    Cleaning,

    /// <summary>Settled on the device and cold.</summary>
    Clean,

    /// <summary>Written by a step not observed as ended, no cold copy.</summary>
    WrittenDirty,

    /// <summary>The same, and a copy-out is ordered after the step.</summary>
    WrittenCleaning,

    /// <summary>The same, and the copy-out has been observed before the end of the step was.</summary>
    WrittenClean,

    /// <summary>A move to where it lies has not been observed, no cold copy.</summary>
    ArrivingDirty,

    /// <summary>A move or copy-in has not been observed, nor its copy-out.</summary>
    ArrivingCleaning,

    /// <summary>A move or copy-in has not been observed; it is cold, too.</summary>
    ArrivingClean,

    /// <summary>Cold alone, its copy-out not observed.</summary>
    Leaving,

    /// <summary>Cold alone.</summary>
    Cold,
}

/// <summary>Tells a block's condition from its fields.</summary>
internal static class BlockConditions
{
    private const int Phases = BlockCondition.Clean - BlockCondition.Dirty + 1;

    public static BlockCondition Of(ref readonly BlockState block, TimelineTable timelines)
    {
        var isCopying = !timelines.IsObserved(block.CopyOut);
        if (!block.IsResident)
        {
            return isCopying ? BlockCondition.Leaving : BlockCondition.Cold;
        }

        var settled = !block.IsClean ? BlockCondition.Dirty : isCopying ? BlockCondition.Cleaning : BlockCondition.Clean;
        return timelines.IsObserved(block.Writer) ? settled
            : block.Writer.Kind == TimelineKind.End ? settled + Phases
            : settled + (2 * Phases);
    }
}
