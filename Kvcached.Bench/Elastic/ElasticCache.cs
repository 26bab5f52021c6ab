using Kvcached.Bench.Ratios;
using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Memory;

namespace Kvcached.Bench.Elastic;

/// <summary>The engine over a pool on paper, whose device runs in virtual time, and the models that it serves: each a tenant with one client and one lane.</summary>
internal sealed class ElasticCache
{
    public const int TokensPerBlock = 16;
    public const int MaxBatch = 512;

    private const int Depth = 2;
    private const int MaxSequences = 4096;

    /// <summary>Cold memory on paper, so that it is never what is short.</summary>
    private const long ColdBytes = 512L << 30;

    /// <summary>As many as the daemon cleans ahead of need if nothing else is asked for.</summary>
    private const int CleanAheadBlocks = 32;

    private readonly VirtualClock _clock;
    private readonly List<ModelServer> _models = [];

    public ElasticCache(VirtualClock clock, VirtualLink link, long poolBlocks)
    {
        _clock = clock;
        PoolBlocks = (int)poolBlocks;
        var pool = new PaperMemory("pool", poolBlocks * BlockBytes);
        var cold = new PaperMemory("cold", ColdBytes, MemoryKind.Host);
        Device = new VirtualDevice(clock, link, pool, cold) { Signalled = OnSignalled };
        Engine = new CacheEngine(
            new EngineOptions
            {
                Pool = pool,
                Entries = new PaperMemory("entries", 64 << 20),
                Cold = cold,
                UnitBytes = KvCacheOptions.UnitBytes,
                RowUnitBytes = KvCacheOptions.TableUnitBytes,
                MaxSequences = MaxSequences,
                CleanAheadBlocks = CleanAheadBlocks,
            },
            Device);
    }

    /// <summary>128 KiB a token.</summary>
    public static KvLayout Layout { get; } = new() { Layers = 32, Heads = 8, HeadDim = 128, TokensPerBlock = TokensPerBlock };

    public static long BlockBytes { get; } = (long)Layout.ToShape().BlockBytes;

    public CacheEngine Engine { get; }

    public VirtualDevice Device { get; }

    public int PoolBlocks { get; }

    public static int BlocksFor(int tokens) => (tokens + TokensPerBlock - 1) / TokensPerBlock;

    /// <summary>Adds a model, which serves requests from time 0.</summary>
    public ModelServer AddModel(ServedRequest[] requests)
    {
        var client = Engine.OpenClient(tenant: Engine.OpenTenant(TenantLimits.None));
        var number = Engine.RegisterModel(client, [Layout.ToShape()], [0]);
        var bytes = LaneState.RingBytes(Depth, MaxBatch, 1);
        var memory = new LaneMemory(Depth, MaxBatch, 1, new PaperMemory("views", bytes), new PaperMemory("staging", bytes, MemoryKind.Host, isBacked: true));
        var model = new ModelServer(_clock, this, client, Engine.OpenLane(client, memory), number, requests);
        _models.Add(model);
        return model;
    }

    /// <summary>
    /// Blocks that the next step of a model may use: what the last steps of the others leave, and its equal part at the least, which the engine takes back for it from those that hold more.
    /// </summary>
    public int BudgetOf(ModelServer model)
    {
        var left = PoolBlocks;
        foreach (var other in _models)
        {
            left -= other == model ? 0 : other.WantedBlocks;
        }

        return Math.Max(left, PoolBlocks / _models.Count);
    }

    private void OnSignalled(int timeline, ulong value)
    {
        Engine.Tick(_clock.Now / 1_000_000);
        Engine.Observe(timeline, value);
        Engine.Turn();
        foreach (var model in _models)
        {
            if (timeline == Point.TimelineOf(model.Lane.Number, TimelineKind.End))
            {
                model.EndStep();
            }
        }
    }
}
