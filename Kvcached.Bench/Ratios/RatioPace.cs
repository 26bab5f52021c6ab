namespace Kvcached.Bench.Ratios;

/// <summary>How long a comparison runs. Sizes are the sides' own and stay.</summary>
internal sealed record RatioPace(int Rounds)
{
    public static RatioPace Full { get; } = new(31);

    public static RatioPace Quick { get; } = new(9);

    /// <summary>Where rounds are shorter than this there are more of them, up to <see cref="MaxRounds"/>.</summary>
    public TimeSpan RoundTime { get; init; } = TimeSpan.FromMilliseconds(60);

    public int MaxRounds { get; init; } = 301;

    public TimeSpan WarmUpTime { get; init; } = TimeSpan.FromMilliseconds(400);

    /// <summary>
    /// What is called often is compiled anew in the background, 100 ms after it was noticed, and later where others keep the processors busy. Only
    /// what comes of that is measured: sides are warm once nothing was compiled for this long.
    /// </summary>
    public TimeSpan SettledTime { get; init; } = TimeSpan.FromMilliseconds(200);

    public TimeSpan WarmUpLimit { get; init; } = TimeSpan.FromSeconds(3);
}
