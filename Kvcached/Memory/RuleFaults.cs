namespace Kvcached.Memory;

/// <summary>Rules of the engine that a test can switch off, to show that the simulator notices. See <c>docs/simulation.md</c>.</summary>
internal enum RuleFault
{
    None,

    /// <summary>A view slot is used again before the step that had it has been observed as ended.</summary>
    ViewSlotReusedEarly,

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
