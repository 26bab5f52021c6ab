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
    /// <exception cref="ProtocolException">Not a message of this protocol.</exception>
    public static ControlMessage Read(ReadOnlySpan<byte> json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, ControlJson.Default.ControlMessage) ?? throw new ProtocolException("A control message is null.");
        }
        catch (Exception error) when (error is JsonException or NotSupportedException)
        {
            throw new ProtocolException($"Not a control message: {error.Message}", error);
        }
    }
}
