using System.Text.Json;
using System.Text.Json.Serialization;

namespace Kvcached.Daemon.Demo.Served;

/// <summary>What a model process is to do: the first line that it is told.</summary>
internal sealed record ModelTask
{
    /// <summary>The tenant that it belongs to.</summary>
    public required string Tenant { get; init; }

    public required ModelShape Shape { get; init; }

    public required WorkloadOptions Workload { get; init; }

    public required Request[] Requests { get; init; }

    /// <summary>Sequences of a step.</summary>
    public required int MaxBatch { get; init; }

    /// <summary>KV bytes that the sequences of a step may hold together.</summary>
    public required long BatchBytes { get; init; }

    /// <summary>Whether its kernels run on contiguous windows.</summary>
    public bool HasWindows { get; init; }

    /// <summary>The device that it opens.</summary>
    public required string Device { get; init; }

    /// <summary>Threads that run its kernels, on the CPU.</summary>
    public required int Workers { get; init; }

    /// <summary>Consecutive steps over which managed bytes are counted; 0 for none.</summary>
    public required int ManagedWindowSteps { get; init; }

    public string ToJson() => JsonSerializer.Serialize(this, ModelJson.Default.ModelTask);

    public static ModelTask Parse(string json) => JsonSerializer.Deserialize(json, ModelJson.Default.ModelTask)!;
}

/// <summary>How far a model process is.</summary>
internal enum ModelPhase
{
    /// <summary>Its steps are planned and its weights made; it waits for the path of the daemon's socket.</summary>
    Planned,

    /// <summary>It decodes, or runs the unevicted run: told now and then.</summary>
    Running,

    /// <summary>The evicting run has ended; it waits for the word to verify it.</summary>
    Decoded,

    /// <summary>The unevicted run has ended, too.</summary>
    Verified,
}

/// <summary>A line that a model process writes.</summary>
internal sealed record ModelMessage
{
    public required ModelPhase Phase { get; init; }

    /// <summary>Steps of its schedule; of those, begun so far.</summary>
    public int Steps { get; init; }

    public int Step { get; init; }

    /// <summary>Tokens of those.</summary>
    public long Tokens { get; init; }

    /// <summary>Most KV bytes that its live sequences hold together.</summary>
    public long NeededBytes { get; init; }

    /// <summary>Managed bytes that all its threads allocated over the steps that it was to count them over.</summary>
    public long ManagedBytes { get; init; }

    /// <summary>The first difference from the unevicted run; null for none.</summary>
    public string? Difference { get; init; }

    public string ToJson() => JsonSerializer.Serialize(this, ModelJson.Default.ModelMessage);

    public static ModelMessage Parse(string json) => JsonSerializer.Deserialize(json, ModelJson.Default.ModelMessage)!;
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, IgnoreReadOnlyProperties = true, UseStringEnumConverter = true)]
[JsonSerializable(typeof(ModelTask))]
[JsonSerializable(typeof(ModelMessage))]
internal sealed partial class ModelJson : JsonSerializerContext;
