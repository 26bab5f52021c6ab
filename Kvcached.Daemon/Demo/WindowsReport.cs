using System.Text.Json;
using System.Text.Json.Serialization;

namespace Kvcached.Daemon.Demo;

/// <summary>What the demo on contiguous windows measured: the JSON object of its last line. Figures are of the run on windows.</summary>
internal sealed record WindowsReport
{
    /// <summary>The device's name: its kind and what it runs on.</summary>
    public required string Device { get; init; }

    public required double ElapsedS { get; init; }

    public required long Steps { get; init; }

    public required long PromptTokens { get; init; }

    public required long GeneratedTokens { get; init; }

    /// <summary>Prompt and generated tokens by the time of the run.</summary>
    public required double TokensPerS { get; init; }

    public required long EvictedBlocks { get; init; }

    public required long ReloadedBlocks { get; init; }

    /// <summary>Most bytes of the pool that windows had.</summary>
    public required long WindowBytes { get; init; }

    /// <summary>Times that a window was doubled where it lay.</summary>
    public required long WindowsGrown { get; init; }

    /// <summary>Times that a window went to a larger run elsewhere.</summary>
    public required long WindowsMoved { get; init; }

    /// <summary>Windows of other sequences that were given up to make room.</summary>
    public required long WindowsDropped { get; init; }

    /// <summary>Of those that grew or went elsewhere: while blocks were evicted to place the same step.</summary>
    public required long GrownWhileEvicting { get; init; }

    /// <summary>Bytes copied from blocks to windows.</summary>
    public required long GatheredBytes { get; init; }

    public required long PoolBytes { get; init; }

    /// <summary>KV bytes that the sequences need while they live together.</summary>
    public required long NeededBytes { get; init; }

    public required bool IdenticalToUnevicted { get; init; }

    public string ToJson() => JsonSerializer.Serialize(this, WindowsReportJson.Default.WindowsReport);

    /// <summary>Why the demo has not shown what it is there to show; empty if it has.</summary>
    public IReadOnlyList<string> Failures()
    {
        List<string> failures = [];
        AtLeastOne("evicted_blocks", EvictedBlocks);
        AtLeastOne("reloaded_blocks", ReloadedBlocks);
        AtLeastOne("grown_while_evicting", GrownWhileEvicting);
        if (!IdenticalToUnevicted)
        {
            failures.Add("identical_to_unevicted is false");
        }

        return failures;

        void AtLeastOne(string name, long value)
        {
            if (value < 1)
            {
                failures.Add($"{name} is {value}; at least 1 is needed");
            }
        }
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(WindowsReport))]
internal sealed partial class WindowsReportJson : JsonSerializerContext;
