using System.Text.Json;
using System.Text.Json.Serialization;

namespace Kvcached.Daemon.Demo;

/// <summary>What the demo measured: the JSON object of its last line. Figures are of the evicting run unless they say otherwise.</summary>
internal sealed record DemoReport
{
    /// <summary>The device's name: its kind and what it runs on.</summary>
    public required string Device { get; init; }

    /// <summary>All three runs.</summary>
    public required double ElapsedS { get; init; }

    /// <summary>Models that share the pool.</summary>
    public required int Models { get; init; }

    public required long Steps { get; init; }

    public required long PromptTokens { get; init; }

    public required long GeneratedTokens { get; init; }

    /// <summary>Prompt and generated tokens by the time of the run.</summary>
    public required double TokensPerS { get; init; }

    public required long CleanedBlocks { get; init; }

    public required long EvictedBlocks { get; init; }

    public required long ReloadedBlocks { get; init; }

    public required long MovedBlocks { get; init; }

    /// <summary>Blocks moved to empty a segment; <see cref="MovedBlocks"/> does not count them.</summary>
    public required long CompactedBlocks { get; init; }

    /// <summary>Copy commands in which blocks went out, came in or moved: neighbours at both ends go in one.</summary>
    public required long Copies { get; init; }

    /// <summary>Blocks on the device by the runs that they lay in, over all steps.</summary>
    public required double MeanRunLength { get; init; }

    /// <summary>Pool, tables, view rings and staging.</summary>
    public required long DeviceBytesPeak { get; init; }

    /// <summary>Most bytes of the pool that had memory behind them.</summary>
    public required long PoolBytesPeak { get; init; }

    /// <summary>Physical memory that the system holds for the pool at the end, when nothing is in use.</summary>
    public required long PoolBytesEnd { get; init; }

    /// <summary>What the device leaves a pool that has given back what it can.</summary>
    [JsonIgnore]
    public long PoolFloorBytes { get; init; }

    /// <summary>KV bytes that the sequences need while they live together.</summary>
    public required long NeededBytes { get; init; }

    /// <summary>Managed bytes that all threads allocated over 200 consecutive steps.</summary>
    public required long ManagedBytes { get; init; }

    public required long GatedSteps { get; init; }

    public required long GatedEvictions { get; init; }

    public required long GatedReloads { get; init; }

    public required long GatedMoves { get; init; }

    public required bool IdenticalToUnevicted { get; init; }

    public required bool IdenticalToContiguous { get; init; }

    public required bool FlipDetected { get; init; }

    public string ToJson() => JsonSerializer.Serialize(this, DemoReportJson.Default.DemoReport);

    /// <summary>Why the demo has not shown what it is there to show; empty if it has.</summary>
    public IReadOnlyList<string> Failures(DemoTargets targets)
    {
        List<string> failures = [];
        AtLeast("needed_bytes", NeededBytes, targets.NeededBytes);
        AtLeast("evicted_blocks", EvictedBlocks, targets.EvictedBlocks);
        AtLeast("reloaded_blocks", ReloadedBlocks, targets.ReloadedBlocks);
        AtLeast("moved_blocks", MovedBlocks, targets.MovedBlocks);
        AtLeast("compacted_blocks", CompactedBlocks, targets.CompactedBlocks);
        AtLeast("gated_steps", GatedSteps, targets.GatedSteps);
        AtLeast("gated_evictions", GatedEvictions, 1);
        AtLeast("gated_reloads", GatedReloads, 1);
        AtLeast("gated_moves", GatedMoves, 1);
        var floor = Math.Max(targets.PoolFloorBytes, PoolFloorBytes);
        Require(PoolBytesEnd <= floor, $"pool_bytes_end is {PoolBytesEnd}; the pool's floor is {floor}");
        Require(DeviceBytesPeak <= targets.DeviceShare * NeededBytes, $"device_bytes_peak is {DeviceBytesPeak}; the limit is {targets.DeviceShare} of needed_bytes, {targets.DeviceShare * NeededBytes:F0}");
        Require(ManagedBytes == 0, $"managed_bytes is {ManagedBytes}; it must be 0");
        Require(IdenticalToUnevicted, "identical_to_unevicted is false");
        Require(IdenticalToContiguous, "identical_to_contiguous is false");
        Require(FlipDetected, "flip_detected is false");
        return failures;

        void AtLeast(string name, long value, long least) => Require(value >= least, $"{name} is {value}; at least {least} are needed");

        void Require(bool holds, string failure)
        {
            if (!holds)
            {
                failures.Add(failure);
            }
        }
    }
}

/// <summary>What a report must reach.</summary>
internal sealed record DemoTargets
{
    public long NeededBytes { get; init; } = 128L << 20;

    /// <summary>What the pool must have shrunk to in the end; a pool that keeps its size has no such target.</summary>
    public long PoolFloorBytes { get; init; } = long.MaxValue;

    /// <summary>Device memory by what the sequences need.</summary>
    public double DeviceShare { get; init; } = 0.36;

    public long EvictedBlocks { get; init; } = 5001;

    public long ReloadedBlocks { get; init; } = 5001;

    public long MovedBlocks { get; init; } = 101;

    public long CompactedBlocks { get; init; }

    public long GatedSteps { get; init; } = 4;

    /// <summary>The targets of a run. How much is evicted, and what is held, are for the default pool alone: another is as large as was asked for.</summary>
    public static DemoTargets Of(DemoOptions options)
    {
        var targets = options.SecondModel is null ? new DemoTargets() : new DemoTargets { CompactedBlocks = 1001 };
        return options.Pool is { } size
            ? targets with { DeviceShare = 1, EvictedBlocks = 1, ReloadedBlocks = 1, PoolFloorBytes = size.FloorBytes }
            : targets;
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(DemoReport))]
internal sealed partial class DemoReportJson : JsonSerializerContext;
