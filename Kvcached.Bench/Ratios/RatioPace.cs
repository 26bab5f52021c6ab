using System.Runtime;

namespace Kvcached.Bench.Ratios;

/// <summary>How long a comparison runs. Sizes are the sides' own and stay.</summary>
internal sealed record RatioPace(int Rounds)
{
    public static RatioPace Full { get; } = new(31);

    public static RatioPace Quick { get; } = new(9);

    /// <summary>Where rounds are shorter than this there are more of them, up to <see cref="MaxRounds"/>.</summary>
    public TimeSpan RoundTime { get; init; } = TimeSpan.FromMilliseconds(60);

    public int MaxRounds { get; init; } = 301;

    /// <summary>Rounds count after this time at the earliest: the runtime waits for 100 ms before it looks at what is called often.</summary>
    public TimeSpan WarmUpTime { get; init; } = TimeSpan.FromMilliseconds(400);

    /// <summary>What is compiled later than this no longer keeps rounds from counting; the line then says how many methods were.</summary>
    public TimeSpan WarmUpLimit { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How many methods have been compiled so far, by all threads.</summary>
    public Func<long> CompiledMethods { get; init; } = CompiledByNow;

    private static long CompiledByNow() => JitInfo.GetCompiledMethodCount();
}
