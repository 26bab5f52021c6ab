using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Kvcached.Daemon.Serve;

namespace Kvcached.Daemon.Replay;

/// <summary>What a replay came to. Serialized, it is the last line that <c>replay</c> writes.</summary>
internal sealed record ReplayReport
{
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>The device's name, the daemon's where there was one: its kind and what it runs on.</summary>
    public required string Device { get; init; }

    /// <summary>Client processes that shared a daemon; null where there was none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? Processes { get; init; }

    /// <summary>Requests of the workload.</summary>
    public required int Requests { get; init; }

    /// <summary>Those that the cache refused.</summary>
    public required int Refused { get; init; }

    /// <summary>Tokens that were written.</summary>
    public required long Tokens { get; init; }

    /// <summary>Steps begun.</summary>
    public required long Steps { get; init; }

    /// <summary>Device copies given up whose content stayed cold.</summary>
    public required long EvictedBlocks { get; init; }

    /// <summary>Blocks copied back.</summary>
    public required long ReloadedBlocks { get; init; }

    /// <summary>Bytes copied to cold memory.</summary>
    public required long BytesOut { get; init; }

    /// <summary>Bytes copied back.</summary>
    public required long BytesIn { get; init; }

    /// <summary>Copy commands in which blocks went out, came in or moved: neighbours at both ends go in one.</summary>
    public required long Copies { get; init; }

    /// <summary>Blocks on the device by the runs that they lay in, over all turns.</summary>
    public required double MeanRunLength { get; init; }

    /// <summary>Granules that were compared with their stamps.</summary>
    public required long VerifiedGranules { get; init; }

    /// <summary>Granules that were something else.</summary>
    public required long MismatchedGranules { get; init; }

    /// <summary>Median of begin called to end observed, in microseconds.</summary>
    [JsonPropertyName("p50_step_us")]
    public required long P50StepUs { get; init; }

    /// <summary>99th percentile of the same.</summary>
    [JsonPropertyName("p99_step_us")]
    public required long P99StepUs { get; init; }

    /// <summary>Most device memory held: pool, tables, views.</summary>
    public required long DeviceBytesPeak { get; init; }

    /// <summary>Most bytes of the pool that had memory behind them.</summary>
    public required long PoolBytesPeak { get; init; }

    /// <summary>Physical memory that the system holds for the pool at the end, when nothing is in use.</summary>
    public required long PoolBytesEnd { get; init; }

    /// <summary>Most cold memory in use.</summary>
    public required long ColdBytesPeak { get; init; }

    /// <summary>Seconds from the start of the command, reading the trace included.</summary>
    [JsonPropertyName("elapsed_s")]
    public double ElapsedSeconds { get; init; }

    /// <summary>Granules that a step should have read and no kernel compared.</summary>
    [JsonIgnore]
    public long Unverified { get; init; }

    /// <summary>Where the first mismatch was; null without one.</summary>
    [JsonIgnore]
    public string? FirstMismatch { get; init; }

    /// <summary>What the pool must shrink to.</summary>
    [JsonIgnore]
    public long PoolFloorBytes { get; init; } = long.MaxValue;

    /// <summary>What was flipped on purpose; null for nothing.</summary>
    [JsonIgnore]
    public string? Flipped { get; init; }

    /// <summary>Whether every request was served and every granule was what it must be, and the pool has shrunk to its floor.</summary>
    [JsonIgnore]
    public bool Holds => Refused == 0 && MismatchedGranules == 0 && Unverified == 0 && PoolBytesEnd <= PoolFloorBytes;

    /// <summary>The report as one line of JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Json);

    /// <summary>The report for people.</summary>
    public void WriteTo(TextWriter text)
    {
        Line(text, "device", $"{Device}");
        Line(text, "requests", $"{Requests:N0}, {Refused:N0} refused");
        Line(text, "tokens", $"{Tokens:N0} in {Steps:N0} steps, {Tokens / Math.Max(ElapsedSeconds, 1e-3):N0} tokens/s");
        Line(text, "blocks", $"{EvictedBlocks:N0} evicted, {ReloadedBlocks:N0} reloaded");
        Line(text, "copied", $"{Mebibytes(BytesOut)} out, {Mebibytes(BytesIn)} in");
        Line(text, "copies", $"{Copies:N0}; blocks lay in runs of {MeanRunLength:N2}");
        Line(text, "granules", $"{VerifiedGranules:N0} verified, {MismatchedGranules:N0} mismatched");
        Line(text, "step", $"{P50StepUs:N0} µs median, {P99StepUs:N0} µs 99th percentile");
        Line(text, "memory", $"{Mebibytes(DeviceBytesPeak)} device, {Mebibytes(ColdBytesPeak)} cold at most");
        Line(text, "pool", $"{Mebibytes(PoolBytesPeak)} at most, {Mebibytes(PoolBytesEnd)} at the end");
        Line(text, "elapsed", $"{ElapsedSeconds:N1} s");
    }

    /// <summary>What went wrong, line by line; nothing if the run holds.</summary>
    public IEnumerable<string> Complaints()
    {
        if (Refused > 0)
        {
            var share = Processes is null ? string.Empty : $", or the part of the pool that one process may pin (serve --max-pinned, {ServeSetting.MaxPinned.Default})";
            yield return $"{Refused} of {Requests} requests were refused: the pool or the cold memory is too small for them{share}.";
        }

        if (MismatchedGranules > 0)
        {
            yield return $"{MismatchedGranules} granules did not hold their stamp; the first: {FirstMismatch}.";
        }

        if (Unverified != 0 && MismatchedGranules == 0)
        {
            yield return $"{Unverified} granules that steps should have read were not verified.";
        }

        if (PoolBytesEnd > PoolFloorBytes)
        {
            yield return $"The pool still has {PoolBytesEnd} bytes at the end; its floor is {PoolFloorBytes}.";
        }
    }

    private static void Line(TextWriter text, string name, FormattableString value) =>
        text.WriteLine($"{name,-10}{value.ToString(CultureInfo.InvariantCulture)}");

    private static string Mebibytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1 << 20):N1} MiB");
}
