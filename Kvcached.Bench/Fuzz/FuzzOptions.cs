namespace Kvcached.Bench.Fuzz;

/// <summary>How much is thrown at a daemon.</summary>
/// <param name="Messages">Control frames and ring records.</param>
/// <param name="Seed">Of all that is random.</param>
internal sealed record FuzzOptions(long Messages, int Seed);
