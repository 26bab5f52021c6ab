using System.Runtime.InteropServices;

namespace Kvcached.Tests.Litmus;

/// <summary>
/// The words that the parties of a litmus run share, at the start of memory that every party has mapped. The words of what is under test
/// follow at <see cref="WordsOffset"/>, zeroed before each run.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LitmusControl
{
    internal const int MaxParties = 3;
    internal const int WordsOffset = 4096;
    internal const int WordsBytes = 64 * 1024;
    internal const int Bytes = WordsOffset + WordsBytes;
    internal const int MessageChars = 256;
    private const int LongsOfLine = 8;

    /// <summary>Number of the run that may begin; set last by the session. −1: no more runs.</summary>
    internal int Run;

    /// <summary>Index of the faulty copy under test, or −1 for the library's code.</summary>
    internal int Fault;
    internal int Seed;
    internal long PatienceTicks;

    /// <summary>When the run ends at the latest, in ticks of the system's monotonic clock, which processes share.</summary>
    internal long Deadline;

    /// <summary>The last round; lowered by party 0 when the time is up.</summary>
    internal long LastRound;

    /// <summary>Parties that are ready to begin, and that have ended.</summary>
    internal int Ready;
    internal int Ended;

    /// <summary>1 once there is a verdict; Message says why.</summary>
    internal int Stop;
    internal Verdict Verdict;
    internal fixed char Message[MessageChars];

    internal fixed int ProcessIds[MaxParties];
    private fixed long _rounds[MaxParties * LongsOfLine];

    /// <summary>The round that a party has come to. Each has its own line.</summary>
    internal ref long RoundOf(int party) => ref _rounds[party * LongsOfLine];
}

/// <summary>What a run came to.</summary>
internal enum Verdict
{
    /// <summary>All rounds were run and nothing was wrong.</summary>
    Pass,

    /// <summary>A promise was broken.</summary>
    Violation,

    /// <summary>Time was up, or a party did not take part: nothing was shown.</summary>
    Inconclusive,
}
