using System.Text.Json;

namespace Kvcached.Daemon.Replay;

/// <summary>
/// The Mooncake traces: JSON lines with <c>timestamp</c> in milliseconds, <c>input_length</c> and <c>output_length</c> in tokens. The hashes
/// of prefix blocks are ignored.
/// </summary>
internal sealed class MooncakeTrace : ITraceFormat
{
    private long _firstMillis = -1;

    /// <inheritdoc/>
    public bool TryRead(string line, out TraceRequest request)
    {
        try
        {
            using var document = JsonDocument.Parse(line);
            request = Read(document.RootElement);
            return true;
        }
        catch (JsonException error)
        {
            throw new FormatException($"not one whole JSON object: {error.Message}", error);
        }
    }

    private TraceRequest Read(JsonElement root)
    {
        if (root.ValueKind != JsonValueKind.Object)
        {
            throw new FormatException($"a JSON {root.ValueKind} where an object with timestamp, input_length and output_length belongs.");
        }

        var millis = Number(root, "timestamp");
        const long maxMillis = long.MaxValue / 1000;
        if (millis is < 0 or > maxMillis)
        {
            throw new FormatException($"timestamp is {millis}; it must be between 0 and {maxMillis} ms.");
        }

        if (_firstMillis < 0)
        {
            _firstMillis = millis;
        }

        return new TraceRequest((millis - _firstMillis) * 1000, Tokens(root, "input_length"), Tokens(root, "output_length"));
    }

    private static int Tokens(JsonElement root, string name) => TraceField.Tokens(name, Number(root, name));

    private static long Number(JsonElement root, string name)
    {
        if (!root.TryGetProperty(name, out var value))
        {
            throw new FormatException($"{name} is missing.");
        }

        return value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number)
            ? number
            : throw new FormatException($"{name} is {TraceField.Quote(value.GetRawText())}, which is not a whole number that fits in 64 bits.");
    }
}
