using Kvcached.Devices;
using Kvcached.Engine;

namespace Kvcached.Bench.Ratios;

/// <summary>Engines over memory that is on paper: blocks of 64 KiB and 16 tokens.</summary>
internal static class PaperEngine
{
    public const int BlockBytes = 64 << 10;

    public static KvLayout Layout { get; } = new() { Layers = 1, Heads = 8, HeadDim = 128 };

    /// <summary>Bytes of so many blocks, in whole units.</summary>
    public static long BytesOf(long blocks) => (blocks * BlockBytes + KvCacheOptions.UnitBytes - 1) / KvCacheOptions.UnitBytes * KvCacheOptions.UnitBytes;

    public static CacheEngine Create(ISubmitter device, long poolBlocks, long coldBlocks, int sequences, long tableBytes = 64 << 20, long compactionBytes = 0) => new(
        new EngineOptions
        {
            Pool = new PaperMemory("pool", BytesOf(poolBlocks)),
            Entries = new PaperMemory("entries", tableBytes),
            Cold = coldBlocks == 0 ? null : new PaperMemory("cold", BytesOf(coldBlocks), MemoryKind.Host),
            UnitBytes = KvCacheOptions.UnitBytes,
            RowUnitBytes = KvCacheOptions.TableUnitBytes,
            MaxSequences = sequences,
            CleanAheadBlocks = 0,
            CompactionBytes = compactionBytes,
        },
        device);

    public static LaneState OpenLane(CacheEngine engine, ClientState client, int depth, int maxBatch)
    {
        var bytes = LaneState.RingBytes(depth, maxBatch, 1);
        return engine.OpenLane(client, new LaneMemory(depth, maxBatch, 1, new PaperMemory("views", bytes), new PaperMemory("staging", bytes, MemoryKind.Host, isBacked: true)));
    }
}
