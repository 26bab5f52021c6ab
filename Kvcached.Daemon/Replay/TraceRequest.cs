namespace Kvcached.Daemon.Replay;

/// <summary>One request of a workload.</summary>
/// <param name="ArrivalMicros">When it arrives, in microseconds after the first request.</param>
/// <param name="InputTokens">Tokens of its prompt: 1 to <see cref="MaxTokens"/>.</param>
/// <param name="OutputTokens">Tokens that it generates: 1 to <see cref="MaxTokens"/>.</param>
internal readonly record struct TraceRequest(long ArrivalMicros, int InputTokens, int OutputTokens)
{
    /// <summary>Most tokens of a prompt or an answer: a thousand times what any published trace has.</summary>
    public const int MaxTokens = 1 << 24;

    /// <summary>Tokens of the whole request.</summary>
    public int TotalTokens => InputTokens + OutputTokens;
}

/// <summary>A trace cannot be read. The message names file, line and what is wrong.</summary>
internal sealed class TraceException(string path, int line, string what, Exception? inner = null)
    : Exception(line == 0 ? $"{path}: {what}" : $"{path}, line {line}: {what}", inner)
{
    /// <summary>The file.</summary>
    public string Path { get; } = path;

    /// <summary>The line, from 1; 0 where the file as a whole is at fault.</summary>
    public int Line { get; } = line;
}
