using System.Text.Json;
using System.Text.Json.Serialization;

namespace Kvcached.Daemon.Demo.Served;

/// <summary>What the demo with a daemon measured: the JSON object of its last line. Figures are of the evicting run unless they say otherwise.</summary>
internal sealed record ServedReport
{
    /// <summary>Of evictions and reloads, each.</summary>
    private const long LeastBlocks = 1001;

    /// <summary>The name of the daemon's device: its kind and what it runs on.</summary>
    public required string Device { get; init; }

    /// <summary>From the start of the first process to the end of the last unevicted run.</summary>
    public required double ElapsedS { get; init; }

    public required int Processes { get; init; }

    public required long Steps { get; init; }

    public required long PromptTokens { get; init; }

    public required long GeneratedTokens { get; init; }

    /// <summary>Prompt and generated tokens of all models, by the time from their start together to the end of the last.</summary>
    public required double TokensPerS { get; init; }

    public required long CleanedBlocks { get; init; }

    public required long EvictedBlocks { get; init; }

    public required long ReloadedBlocks { get; init; }

    public required long MovedBlocks { get; init; }

    public required long CompactedBlocks { get; init; }

    /// <summary>Copied from blocks to contiguous windows: 0 without them.</summary>
    public required long GatheredBytes { get; init; }

    /// <summary>Most KV bytes that each model's live sequences hold together, summed.</summary>
    public required long NeededBytes { get; init; }

    public required long PoolBytes { get; init; }

    /// <summary>Managed bytes that all threads of the model processes allocated over a window of steps each.</summary>
    public required long ManagedBytes { get; init; }

    public required bool IdenticalToUnevicted { get; init; }

    public string ToJson() => JsonSerializer.Serialize(this, ServedReportJson.Default.ServedReport);

    /// <summary>Why the demo has not shown what it is there to show; empty if it has.</summary>
    public IReadOnlyList<string> Failures()
    {
        List<string> failures = [];
        AtLeast("evicted_blocks", EvictedBlocks);
        AtLeast("reloaded_blocks", ReloadedBlocks);
        if (ManagedBytes != 0)
        {
            failures.Add($"managed_bytes is {ManagedBytes}; it must be 0");
        }

        if (!IdenticalToUnevicted)
        {
            failures.Add("identical_to_unevicted is false");
        }

        return failures;

        void AtLeast(string name, long value)
        {
            if (value < LeastBlocks)
            {
                failures.Add($"{name} is {value}; at least {LeastBlocks} are needed");
            }
        }
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(ServedReport))]
internal sealed partial class ServedReportJson : JsonSerializerContext;
