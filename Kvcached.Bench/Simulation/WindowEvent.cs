namespace Kvcached.Bench.Simulation;

/// <summary>What happens to contiguous windows beside being opened and closed.</summary>
public enum WindowEvent
{
    /// <summary>It doubled where it lies.</summary>
    Grown,

    /// <summary>It was gathered again in a larger run.</summary>
    Moved,

    /// <summary>A truncate gave up an upper half.</summary>
    Halved,

    /// <summary>Its bytes were given up to make room, while it stayed open.</summary>
    Emptied,

    /// <summary>A step of its sequence was refused.</summary>
    Refused,

    /// <summary>It was open, and had bytes, when its sequence was freed.</summary>
    Freed,

    /// <summary>It was closed while a step of its sequence waited in the engine.</summary>
    ClosedUnderWaiting,
}
