namespace Kvcached;

/// <summary>Sizes of an embedded cache.</summary>
public sealed record KvCacheOptions
{
    /// <summary>Bytes of a unit: pool and cold memory are multiples of it.</summary>
    public const long UnitBytes = 2 << 20;

    /// <summary>Largest pool: what 32-bit entries reach in granules of 256 bytes.</summary>
    public const long MaxPoolBytes = 1L << 40;

    /// <summary>Bytes that <see cref="TableBytes"/> is a multiple of.</summary>
    public const long TableUnitBytes = 16 << 10;

    /// <summary>Device memory for blocks: a multiple of 2 MiB, at most 1 TiB.</summary>
    public required long PoolBytes { get; init; }

    /// <summary>
    /// Bytes of the pool that keep their memory: a multiple of 2 MiB, at most <see cref="PoolBytes"/>. Above it, memory is taken from the system as blocks
    /// need it, and goes back in <see cref="KvCache.Trim"/>. Null for all of the pool.
    /// </summary>
    public long? PoolFloorBytes { get; init; }

    /// <summary>Host memory for cold copies: a multiple of 2 MiB; 0 for none (nothing can be evicted then).</summary>
    public required long ColdBytes { get; init; }

    /// <summary>Device memory for rows of block entries, 4 bytes each: a multiple of 16 KiB.</summary>
    public long TableBytes { get; init; } = 1 << 20;

    /// <summary>Sequences that may exist at a time.</summary>
    public int MaxSequences { get; init; } = 65536;

    /// <summary>Bytes of the pool that this client's live steps may keep from others; null for no limit.</summary>
    public long? MaxPinnedBytes { get; init; }

    /// <summary>Whether blocks are cleaned ahead of need while the background queue is idle.</summary>
    public bool CleanAhead { get; init; } = true;

    internal void Validate()
    {
        Check(nameof(PoolBytes), PoolBytes, UnitBytes, MaxPoolBytes, UnitBytes);
        Check(nameof(PoolFloorBytes), PoolFloorBytes ?? PoolBytes, UnitBytes, PoolBytes, UnitBytes);
        Check(nameof(ColdBytes), ColdBytes, 0, MaxPoolBytes, UnitBytes);
        Check(nameof(TableBytes), TableBytes, TableUnitBytes, 1L << 32, TableUnitBytes);
        Check(nameof(MaxSequences), MaxSequences, 1, 1 << 24, 1);
        if (MaxPinnedBytes is { } pinned)
        {
            Check(nameof(MaxPinnedBytes), pinned, 1, PoolBytes, 1);
        }
    }

    internal static void Check(string name, long value, long min, long max, long multiple)
    {
        if (value < min || value > max || value % multiple != 0)
        {
            var multiples = multiple == 1 ? string.Empty : $" and a multiple of {multiple}";
            throw new KvException(KvError.InvalidArgument, $"{name} is {value}; it must be {min} to {max}{multiples}.");
        }
    }
}

/// <summary>Size of a lane.</summary>
public sealed record KvLaneOptions
{
    /// <summary>Steps that may be begun and not yet observed as ended.</summary>
    public int Depth { get; init; } = 4;

    /// <summary>Sequences in one step.</summary>
    public int MaxBatch { get; init; } = 256;

    /// <summary>Layouts of a model whose sequences take steps on the lane.</summary>
    public int MaxLayouts { get; init; } = 4;

    /// <summary>
    /// Pages that one sequence may have in the page tables of a step, for layouts with <see cref="KvLayout.PageTable"/>; 0 for no page tables. Times
    /// <see cref="MaxBatch"/> at most 2^31 − 1. Costs about 8 × MaxPages × MaxBatch × MaxLayouts × Depth bytes of device memory.
    /// </summary>
    public int MaxPages { get; init; }

    /// <summary>Whether sequences with a contiguous window (<see cref="KvSequence.OpenWindow"/>) may take steps on the lane.</summary>
    public bool Windows { get; init; }

    internal void Validate()
    {
        KvCacheOptions.Check(nameof(Depth), Depth, 1, 1024, 1);
        KvCacheOptions.Check(nameof(MaxBatch), MaxBatch, 1, 65536, 1);
        KvCacheOptions.Check(nameof(MaxLayouts), MaxLayouts, 1, 64, 1);
        KvCacheOptions.Check(nameof(MaxPages), MaxPages, 0, int.MaxValue / MaxBatch, 1);
    }
}
