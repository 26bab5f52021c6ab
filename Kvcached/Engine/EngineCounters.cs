namespace Kvcached.Engine;

/// <summary>What the engine has done.</summary>
internal struct EngineCounters
{
    public long Steps;
    public long RefusedSteps;
    public long BusySteps;
    public long CleanedBlocks;
    public long EvictedBlocks;
    public long ReloadedBlocks;
    public long MovedBlocks;
    public long BytesOut;
    public long BytesIn;
    public long BytesMoved;
    public long CompactedBlocks;
    public long CompactedSegments;
    public long ReorderedBlocks;
    public long Copies;
    public long WindowsGrown;
    public long WindowsHalved;
    public long WindowsMoved;
    public long WindowsDropped;
    public long BytesGathered;
    public long BytesScrubbed;

    public static EngineCounters operator -(in EngineCounters a, in EngineCounters b) => new()
    {
        Steps = a.Steps - b.Steps,
        RefusedSteps = a.RefusedSteps - b.RefusedSteps,
        BusySteps = a.BusySteps - b.BusySteps,
        CleanedBlocks = a.CleanedBlocks - b.CleanedBlocks,
        EvictedBlocks = a.EvictedBlocks - b.EvictedBlocks,
        ReloadedBlocks = a.ReloadedBlocks - b.ReloadedBlocks,
        MovedBlocks = a.MovedBlocks - b.MovedBlocks,
        BytesOut = a.BytesOut - b.BytesOut,
        BytesIn = a.BytesIn - b.BytesIn,
        BytesMoved = a.BytesMoved - b.BytesMoved,
        CompactedBlocks = a.CompactedBlocks - b.CompactedBlocks,
        CompactedSegments = a.CompactedSegments - b.CompactedSegments,
        ReorderedBlocks = a.ReorderedBlocks - b.ReorderedBlocks,
        Copies = a.Copies - b.Copies,
        WindowsGrown = a.WindowsGrown - b.WindowsGrown,
        WindowsHalved = a.WindowsHalved - b.WindowsHalved,
        WindowsMoved = a.WindowsMoved - b.WindowsMoved,
        WindowsDropped = a.WindowsDropped - b.WindowsDropped,
        BytesGathered = a.BytesGathered - b.BytesGathered,
        BytesScrubbed = a.BytesScrubbed - b.BytesScrubbed,
    };
}
