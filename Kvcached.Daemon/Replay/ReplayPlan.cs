namespace Kvcached.Daemon.Replay;

/// <summary>A workload and the sizes that follow from it: how many requests live together, what cold memory and tables they need, how they take turns.</summary>
internal sealed record ReplayPlan
{
    /// <summary>Steps that a lane holds.</summary>
    public const int LaneDepth = 4;

    /// <summary>Most sequences of a step.</summary>
    public const int MaxBatch = 256;

    /// <summary>Steps of a turn: a group's blocks are read this often for each time that they are reloaded.</summary>
    public const int TurnSteps = 32;

    private const int MaxChunkTokens = 1024;
    private const int Oversubscription = 3;

    /// <summary>The requests in order of arrival.</summary>
    public required TraceRequest[] Requests { get; init; }

    /// <summary>Tokens of all of them.</summary>
    public required long TotalTokens { get; init; }

    /// <summary>The layout.</summary>
    public required ReplayLayout Layout { get; init; }

    /// <summary>Live requests at a time.</summary>
    public required int Active { get; init; }

    /// <summary>Device memory for blocks.</summary>
    public required PoolSize Pool { get; init; }

    /// <summary>Host memory for cold copies.</summary>
    public required long ColdBytes { get; init; }

    /// <summary>Sequences that may exist at a time: the live ones, and as many again that are freed while steps still read them.</summary>
    public int MaxSequences => (2 * Active) + (LaneDepth * MaxBatch);

    /// <summary>Device memory for rows.</summary>
    public required long TableBytes { get; init; }

    /// <summary>
    /// Tokens that the requests of one turn may come to: two fifths of the pool, so that a turn's blocks are reloaded while the steps of the
    /// turn before still hold theirs, and a fifth is left for what segments and rounding take.
    /// </summary>
    public required long TurnTokens { get; init; }

    /// <summary>Tokens of a prompt that one step prefills.</summary>
    public required int ChunkTokens { get; init; }

    /// <summary>Plans a run.</summary>
    public static ReplayPlan Create(ReplayOptions options, TraceRequest[] requests)
    {
        var layout = options.Layout;
        var blocks = Array.ConvertAll(requests, request => layout.Blocks(request.TotalTokens));
        var meanBytes = (double)blocks.Sum() / requests.Length * layout.BlockBytes;
        var wanted = options.Active > 0 ? options.Active : (int)Math.Clamp(Oversubscription * options.Pool.CeilingBytes / meanBytes, 2, ReplayOptions.MaxActive);
        var active = Math.Min(wanted, requests.Length);
        Array.Sort(blocks, (a, b) => b.CompareTo(a));
        var largestBlocks = blocks.Take(active).Sum();
        var poolTokens = options.Pool.CeilingBytes / layout.TokenBytes;
        return new ReplayPlan
        {
            Requests = requests,
            TotalTokens = requests.Sum(request => (long)request.TotalTokens),
            Layout = layout,
            Active = active,
            Pool = options.Pool,
            ColdBytes = options.ColdBytes > 0 ? options.ColdBytes : DefaultColdBytes(options.Pool.CeilingBytes, largestBlocks * layout.BlockBytes),
            TableBytes = TableBytesFor(largestBlocks, active),
            TurnTokens = Math.Max(poolTokens * 2 / 5, layout.TokensPerBlock),
            ChunkTokens = (int)Math.Clamp(poolTokens / 16, layout.TokensPerBlock, MaxChunkTokens),
        };
    }

    /// <summary>
    /// The plan of one of several clients that share a pool: every so many requests are its own, and it takes turns as if it had its part of the pool alone.
    /// </summary>
    public static ReplayPlan CreatePart(ReplayOptions options, TraceRequest[] requests, int part)
    {
        var poolBytes = Math.Max(options.Pool.CeilingBytes / options.Processes / ReplayOptions.UnitBytes, 1) * ReplayOptions.UnitBytes;
        var own = requests.Where((_, i) => i % options.Processes == part).ToArray();
        var alone = options with { Pool = PoolSize.Fixed(poolBytes), Active = (options.Active + options.Processes - 1) / options.Processes };
        return Create(alone, own) with { Pool = options.Pool };
    }

    /// <summary>All requests that can be live together, and a quarter more for slots that are free but still being read.</summary>
    private static long DefaultColdBytes(long poolBytes, long largestBytes)
    {
        var bytes = largestBytes + (largestBytes / 4) + poolBytes / 4;
        var rounded = (bytes + ReplayOptions.UnitBytes - 1) / ReplayOptions.UnitBytes * ReplayOptions.UnitBytes;
        return Math.Min(rounded, ReplayOptions.MaxBytes);
    }

    /// <summary>Rows that grow by copying, and fresh rows beside those that live steps still read: four times what lies in them.</summary>
    private static long TableBytesFor(long largestBlocks, int active)
    {
        const long minBytes = 1 << 20;
        const long rowRounding = 128;
        var bytes = 4 * ((largestBlocks * sizeof(uint)) + (active * rowRounding));
        return Math.Max(minBytes, (bytes + minBytes - 1) / minBytes * minBytes);
    }
}
