using System.Text.Json.Serialization;

namespace Kvcached.Bench.Stress;

/// <summary>What a stress run did and found.</summary>
internal sealed record StressReport
{
    [JsonPropertyName("elapsed_s")]
    public required double ElapsedS { get; init; }

    [JsonPropertyName("processes")]
    public required int Processes { get; init; }

    [JsonPropertyName("steps")]
    public required long Steps { get; init; }

    /// <summary>Steps refused: limits that were lowered, or room that others held.</summary>
    [JsonPropertyName("refused_steps")]
    public required long RefusedSteps { get; init; }

    [JsonPropertyName("clients_killed")]
    public required int ClientsKilled { get; init; }

    [JsonPropertyName("clients_stopped")]
    public required int ClientsStopped { get; init; }

    [JsonPropertyName("limits_changed")]
    public required int LimitsChanged { get; init; }

    [JsonPropertyName("compactions")]
    public required int Compactions { get; init; }

    [JsonPropertyName("trims")]
    public required int Trims { get; init; }

    [JsonPropertyName("evicted_blocks")]
    public required long EvictedBlocks { get; init; }

    [JsonPropertyName("reloaded_blocks")]
    public required long ReloadedBlocks { get; init; }

    [JsonPropertyName("compacted_blocks")]
    public required long CompactedBlocks { get; init; }

    [JsonPropertyName("verified_granules")]
    public required long VerifiedGranules { get; init; }

    [JsonPropertyName("mismatched_granules")]
    public required long MismatchedGranules { get; init; }

    [JsonPropertyName("leaked_blocks")]
    public required long LeakedBlocks { get; init; }

    [JsonPropertyName("leaked_slots")]
    public required long LeakedSlots { get; init; }

    /// <summary>What is not as it must be.</summary>
    public IEnumerable<string> Failures()
    {
        if (MismatchedGranules > 0)
        {
            yield return $"{MismatchedGranules} granules mismatch.";
        }

        if (VerifiedGranules == 0 || EvictedBlocks == 0 || ReloadedBlocks == 0)
        {
            yield return $"{VerifiedGranules} granules verified, {EvictedBlocks} blocks evicted, {ReloadedBlocks} reloaded: nothing was put to the test.";
        }

        if (LeakedBlocks + LeakedSlots > 0)
        {
            yield return $"{LeakedBlocks} blocks and {LeakedSlots} cold slots are left when all clients are gone.";
        }
    }
}
