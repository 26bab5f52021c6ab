namespace Kvcached.Daemon.Replay;

/// <summary>How one request is written on one line of a trace. Reads lines in order.</summary>
internal interface ITraceFormat
{
    /// <summary>Reads a line.</summary>
    /// <returns>False where the line is a header.</returns>
    /// <exception cref="FormatException">The line is not what the format says; the message says what is wrong.</exception>
    bool TryRead(string line, out TraceRequest request);
}

/// <summary>Checks that the formats share.</summary>
internal static class TraceField
{
    /// <summary>Checks a count of tokens.</summary>
    public static int Tokens(string name, long value) => value is > 0 and <= TraceRequest.MaxTokens
        ? (int)value
        : throw new FormatException($"{name} is {value}; it must be between 1 and {TraceRequest.MaxTokens}.");

    /// <summary>What is shown of a value that cannot be read.</summary>
    public static string Quote(ReadOnlySpan<char> text) => text.Length <= 40 ? $"'{text}'" : $"'{text[..40]}…'";
}
