using System.Buffers.Binary;
using System.Text.Json;

namespace Kvcached.Protocol;

/// <summary>
/// A control message on the wire.
/// <code>
///  byte  0       4
///        | Bytes | Bytes × UTF-8 JSON |      Bytes little-endian
/// </code>
/// </summary>
internal static class ControlFrame
{
    public const int HeaderBytes = 4;

    /// <summary>Version of the protocol: a hello of another one is refused.</summary>
    public const int Version = 1;

    /// <summary>The most that a daemon reads from a client.</summary>
    public const int MaxRequestBytes = 64 << 10;

    /// <summary>The most that a client reads from a daemon: a status of as many tenants and clients as there may be, every character of their names escaped, is shorter.</summary>
    public const int MaxReplyBytes = 4 << 20;

    public static byte[] Write(ControlMessage message)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(message, ControlJson.Default.ControlMessage);
        var frame = new byte[HeaderBytes + json.Length];
        BinaryPrimitives.WriteInt32LittleEndian(frame, json.Length);
        json.CopyTo(frame, HeaderBytes);
        return frame;
    }

    /// <summary>Bytes of JSON that follow a header.</summary>
    /// <exception cref="ProtocolException">None, or more than <paramref name="most"/>.</exception>
    public static int ReadLength(ReadOnlySpan<byte> header, int most)
    {
        var bytes = BinaryPrimitives.ReadInt32LittleEndian(header);
        return bytes > 0 && bytes <= most ? bytes : throw new ProtocolException($"A control message of {bytes} bytes; it must have 1 to {most}.");
    }

    /// <summary>Reads a message.</summary>
    /// <exception cref="InvalidRequestException">An object that has an id, but not a message of this protocol.</exception>
    /// <exception cref="ProtocolException">Not even that.</exception>
    public static ControlMessage Read(ReadOnlySpan<byte> json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, ControlJson.Default.ControlMessage) ?? throw new ProtocolException("A control message is null.");
        }
        catch (Exception error) when (error is JsonException or NotSupportedException)
        {
            throw InvalidRequest(json, error) ?? new ProtocolException($"Not a control message: {error.Message}", error);
        }
    }

    /// <summary>What is wrong with a message that has an id, if it has one.</summary>
    private static InvalidRequestException? InvalidRequest(ReadOnlySpan<byte> json, Exception error)
    {
        try
        {
            var reader = new Utf8JsonReader(json);
            using var document = JsonDocument.ParseValue(ref reader);
            var root = document.RootElement;
            if (reader.BytesConsumed < json.Length || root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("id", out var id) || id.ValueKind != JsonValueKind.Number || !id.TryGetInt64(out var number))
            {
                return null;
            }

            var message = error is JsonException { Path: { Length: > 1 } path } && path != "$.type"
                ? $"Member {path} is {ValueAt(root, path)}, which is of another type than it must be, or out of its range."
                : $"There is no message of type {ValueAt(root, "$.type")} with these members.";
            return new InvalidRequestException(number, message, error);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>The value that a path of members and places names, cut short; "missing" where there is none.</summary>
    private static string ValueAt(JsonElement root, string path)
    {
        const int Longest = 64;
        var value = root;
        foreach (var part in path.Split(['.', '[', ']'], StringSplitOptions.RemoveEmptyEntries)[1..])
        {
            var isThere = value.ValueKind switch
            {
                JsonValueKind.Array when int.TryParse(part, out var place) && place < value.GetArrayLength() => (value = value[place]).ValueKind != JsonValueKind.Undefined,
                JsonValueKind.Object => value.TryGetProperty(part, out value),
                _ => false,
            };
            if (!isThere)
            {
                return "missing";
            }
        }

        var text = value.GetRawText();
        return text.Length <= Longest ? text : $"{text[..Longest]}…";
    }
}
