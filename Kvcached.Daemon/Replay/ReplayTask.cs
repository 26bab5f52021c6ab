using System.Text.Json;
using System.Text.Json.Serialization;

namespace Kvcached.Daemon.Replay;

/// <summary>What a client process of a replay is to do: the line that it is told.</summary>
internal sealed record ReplayTask
{
    private static readonly JsonSerializerOptions Json = new() { NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals };

    public required string Socket { get; init; }

    public required ReplayOptions Options { get; init; }

    /// <summary>Which part of the requests is its own, from 0.</summary>
    public required int Part { get; init; }

    public string ToJson() => JsonSerializer.Serialize(this, Json);

    public static ReplayTask Parse(string json) => JsonSerializer.Deserialize<ReplayTask>(json, Json)!;
}

/// <summary>A line that a client process of a replay writes: how far it is, and in the last line what it came to.</summary>
internal sealed record ReplayMessage
{
    /// <summary>Tokens written so far.</summary>
    public required long Tokens { get; init; }

    /// <summary>Null in all lines but the last.</summary>
    public ReplayReport? Report { get; init; }

    /// <summary>Granules that a step should have read and no kernel compared.</summary>
    public long Unverified { get; init; }

    /// <summary>Where the first mismatch was; null without one.</summary>
    public string? FirstMismatch { get; init; }

    /// <summary>The histogram of step latencies.</summary>
    public IReadOnlyList<long> Latencies { get; init; } = [];

    public string ToJson() => JsonSerializer.Serialize(this);

    public static ReplayMessage Parse(string json) => JsonSerializer.Deserialize<ReplayMessage>(json)!;
}
