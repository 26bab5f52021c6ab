using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;

namespace Kvcached.Protocol;

/// <summary>
/// Where words lie in the two areas of shared memory that a client and the daemon have between them. Both are made by the daemon. Each side writes one, and reads the
/// other; the client's mapping of the daemon's area is read-only. Words that are written by different threads or at different times have lines of 64 bytes of
/// their own; what is not named is zero. All numbers are little-endian.
/// <code>
///  daemon area                                            client area
///  byte  0     Attention, 32 bits                         byte  0     SubmissionTail, 64 bits
///        64    SubmissionHead, 64 bits                          64    CompletionHead, 64 bits
///        128   CompletionTail, 64 bits                          128   ClientSleeps, 32 bits
///        192   CompletionSequence, 32 bits, futex               192   (unused)
///        256   Heartbeat, 64 bits                               256   (zero)
///        320   DaemonState, 32 bits: 1 is closed
///        384   (zero)
///        4096  completions: ring, R bytes                       4096  submissions: ring, R bytes
///        +R    begin timelines, 64 bytes each                   +R    end timelines, 64 bytes each
/// </code>
/// A ring's heads and tails count bytes since the connection was made and only grow; position p lies at byte p mod R of the ring, and R is a power of two.
/// Records lie in one piece, at multiples of 8:
/// <code>
///  byte  0       4      8             Bytes
///        | Bytes | Kind | body        |          Bytes: of the whole record, a multiple of 8
///        | Bytes | 0    | (anything)  |          padding up to the end of the ring, where the next record would not fit
/// </code>
/// </summary>
internal static class RingLayout
{
    /// <summary>What the daemon wants to be called for (<see cref="Kvcached.Devices.Linux.Attention"/>): <see cref="AttendSubmissions"/>, <see cref="AttendSignals"/>.</summary>
    internal const int Attention = 0;

    /// <summary>How far the daemon has read the submissions.</summary>
    internal const int SubmissionHead = 64;

    /// <summary>How far the daemon has written the completions.</summary>
    internal const int CompletionTail = 128;

    /// <summary>Changes when the client is called (<see cref="SplitBell"/>).</summary>
    internal const int CompletionSequence = 192;

    /// <summary>Grows for as long as the daemon is well.</summary>
    internal const int Heartbeat = 256;

    /// <summary>Where the connection stands, as the daemon sees it.</summary>
    internal const int DaemonState = 320;

    /// <summary>How far the client has written the submissions.</summary>
    internal const int SubmissionTail = 0;

    /// <summary>How far the client has read the completions.</summary>
    internal const int CompletionHead = 64;

    /// <summary>Whether the client sleeps until it is called (<see cref="SplitBell"/>).</summary>
    internal const int ClientSleeps = 128;

    /// <summary>The ring of either area.</summary>
    internal const int Ring = 4096;

    /// <summary>In <see cref="Attention"/>: call when there are submissions.</summary>
    internal const uint AttendSubmissions = 1;

    /// <summary>In <see cref="Attention"/>: call when a timeline has been signalled.</summary>
    internal const uint AttendSignals = 2;

    /// <summary>Bytes of a record's head.</summary>
    internal const int HeaderBytes = 8;

    /// <summary>Records begin and end at multiples of this.</summary>
    internal const int Alignment = 8;

    /// <summary>The kind of a record that only fills the ring up.</summary>
    internal const uint Padding = 0;

    /// <summary>The least and the most bytes of a ring.</summary>
    internal const int LeastRing = 4096;
    internal const int MostRing = 1 << 24;

    /// <summary>In <see cref="DaemonState"/>: the connection is closed.</summary>
    internal const uint Closed = 1;

    /// <summary>Whether a ring may have so many bytes.</summary>
    internal static bool IsRing(long bytes) => bytes is >= LeastRing and <= MostRing && long.IsPow2(bytes);

    /// <summary>The longest body: a record takes half of the ring at most, so that there is room for it behind any padding.</summary>
    internal static int MostBody(int ringBytes) => (ringBytes / 2) - HeaderBytes;

    /// <summary>Bytes of either area.</summary>
    internal static long AreaBytes(int ringBytes, int timelines) => SharedMapping.RoundToPages(TimelineAt(ringBytes, timelines));

    /// <summary>Where a timeline lies in either area.</summary>
    internal static long TimelineAt(int ringBytes, int index) => Ring + ringBytes + ((long)index * TimelineSlot.Bytes);

    /// <summary>Bytes of a record with a body of so many.</summary>
    internal static int RecordBytes(int body) => (HeaderBytes + body + Alignment - 1) & ~(Alignment - 1);
}
