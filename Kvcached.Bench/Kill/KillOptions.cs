namespace Kvcached.Bench.Kill;

/// <summary>How many are killed.</summary>
/// <param name="Clients">Client processes.</param>
/// <param name="Daemons">Daemon processes.</param>
/// <param name="Seed">Of instants, and of what clients do.</param>
internal sealed record KillOptions(int Clients, int Daemons, int Seed)
{
    /// <summary>Of daemons and clients, as <c>--device</c> takes it.</summary>
    public string Device { get; init; } = "cpu";
}
