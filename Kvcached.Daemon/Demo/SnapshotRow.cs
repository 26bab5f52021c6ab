using System.Globalization;

namespace Kvcached.Daemon.Demo;

/// <summary>A snapshot as text, for tables and lines.</summary>
internal sealed record SnapshotRow(
    string Run,
    string Steps,
    string TokensPerSecond,
    string Resident,
    string Cold,
    string Cleaned,
    string Dropped,
    string Reloaded,
    string Moved,
    string Out,
    string In)
{
    /// <summary>Headings, in the order of <see cref="Cells"/>.</summary>
    public static IReadOnlyList<string> Headings { get; } =
        ["run", "steps", "tokens/s", "resident", "cold", "cleaned", "dropped", "reloaded", "moved", "out", "in"];

    public IReadOnlyList<string> Cells => [Run, Steps, TokensPerSecond, Resident, Cold, Cleaned, Dropped, Reloaded, Moved, Out, In];

    public static SnapshotRow Of(in RunSnapshot snapshot)
    {
        var statistics = snapshot.Statistics;
        return new SnapshotRow(
            snapshot.Run,
            string.Create(CultureInfo.InvariantCulture, $"{snapshot.Step}/{snapshot.Steps}"),
            Number(snapshot.Tokens / Math.Max(snapshot.Elapsed.TotalSeconds, 1e-3)),
            Number(statistics.ResidentBlocks),
            Number(statistics.ColdBlocks),
            Number(statistics.CleanedBlocks),
            Number(statistics.EvictedBlocks),
            Number(statistics.ReloadedBlocks),
            Number(statistics.MovedBlocks),
            MiB(statistics.BytesOut),
            MiB(statistics.BytesIn));
    }

    private static string Number(double value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static string MiB(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:N0} MiB");
}
