namespace Kvcached.Bench.Fuzz;

/// <summary>What has been thrown at the daemon, and how it answered. Thread-safe.</summary>
internal sealed class FuzzTally
{
    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, long> _kinds = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _reasons = new(StringComparer.Ordinal);
    private readonly List<string> _failures = [];
    private long _messages;

    /// <summary>Control frames and records offered.</summary>
    public long Messages => Volatile.Read(ref _messages);

    public long RecordsRead { get; private set; }

    public long Connections { get; private set; }

    public long Attached { get; private set; }

    public long Offenders { get; private set; }

    public long Steps { get; private set; }

    /// <summary>Words written over what had been published, and over heads and ends.</summary>
    public long Scribbled { get; private set; }

    public IReadOnlyList<string> Failures
    {
        get
        {
            lock (_lock)
            {
                return [.. _failures];
            }
        }
    }

    public SortedDictionary<string, long> Kinds => _kinds;

    public Dictionary<string, long> TopReasons(int count) => _reasons.OrderByDescending(pair => pair.Value).Take(count).ToDictionary();

    /// <summary>Enters what one connection has counted.</summary>
    public void Add(ConnectionTally connection)
    {
        Interlocked.Add(ref _messages, connection.Messages);
        lock (_lock)
        {
            Connections++;
            Attached += connection.IsAttached ? 1 : 0;
            Offenders += connection.IsOffender ? 1 : 0;
            RecordsRead += connection.RecordsRead;
            Steps += connection.Steps;
            Scribbled += connection.Scribbled;
            foreach (var (kind, count) in connection.Kinds)
            {
                _kinds[kind] = _kinds.GetValueOrDefault(kind) + count;
            }

            if (connection.Reason is { } reason)
            {
                var shape = Shape(reason);
                _reasons[shape] = _reasons.GetValueOrDefault(shape) + 1;
            }

            if (connection.Failure is not null && _failures.Count < 20)
            {
                _failures.Add(connection.Failure);
            }
        }
    }

    /// <summary>A reason without its numbers, so that those of a kind count together.</summary>
    private static string Shape(string reason)
    {
        var shape = System.Text.RegularExpressions.Regex.Replace(reason, "[0-9]+", "#");
        return shape.Length > 100 ? shape[..100] : shape;
    }
}

/// <summary>What one connection has thrown at the daemon.</summary>
internal sealed class ConnectionTally
{
    public Dictionary<string, long> Kinds { get; } = new(StringComparer.Ordinal);

    public long Messages { get; private set; }

    public long RecordsRead { get; set; }

    public long Steps { get; set; }

    public long Scribbled { get; set; }

    public bool IsAttached { get; set; }

    public bool IsOffender { get; set; }

    /// <summary>Why the daemon has disconnected it.</summary>
    public string? Reason { get; set; }

    /// <summary>What the daemon has not done as it must.</summary>
    public string? Failure { get; set; }

    public void Count(string kind, int messages = 1)
    {
        Messages += messages;
        Kinds[kind] = Kinds.GetValueOrDefault(kind) + messages;
    }
}
