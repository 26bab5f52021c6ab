using System.Globalization;

namespace Kvcached.Daemon.Replay;

/// <summary>
/// The Azure LLM inference traces: CSV of <c>TIMESTAMP,ContextTokens,GeneratedTokens</c>, a header first, times as
/// <c>2023-11-16 18:15:46.6805900</c>.
/// </summary>
internal sealed class AzureTrace : ITraceFormat
{
    /// <summary>The header, by which the format is told.</summary>
    public const string Header = "TIMESTAMP,ContextTokens,GeneratedTokens";

    private const string TimeFormat = "yyyy-MM-dd HH:mm:ss.FFFFFFF";
    private const int FieldCount = 3;

    private DateTime _first = DateTime.MinValue;

    /// <inheritdoc/>
    public bool TryRead(string line, out TraceRequest request)
    {
        request = default;
        if (line == Header)
        {
            return false;
        }

        Span<Range> fields = stackalloc Range[FieldCount + 1];
        var count = line.AsSpan().Split(fields, ',');
        if (count != FieldCount)
        {
            throw new FormatException($"{(count > FieldCount ? "more than 3" : count)} fields where {Header} has 3.");
        }

        var stamp = line.AsSpan(fields[0]);
        if (!DateTime.TryParseExact(stamp, TimeFormat, CultureInfo.InvariantCulture, DateTimeStyles.None, out var time))
        {
            throw new FormatException($"TIMESTAMP is {TraceField.Quote(stamp)}, which is no time such as 2023-11-16 18:15:46.6805900.");
        }

        if (_first == DateTime.MinValue)
        {
            _first = time;
        }

        request = new TraceRequest((long)(time - _first).TotalMicroseconds, Tokens("ContextTokens", line.AsSpan(fields[1])), Tokens("GeneratedTokens", line.AsSpan(fields[2])));
        return true;
    }

    private static int Tokens(string name, ReadOnlySpan<char> text) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value)
            ? TraceField.Tokens(name, value)
            : throw new FormatException($"{name} is {TraceField.Quote(text)}, which is not a whole number that fits in 64 bits.");
}
