using Kvcached.Engine;
using Kvcached.Sequences;

namespace Kvcached;

/// <summary>
/// A growing run of tokens of one model: a handle, valid until freed; a freed sequence's handle is told from its successor's. Every member
/// throws <see cref="KvException"/> on a stale or foreign handle. Thread-safe.
/// </summary>
public readonly record struct KvSequence
{
    private readonly KvCache? _cache;

    internal KvSequence(KvCache cache, SequenceHandle handle, uint id)
    {
        _cache = cache;
        Handle = handle;
        Id = id;
    }

    /// <summary>Number of the sequence, as views carry it; never given twice by a cache.</summary>
    public uint Id { get; }

    /// <summary>Tokens after every step begun so far that was not refused.</summary>
    public int TokenCount => Cache.TokenCount(Handle);

    /// <summary>Whether a refused step marked the sequence: later steps leave it out until <see cref="Truncate"/>.</summary>
    public bool IsRefused => Cache.IsRefused(Handle);

    internal SequenceHandle Handle { get; }

    internal KvCache Cache => _cache ?? throw new KvException(KvError.InvalidArgument, "The default sequence handle names no sequence.");

    /// <summary>Keeps the first <paramref name="tokens"/> tokens, for steps begun later. Clears a refusal.</summary>
    public void Truncate(int tokens) => Cache.Truncate(Handle, tokens);

    /// <summary>Tells token ids, from the first token not told yet on. A seam: sharing of full blocks by content comes later.</summary>
    public void Commit(ReadOnlySpan<int> tokenIds) => Cache.Commit(Handle, tokenIds.Length);

    /// <summary>Copies what has no clean copy to cold memory and keeps it on the device.</summary>
    /// <returns>Copies enqueued; 0 where the sequence's last step is another lane's and has not been observed as ended.</returns>
    public int Clean(KvLane lane) => Cache.Transfer(TransferKind.Clean, lane, Handle, 0);

    /// <summary>Cleans and drops: gives up the device copies. Steps in flight go on reading them undisturbed.</summary>
    /// <returns>Blocks dropped: fewer than there are where cold memory is full.</returns>
    public int Evict(KvLane lane) => Cache.Transfer(TransferKind.Evict, lane, Handle, 0);

    /// <summary>Reloads what is not on the device, ahead of a step, as far as there is room.</summary>
    /// <returns>Copies enqueued.</returns>
    public int Prefetch(KvLane lane) => Cache.Transfer(TransferKind.Prefetch, lane, Handle, 0);

    /// <summary>Moves up to <paramref name="maxBlocks"/> blocks on the device to other places of the pool.</summary>
    /// <returns>Moves enqueued.</returns>
    public int Move(KvLane lane, int maxBlocks)
    {
        KvCacheOptions.Check(nameof(maxBlocks), maxBlocks, 0, int.MaxValue, 1);
        return Cache.Transfer(TransferKind.Move, lane, Handle, maxBlocks);
    }

    /// <summary>
    /// Restores the physical order of the sequence: blocks on the device that follow each other are moved to places that do, beside whatever kernels run, so
    /// that they are copied in longer copies and scanned in a stream (<see cref="KvCacheStatistics.MeanRunLength"/>). Blocks that a step is still writing,
    /// and those for which there are no free places together, stay; no run gets shorter, and none moves that would not double. Free places may be of segments that
    /// nobody used, which get memory for it. What has moved leaves places, so call again once it has been observed, until it moves nothing.
    /// </summary>
    /// <returns>Moves enqueued; 0 where there is nothing to restore, or nothing that could be now.</returns>
    public int RestoreOrder(KvLane lane) => Cache.Transfer(TransferKind.RestoreOrder, lane, Handle, 0);

    /// <summary>
    /// Opens the sequence's contiguous window for a layout: from the next step begun on, device memory in which its tokens lie in order, for kernels
    /// that know of no table (<see cref="KvStep.WindowsAddress"/>). The first such step gathers what there is, on the device.
    /// </summary>
    /// <exception cref="KvException">The model has no such layout, the layout has a sliding window, or the window is open.</exception>
    public KvWindow OpenWindow(int layout = 0)
    {
        Cache.OpenWindow(Handle, layout);
        return new KvWindow(this, layout);
    }

    /// <summary>Frees the sequence. Steps in flight that read it are not disturbed.</summary>
    public void Free() => Cache.Free(Handle);
}
