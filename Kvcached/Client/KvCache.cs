using Kvcached.Devices;

namespace Kvcached;

/// <summary>Sizes of an embedded cache.</summary>
public sealed record KvCacheOptions
{
    /// <summary>Device memory for blocks: a multiple of 2 MiB, at most 1 TiB.</summary>
    public required long PoolBytes { get; init; }

    /// <summary>Host memory for cold copies: a multiple of 2 MiB; 0 for none (nothing can be evicted then).</summary>
    public required long ColdBytes { get; init; }

    /// <summary>Device memory for rows of block entries.</summary>
    public long TableBytes { get; init; } = 1 << 20;

    /// <summary>Sequences that may exist at a time.</summary>
    public int MaxSequences { get; init; } = 65536;

    /// <summary>Bytes that this client's live steps may pin; null for the whole pool.</summary>
    public long? MaxPinnedBytes { get; init; }
}

/// <summary>Size of a lane.</summary>
public sealed record KvLaneOptions
{
    /// <summary>Steps that may be begun and not yet observed as ended.</summary>
    public int Depth { get; init; } = 4;

    /// <summary>Sequences in one step.</summary>
    public int MaxBatch { get; init; } = 256;
}

/// <summary>One sequence of a step and how many tokens the step appends to it.</summary>
public readonly record struct KvStepItem(KvSequence Sequence, int NewTokens);

/// <summary>Counters since the cache was opened, and what is held now.</summary>
public record struct KvCacheStatistics
{
    public long Steps;
    public long RefusedSteps;
    public long BusySteps;
    public long CleanedBlocks;
    /// <summary>Device copies given up whose content is kept cold.</summary>
    public long EvictedBlocks;
    public long ReloadedBlocks;
    public long MovedBlocks;
    public long BytesOut;
    public long BytesIn;
    public long BytesMoved;
    /// <summary>Waits for a point by the application (<see cref="KvCache.Wait"/>).</summary>
    public long HostWaits;
    public long ResidentBlocks;
    public long ColdBlocks;
    public long ResidentBytes;
    public long ColdBytes;
    public long ColdBytesPeak;
    /// <summary>Device memory held: the pool, tables, view rings.</summary>
    public long DeviceBytes;
}

/// <summary>
/// A KV cache over a device. Members may be called from any thread. No member waits for the device, but for
/// <see cref="Wait"/> and <see cref="WaitAsync"/>, which are for applications that need a result on the host, and are counted.
/// </summary>
public sealed class KvCache : IDisposable
{
    /// <summary>Opens a cache inside this process: the engine runs inline on the caller's thread.</summary>
    /// <exception cref="KvException">A size is impossible; the message names it and the limit.</exception>
    public static KvCache OpenEmbedded(IDevice device, KvCacheOptions options) => throw new NotSupportedException();

    /// <summary>The device that the cache's memory lies on.</summary>
    public IDevice Device => throw new NotSupportedException();

    /// <summary>Device address of the entry heap, for kernels.</summary>
    public ulong EntriesAddress => throw new NotSupportedException();

    /// <summary>Device address of the pool's byte 0, for kernels: an entry times 256 is an offset from here.</summary>
    public ulong PoolAddress => throw new NotSupportedException();

    /// <summary>Registers a model. A sequence of it has one row per layout.</summary>
    public KvModel RegisterModel(string name, params ReadOnlySpan<KvLayout> layouts) => throw new NotSupportedException();

    /// <summary>Opens a lane, an ordered flow of steps.</summary>
    public KvLane OpenLane(KvLaneOptions? options = null) => throw new NotSupportedException();

    /// <summary>Observes points, serves steps that are busy, starts background work. Never blocks. Steps and other commands do the same.</summary>
    public void Pump() => throw new NotSupportedException();

    /// <summary>Blocks the calling thread until the point is reached, and counts that. Pumps while it waits.</summary>
    /// <returns>False if the timeout passed first.</returns>
    public bool Wait(TimelinePoint point, TimeSpan timeout) => throw new NotSupportedException();

    /// <summary>Completes when the point is reached, and counts that. Pumps while it waits.</summary>
    public Task WaitAsync(TimelinePoint point, CancellationToken cancellation = default) => throw new NotSupportedException();

