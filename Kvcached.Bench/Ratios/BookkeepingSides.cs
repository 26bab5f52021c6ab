using Kvcached.Engine;
using Kvcached.Sequences;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// What an engine keeps of a pool of 16 GiB in blocks of 64 KiB, every block in use and every one with a cold copy (A), and the bytes of the
/// pool (B): all that is on the managed heap, table, views and staging. The engine keeps nothing elsewhere. Further fields say what each part
/// takes, in bytes a block.
/// </summary>
internal sealed class BookkeepingSides : RatioSides
{
    private const long PoolBlocks = (16L << 30) / PaperEngine.BlockBytes;
    private const int Sequences = 256;
    private const int MaxSequences = 65536;
    private const int TokensPerBlock = 16;
    private const long TableBytes = 4 << 20;
    private List<ExtraField> _parts = [];

    public override bool IsPinned => false;

    public override double RunA() => Measure(PoolBlocks, out _parts);

    public override double RunB() => PoolBlocks * PaperEngine.BlockBytes;

    public override IEnumerable<ExtraField> Extra(double a, double b) => [.. _parts, new ExtraField("without_cold", 100 * Measure(coldBlocks: 0, out _) / b)];

    private static double Measure(long coldBlocks, out List<ExtraField> parts)
    {
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var device = new PaperDevice();
        var engine = PaperEngine.Create(device, PoolBlocks, coldBlocks, MaxSequences, TableBytes);
        var client = engine.OpenClient();
        var model = engine.RegisterModel(client, [PaperEngine.Layout.ToShape()], [0]);
        var lane = PaperEngine.OpenLane(engine, client, depth: 4, Sequences);
        var batch = new StepRequest[Sequences];
        for (var i = 0; i < Sequences; i++)
        {
            batch[i] = new StepRequest(engine.Sequences.Create(client, model), (int)(PoolBlocks / Sequences * TokensPerBlock));
        }

        var status = engine.Begin(lane, batch);
        Observe(engine, device, lane);
        var cleaned = coldBlocks == 0 ? 0 : batch.Sum(item => engine.Transfers.Clean(lane, item.Sequence));
        Observe(engine, device, lane);
        if (status != KvStepStatus.Accepted || cleaned != coldBlocks || engine.State.Pool.UsedBlocks != PoolBlocks)
        {
            throw new InvalidOperationException($"The step that fills the pool is {status}, and {cleaned} of {coldBlocks} blocks were cleaned.");
        }

        var managed = GC.GetTotalMemory(forceFullCollection: true) - before;
        var native = TableBytes + lane.ViewRing.Bytes;
        parts = PartsOf(engine, lane, device, managed, native);
        return managed + native;
    }

    private static List<ExtraField> PartsOf(CacheEngine engine, LaneState lane, PaperDevice device, long managed, long native)
    {
        var census = new HeapCensus();
        var counted = 0L;
        ExtraField Part(string name, object root)
        {
            var bytes = census.Count(root);
            counted += bytes;
            return PerBlock(name, bytes);
        }

        census.Count(device);
        census.Count(engine.State.Timelines);
        return
        [
            Part("block_states", engine.State.Blocks),
            Part("sequences", engine.State.Sequences),
            Part("pool", engine.State.Pool),
            Part("cold_tier", engine.State.Cold),
            Part("row_heap", engine.State.Rows),
            Part("lane", lane),
            Part("plans", engine),
            PerBlock("table_and_views", native),
            PerBlock("not_found", managed - counted),
        ];
    }

    private static ExtraField PerBlock(string name, long bytes) => new(name, (double)bytes / PoolBlocks);

    private static void Observe(CacheEngine engine, PaperDevice device, LaneState lane)
    {
        engine.Observe(lane.EndOf(1).Timeline, lane.Begun);
        device.ObserveAll(engine, lanes: 1);
        engine.Turn();
    }
}
