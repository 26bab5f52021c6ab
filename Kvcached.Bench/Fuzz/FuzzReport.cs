using System.Text.Json.Serialization;

namespace Kvcached.Bench.Fuzz;

/// <summary>What was thrown at a daemon, and what became of it and of its honest clients.</summary>
internal sealed record FuzzReport
{
    /// <summary>Longer than this is a hang.</summary>
    public const double HangMs = 5000;

    [JsonPropertyName("elapsed_s")]
    public required double ElapsedS { get; init; }

    /// <summary>Control frames and ring records offered.</summary>
    [JsonPropertyName("messages")]
    public required long Messages { get; init; }

    /// <summary>Records that the daemon has read, as its head tells.</summary>
    [JsonPropertyName("records_read")]
    public required long RecordsRead { get; init; }

    [JsonPropertyName("hostile_steps")]
    public required long HostileSteps { get; init; }

    /// <summary>Words that second threads of hostile clients wrote while the daemon read.</summary>
    [JsonPropertyName("scribbled_words")]
    public required long ScribbledWords { get; init; }

    [JsonPropertyName("connections")]
    public required long Connections { get; init; }

    [JsonPropertyName("attached")]
    public required long Attached { get; init; }

    [JsonPropertyName("offenders")]
    public required long Offenders { get; init; }

    [JsonPropertyName("crashes")]
    public required int Crashes { get; init; }

    [JsonPropertyName("hangs")]
    public required int Hangs { get; init; }

    [JsonPropertyName("status_answers")]
    public required long StatusAnswers { get; init; }

    [JsonPropertyName("slowest_status_ms")]
    public required double SlowestStatusMs { get; init; }

    [JsonPropertyName("honest_stillest_ms")]
    public required double HonestStillestMs { get; init; }

    [JsonPropertyName("honest_steps")]
    public required long HonestSteps { get; init; }

    [JsonPropertyName("honest_refused")]
    public required long HonestRefused { get; init; }

    [JsonPropertyName("verified_granules")]
    public required long Verified { get; init; }

    [JsonPropertyName("mismatched_granules")]
    public required long Mismatched { get; init; }

    /// <summary>Blocks that views of live steps covered, looked at.</summary>
    [JsonPropertyName("covered_blocks")]
    public required long CoveredBlocks { get; init; }

    /// <summary>Blocks of those that another client's views covered at the same time.</summary>
    [JsonPropertyName("shared_blocks")]
    public required long SharedBlocks { get; init; }

    [JsonPropertyName("leaked_blocks")]
    public required long LeakedBlocks { get; init; }

    [JsonPropertyName("leaked_slots")]
    public required long LeakedSlots { get; init; }

    [JsonPropertyName("leaked_descriptors")]
    public required string[] LeakedDescriptors { get; init; }

    [JsonPropertyName("by_kind")]
    public required SortedDictionary<string, long> ByKind { get; init; }

    [JsonPropertyName("disconnected_for")]
    public required Dictionary<string, long> DisconnectedFor { get; init; }

    [JsonPropertyName("failures")]
    public required string[] Failures { get; init; }

    /// <summary>What is not as it must be.</summary>
    public IEnumerable<string> NotAsItMustBe()
    {
        var failures = new List<string>(Failures);
        Check(failures, Crashes == 0, "The daemon has crashed.");
        Check(failures, Hangs == 0, $"The daemon took {SlowestStatusMs:F0} ms to answer.");
        Check(failures, HonestStillestMs < 3 * HangMs, $"An honest client's steps stood still for {HonestStillestMs:F0} ms.");
        Check(failures, Mismatched == 0, $"{Mismatched} granules of honest clients mismatch.");
        Check(failures, SharedBlocks == 0, $"Views of two clients covered the same bytes: {SharedBlocks} blocks.");
        Check(failures, CoveredBlocks > 0 && HonestSteps > 0 && Offenders > 0 && RecordsRead > 0, "Nothing was looked at.");
        Check(failures, LeakedBlocks == 0 && LeakedSlots == 0, $"{LeakedBlocks} blocks and {LeakedSlots} cold slots are left.");
        Check(failures, LeakedDescriptors.Length == 0, $"The daemon has more descriptors than before: {string.Join(", ", LeakedDescriptors)}.");
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
