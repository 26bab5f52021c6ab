namespace Kvcached.Memory;

/// <summary>What a timeline counts.</summary>
internal enum TimelineKind
{
    /// <summary>Begin points of a lane's steps, signalled by its <c>in</c> queue.</summary>
    Begin,

    /// <summary>End points of a lane's steps, signalled by the client.</summary>
    End,

    /// <summary>Transfers on a lane's <c>in</c> queue that belong to no step.</summary>
    In,

    /// <summary>Transfers on a lane's <c>out</c> queue.</summary>
    Out,
}

/// <summary>
/// A point as the engine keeps it: 16 bits of timeline number, 48 of value. Timeline numbers are lane × 4 + kind; lane 0 is the background
/// queue, which has the <c>In</c> timeline alone; in the place of its <c>Begin</c> are arrivals of memory of the pool. The default is no point, which counts as observed.
/// </summary>
internal readonly record struct Point
{
    public const ulong MaxValue = (1UL << 48) - 1;
    public const int BackgroundLane = 0;
    public const int MaxLane = (1 << 14) - 1;

    /// <summary>Counts memory that the pool was given: nobody may count on it before it has been observed, since it may be refused.</summary>
    public const int ArrivalTimeline = 0;

    private readonly ulong _packed;

    public Point(int timeline, ulong value)
    {
        System.Diagnostics.Debug.Assert(value is > 0 and <= MaxValue);
        _packed = ((ulong)timeline << 48) | value;
    }

    public int Timeline => (int)(_packed >> 48);

    public ulong Value => _packed & MaxValue;

    public bool IsNone => _packed == 0;

    public int Lane => Timeline >> 2;

    public bool IsArrival => Timeline == ArrivalTimeline;

    public TimelineKind Kind => (TimelineKind)(Timeline & 3);

    public static int TimelineOf(int lane, TimelineKind kind) => (lane << 2) | (int)kind;
}
