using System.Text.Json.Serialization;

namespace Kvcached.Bench.Kill;

/// <summary>What was killed, and what was left of it.</summary>
internal sealed record KillReport
{
    [JsonPropertyName("elapsed_s")]
    public required double ElapsedS { get; init; }

    [JsonPropertyName("clients_killed")]
    public required int ClientsKilled { get; init; }

    /// <summary>By what they were at.</summary>
    [JsonPropertyName("killed_idle")]
    public required int KilledIdle { get; init; }

    [JsonPropertyName("killed_between_begin_and_end")]
    public required int KilledBetweenBeginAndEnd { get; init; }

    [JsonPropertyName("killed_step_in_flight")]
    public required int KilledInFlight { get; init; }

    [JsonPropertyName("killed_ring_half_written")]
    public required int KilledRingHalfWritten { get; init; }

    /// <summary>The longest from a kill to when nothing of the client was left.</summary>
    [JsonPropertyName("reclaimed_ms_most")]
    public required double ReclaimedMsMost { get; init; }

    [JsonPropertyName("daemons_killed")]
    public required int DaemonsKilled { get; init; }

    /// <summary>The longest from the last step that worked to the error that told a client that its daemon is lost.</summary>
    [JsonPropertyName("noticed_ms_most")]
    public required double NoticedMsMost { get; init; }

    [JsonPropertyName("survivor_steps")]
    public required long SurvivorSteps { get; init; }

    [JsonPropertyName("survivor_refused")]
    public required long SurvivorRefused { get; init; }

    [JsonPropertyName("verified_granules")]
    public required long Verified { get; init; }

    [JsonPropertyName("mismatched_granules")]
    public required long Mismatched { get; init; }

    [JsonPropertyName("survivors_identical")]
    public required bool SurvivorsIdentical { get; init; }

    [JsonPropertyName("evicted_blocks")]
    public required long EvictedBlocks { get; init; }

    [JsonPropertyName("reloaded_blocks")]
    public required long ReloadedBlocks { get; init; }

    [JsonPropertyName("leaked_blocks")]
    public required long LeakedBlocks { get; init; }

    [JsonPropertyName("leaked_slots")]
    public required long LeakedSlots { get; init; }

    [JsonPropertyName("leaked_descriptors")]
    public required string[] LeakedDescriptors { get; init; }

    [JsonPropertyName("leaked_files")]
    public required string[] LeakedFiles { get; init; }

    [JsonPropertyName("leaked_processes")]
    public required int LeakedProcesses { get; init; }

    /// <summary>What is not as it must be.</summary>
    public IEnumerable<string> Failures()
    {
        // Of fewer clients than phases none is killed in the later ones.
        ReadOnlySpan<(string, int)> phases = [("idle", KilledIdle), ("between begin and end", KilledBetweenBeginAndEnd), ("with a step in flight", KilledInFlight), ("with the ring half written", KilledRingHalfWritten)];
        foreach (var (phase, killed) in phases[..Math.Min(ClientsKilled, phases.Length)])
        {
            if (killed == 0)
            {
                return [$"No client was killed {phase}."];
            }
        }

        var failures = new List<string>();
        Check(failures, LeakedBlocks == 0 && LeakedSlots == 0, $"{LeakedBlocks} blocks and {LeakedSlots} cold slots of clients that were killed are left.");
        Check(failures, LeakedDescriptors.Length == 0, $"The daemon has more descriptors than before: {string.Join(", ", LeakedDescriptors)}.");
        Check(failures, LeakedFiles.Length == 0, $"Files are left: {string.Join(", ", LeakedFiles)}.");
        Check(failures, LeakedProcesses == 0, $"{LeakedProcesses} processes are left.");
        Check(failures, Mismatched == 0 && SurvivorsIdentical && SurvivorRefused == 0, $"Survivors: {Mismatched} granules mismatch, {SurvivorRefused} steps refused, what they did is {(SurvivorsIdentical ? "as it should be" : "different")}.");
        Check(failures, NoticedMsMost < 1000, $"A client took {NoticedMsMost:F0} ms to notice that its daemon was killed; the limit is 1,000.");
        return failures;
    }

    private static void Check(List<string> failures, bool holds, string failure)
    {
        if (!holds)
        {
            failures.Add(failure);
        }
    }
}