    /// <summary>Counters. Allocates nothing.</summary>
    public KvCacheStatistics GetStatistics() => throw new NotSupportedException();

    /// <summary>Closes the cache: waits for nothing; the device's queues must be idle or are given up.</summary>
    public void Dispose() => throw new NotSupportedException();
}

/// <summary>A registered model.</summary>
public sealed class KvModel
{
    public string Name => throw new NotSupportedException();

    public IReadOnlyList<KvLayout> Layouts => throw new NotSupportedException();

    /// <summary>Strides of a layout, to pass to kernels.</summary>
    public Kernels.KvShape Shape(int layout) => throw new NotSupportedException();

    /// <summary>Creates an empty sequence.</summary>
    public KvSequence CreateSequence() => throw new NotSupportedException();
}

/// <summary>A growing run of tokens of one model: a handle with a generation, valid until freed. Blittable-sized, compares by value.</summary>
public readonly record struct KvSequence
{
    /// <summary>Number of the sequence, as views carry it.</summary>
    public uint Id => throw new NotSupportedException();

    /// <summary>Tokens after every step begun so far that was not refused.</summary>
    public int TokenCount => throw new NotSupportedException();

    /// <summary>Keeps the first <paramref name="tokens"/> tokens, for steps begun later. Clears a refusal.</summary>
    public void Truncate(int tokens) => throw new NotSupportedException();

    /// <summary>Tells the token ids of the sequence from its first token not committed yet on (the seam for prefix sharing).</summary>
    public void Commit(ReadOnlySpan<int> tokenIds) => throw new NotSupportedException();

    /// <summary>Copies what has no clean copy to cold memory and keeps it on the device. Returns blocks whose copy was enqueued.</summary>
    public int Clean(KvLane lane) => throw new NotSupportedException();

    /// <summary>Cleans and drops: gives up the device copies. Returns blocks dropped (fewer than there are where they cannot be, now).</summary>
    public int Evict(KvLane lane) => throw new NotSupportedException();

    /// <summary>Reloads what is not on the device, ahead of a step. Returns blocks whose reload was enqueued.</summary>
    public int Prefetch(KvLane lane) => throw new NotSupportedException();

    /// <summary>Moves up to <paramref name="maxBlocks"/> blocks on the device to other places. Returns blocks whose move was enqueued.</summary>
    public int Move(KvLane lane, int maxBlocks) => throw new NotSupportedException();

    /// <summary>Frees the sequence; steps in flight that read it are not disturbed.</summary>
    public void Free() => throw new NotSupportedException();
}

/// <summary>An ordered flow of steps.</summary>
public sealed class KvLane
{
    public int Depth => throw new NotSupportedException();

    public int MaxBatch => throw new NotSupportedException();

    /// <summary>
    /// Begins a step over a batch: returns at once with its points and the addresses of its views, all known before the engine has placed a
    /// single block. The caller then enqueues: wait begin, kernels, signal end — on a queue of its own, steps in order.
    /// With status TooManySteps nothing was begun.
    /// </summary>
    public KvStep Begin(ReadOnlySpan<KvStepItem> batch) => throw new NotSupportedException();

    /// <summary>What became of step <paramref name="number"/> (one of the last Depth).</summary>
    public KvStepStatus StatusOf(ulong number) => throw new NotSupportedException();
}

/// <summary>A step that has been begun.</summary>
public readonly struct KvStep
{
    public ulong Number => throw new NotSupportedException();

    /// <summary>As known when Begin returned; a Busy step's later fate is in <see cref="KvLane.StatusOf"/>.</summary>
    public KvStepStatus Status => throw new NotSupportedException();

    /// <summary>Kernels wait for this.</summary>
    public TimelinePoint Begin => throw new NotSupportedException();

    /// <summary>The client signals this after its kernels.</summary>
    public TimelinePoint End => throw new NotSupportedException();

    /// <summary>Device address of the views of a layout: one <see cref="Kernels.SequenceView"/> per item of the batch, in order.</summary>
    public ulong ViewsAddress(int layout = 0) => throw new NotSupportedException();
}
