using System.Buffers;
using System.Text;

namespace Kvcached.Daemon.Replay;

/// <summary>Reads a trace line by line: Azure CSV or Mooncake JSON lines, told apart by what the first line holds.</summary>
internal static class TraceReader
{
    /// <summary>Longest line: a Mooncake line of a million tokens has a hundredth of it.</summary>
    private const int MaxLineChars = 1 << 20;

    /// <summary>Reads up to <paramref name="limit"/> requests, no further than needed.</summary>
    /// <exception cref="TraceException">The file cannot be read, is of neither format, holds no request, or a line is wrong.</exception>
    public static IEnumerable<TraceRequest> Read(string path, int limit)
    {
        using var text = Open(path);
        ITraceFormat? format = null;
        var read = 0;
        var lastArrival = 0L;
        var number = 0;
        while (read < limit && ReadLine(path, ++number, text) is { } line)
        {
            if (string.IsNullOrWhiteSpace(line))
            {
                continue;
            }

            format ??= Detect(path, number, line);
            if (!TryRead(format, path, number, line, out var request))
            {
                continue;
            }

            if (request.ArrivalMicros < lastArrival)
            {
                throw new TraceException(path, number, "the request arrives before the one on an earlier line.");
            }

            lastArrival = request.ArrivalMicros;
            read++;
            yield return request;
        }

        if (read == 0)
        {
            throw new TraceException(path, 0, "holds no request.");
        }
    }

    private static StreamReader Open(string path)
    {
        if (Directory.Exists(path))
        {
            throw new TraceException(path, 0, "is a folder, not a trace.");
        }

        try
        {
            return new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read), new UTF8Encoding(false, throwOnInvalidBytes: true));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new TraceException(path, 0, $"cannot be opened: {error.Message}", error);
        }
    }

    private static ITraceFormat Detect(string path, int line, string text)
    {
        if (text.TrimStart().StartsWith('{'))
        {
            return new MooncakeTrace();
        }

        return text == AzureTrace.Header
            ? new AzureTrace()
            : throw new TraceException(path, line, $"starts with {TraceField.Quote(text)}: neither the Azure header {AzureTrace.Header} nor a Mooncake JSON object.");
    }

    private static bool TryRead(ITraceFormat format, string path, int number, string line, out TraceRequest request)
    {
        try
        {
            return format.TryRead(line, out request);
        }
        catch (FormatException error)
        {
            throw new TraceException(path, number, error.Message, error);
        }
    }

    /// <summary>Reads a line of bounded length, so that a file that is no text cannot take all memory.</summary>
    private static string? ReadLine(string path, int number, StreamReader text)
    {
        var line = new ArrayBufferWriter<char>(256);
        try
        {
            int next;
            while ((next = text.Read()) >= 0 && next != '\n')
            {
                if (line.WrittenCount == MaxLineChars)
                {
                    throw new TraceException(path, number, $"longer than {MaxLineChars} characters.");
                }

                line.GetSpan(1)[0] = (char)next;
                line.Advance(1);
            }

            if (next < 0 && line.WrittenCount == 0)
            {
                return null;
            }
        }
        catch (Exception error) when (error is IOException or DecoderFallbackException or UnauthorizedAccessException)
        {
            throw new TraceException(path, number, $"cannot be read: {error.Message}", error);
        }

        return line.WrittenSpan.TrimEnd('\r').ToString();
    }
}
