using System.Text.Json;
using System.Text.Json.Serialization;
using Kvcached.Devices.Sim;
using Kvcached.Engine;

namespace Kvcached.Bench.Simulation;

/// <summary>Where a simulated program starts: what there is of everything, and who shares it how.</summary>
public sealed record ProgramSetup
{
    internal const int MaxBatch = 4;
    internal const int MaxSequences = 10;
    internal const int MaxLanes = 2;

    private const int MaxUnits = 1 << 14;
    private const int MaxClients = 16;
    private const int MaxDepth = 64;
    private const int MaxTokenBytes = 4096;
    private const int MaxTokensPerBlock = 64;

    /// <summary>Seed of the device: which queue runs next, where copies are cut.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public required ulong Seed { get; init; }

    /// <summary>The host may see a timeline's value late.</summary>
    public bool LagsObservation { get; init; }

    /// <summary>Units of the pool.</summary>
    public int PoolUnits { get; init; }

    /// <summary>Units of the pool that keep their memory in a trim; 0 for all.</summary>
    public int PoolFloorUnits { get; init; }

    /// <summary>Memory that the pool gets comes later; one of so many requests for it is refused, 0 for none.</summary>
    public bool GivesLater { get; init; }

    /// <summary>See <see cref="GivesLater"/>.</summary>
    public int RefusesMemory { get; init; }

    /// <summary>Bytes that a pass of compaction may move before it ends with a segment; 0 for no limit.</summary>
    public int CompactionBytes { get; init; }

    /// <summary>Units of the cold tier; 0 for none.</summary>
    public int ColdUnits { get; init; }

    /// <summary>Units of the entry heap.</summary>
    public int TableUnits { get; init; }

    /// <summary>Blocks that are kept clean ahead of need.</summary>
    public int CleanAheadBlocks { get; init; }

    /// <summary>A client may pin its part of the entry heap, and no more; else what it likes.</summary>
    public bool SharesRows { get; init; }

    /// <summary>Clients may pin twice their parts of the pool: together more than it has.</summary>
    public bool SharesExceedPool { get; init; }

    /// <summary>Operations for which a client may hold a step, about; 0 for as many as it likes.</summary>
    public int LeaseOperations { get; init; }

    /// <summary>Tenants that clients are of, each by a choice of its limits; none: all are of the default one.</summary>
    public IReadOnlyList<int> Tenants { get; init; } = [];

    /// <summary>The clients, each with a model.</summary>
    public required IReadOnlyList<ClientSetup> Clients { get; init; }

    /// <summary>Checks what was written by hand.</summary>
    /// <exception cref="JsonException">A number is out of its range.</exception>
    internal void Check()
    {
        CheckRange(nameof(PoolUnits), PoolUnits, 1, MaxUnits);
        CheckRange(nameof(PoolFloorUnits), PoolFloorUnits, 0, PoolUnits);
        CheckRange(nameof(RefusesMemory), RefusesMemory, 0, int.MaxValue);
        CheckRange(nameof(CompactionBytes), CompactionBytes, 0, int.MaxValue);
        CheckRange(nameof(ColdUnits), ColdUnits, 0, MaxUnits);
        CheckRange(nameof(TableUnits), TableUnits, 1, MaxUnits);
        CheckRange(nameof(CleanAheadBlocks), CleanAheadBlocks, 0, MaxUnits);
        CheckRange(nameof(LeaseOperations), LeaseOperations, 0, MaxUnits);
        CheckRange("number of tenants", Tenants?.Count ?? -1, 0, MaxClients);
        CheckRange("number of clients", Clients?.Count ?? 0, 1, MaxClients);
        foreach (var client in Clients!)
        {
            CheckRange("tenant of a client", client?.Tenant ?? 0, 0, int.MaxValue);
            CheckRange("number of a client's layouts", client?.Layouts?.Count ?? 0, 1, 2);
            CheckRange("number of a client's lanes", client!.LaneDepths?.Count ?? 0, 1, MaxLanes);
            foreach (var depth in client.LaneDepths!)
            {
                CheckRange("depth of a lane", depth, 1, MaxDepth);
            }

            foreach (var layout in client.Layouts)
            {
                CheckRange(nameof(layout.TokenBytes), layout.TokenBytes, 64, MaxTokenBytes);
                CheckRange(nameof(layout.TokensPerBlock), layout.TokensPerBlock, 1, MaxTokensPerBlock);
                CheckRange(nameof(layout.Window), layout.Window, 0, int.MaxValue);
                if (layout.TokenBytes % 64 != 0 || !int.IsPow2(layout.TokensPerBlock))
                {
                    throw new JsonException($"TokenBytes must be a multiple of 64 and TokensPerBlock a power of two, not {layout.TokenBytes} and {layout.TokensPerBlock}.");
                }
            }
        }
    }

    private static void CheckRange(string name, int value, int least, int most)
    {
        if (value < least || value > most)
        {
            throw new JsonException($"{name} must be {least} to {most}, not {value}.");
        }
    }

    /// <summary>Draws one. Half the time each client may pin its part of the entry heap alone; in one of eight there is a unit of the pool for each, or one more.</summary>
    internal static ProgramSetup Draw(ulong seed, int clients, ref SimRandom random)
    {
        var hasSmallPool = random.OneIn(8);
        var setup = new ProgramSetup
        {
            Seed = seed,
            LagsObservation = random.OneIn(2),
            PoolUnits = hasSmallPool ? clients + random.Next(2) : 4 + random.Next(20),
            ColdUnits = random.Next(8) switch { 0 => 0, < 4 => 1 + random.Next(3), < 6 => 3 + random.Next(6), _ => 4 + random.Next(44) },
            TableUnits = 4 + random.Next(12),
            CleanAheadBlocks = random.OneIn(4) ? 0 : 1 + random.Next(12),
            SharesRows = random.OneIn(2),
            SharesExceedPool = random.OneIn(4),
            Clients = new ClientSetup[clients],
        };
        var (pages, windows) = (new SimRandom(seed, stream: 9), new SimRandom(seed, stream: 12));
        var (pool, leases, memory) = (new SimRandom(seed, stream: 20), new SimRandom(seed, stream: 29), new SimRandom(seed, stream: 30));
        for (var i = 0; i < clients; i++)
        {
            ((ClientSetup[])setup.Clients)[i] = ClientSetup.Draw(hasSmallPool, ref random) with { HasPageTables = pages.OneIn(4) };
            ((ClientSetup[])setup.Clients)[i] = DrawWindows(setup.Clients[i], ref windows);
        }

        setup = setup.Clients.Any(client => client.HasWindows) ? setup with { PoolUnits = setup.PoolUnits + windows.Next(12) } : setup;
        setup = DrawTenants(setup, new SimRandom(seed, stream: 25));
        return setup with
        {
            PoolFloorUnits = pool.OneIn(2) ? 1 + pool.Next(setup.PoolUnits) : 0,
            CompactionBytes = pool.OneIn(2) ? 1 << pool.Next(14) : 0,
            LeaseOperations = leases.OneIn(4) ? 32 << leases.Next(4) : 0,
            GivesLater = memory.OneIn(2),
            RefusesMemory = memory.OneIn(2) ? 0 : 1 << memory.Next(4),
        };
    }

    /// <summary>What a choice of limits means: no more than half of the pool is guaranteed to all tenants together, and none may hold less than a quarter of it, or less than that.</summary>
    internal TenantLimits LimitsOf(int choice, long unitBytes)
    {
        var pool = PoolUnits * unitBytes;
        return new TenantLimits(
            MinBytes: (choice & 1) != 0 ? 0 : pool * (choice >> 1 & 7) / (14 * Math.Max(2, Tenants.Count)),
            MaxBytes: (choice >> 4 & 7) is >= 3 and var eighths ? pool * (eighths - 1) / 8 : long.MaxValue,
            Weight: 1 + (choice >> 8 & 3));
    }

    /// <summary>In every other program there are two or three tenants; in half of those the pool is half as large, so that units pass from one to the other often.</summary>
    private static ProgramSetup DrawTenants(ProgramSetup setup, SimRandom random)
    {
        if (setup.Clients.Count < 2 || random.OneIn(2))
        {
            return setup;
        }

        var tenants = new int[2 + random.Next(Math.Min(setup.Clients.Count, 3) - 1)];
        for (var i = 0; i < tenants.Length; i++)
        {
            tenants[i] = random.Next(SimulatedOperation.Choices);
        }

        var first = random.Next(tenants.Length);
        var units = random.OneIn(2) ? setup.PoolUnits : Math.Max(Math.Min(4, setup.PoolUnits), setup.PoolUnits / 2);
        return setup with { PoolUnits = units, Tenants = tenants, Clients = [.. setup.Clients.Select((client, i) => client with { Tenant = (first + i) % tenants.Length })] };
    }

    /// <summary>One client in four has contiguous windows, with tokens so large that windows of a few come to several units.</summary>
    private static ClientSetup DrawWindows(ClientSetup client, ref SimRandom random)
    {
        var (hasWindows, tokenBytes) = (random.OneIn(4), 256 << random.Next(3));
        return hasWindows && client.Layouts.Any(layout => layout.Window == 0)
            ? client with { HasWindows = true, Layouts = [.. client.Layouts.Select(layout => layout.Window > 0 ? layout : layout with { TokenBytes = Math.Max(layout.TokenBytes, tokenBytes) })] }
            : client;
    }
}

/// <summary>A client of a simulated program.</summary>
/// <param name="Layouts">Layouts of its model: one or two.</param>
/// <param name="LaneDepths">Depth of each lane.</param>
public sealed record ClientSetup(IReadOnlyList<LayoutSetup> Layouts, IReadOnlyList<int> LaneDepths)
{
    /// <summary>Kernels find blocks by page tables in place of views and entries.</summary>
    public bool HasPageTables { get; init; }

    /// <summary>Which of the tenants it is of.</summary>
    public int Tenant { get; init; }

    /// <summary>Its lanes serve contiguous windows.</summary>
    public bool HasWindows { get; init; }

    /// <summary>Draws one. With a small pool every layout has a sliding window, so that sequences outgrow the pool.</summary>
    internal static ClientSetup Draw(bool hasSmallPool, ref SimRandom random)
    {
        var layouts = new LayoutSetup[1 + random.Next(2)];
        for (var i = 0; i < layouts.Length; i++)
        {
            // One in six has blocks that do not fill a unit: its segments have two or four.
            var (tokenBytes, tokens) = !hasSmallPool && random.OneIn(6) ? (320 << random.Next(2), 8) : (64 << random.Next(3), 2 << random.Next(3));
            layouts[i] = new LayoutSetup(tokenBytes, tokens, hasSmallPool || random.OneIn(4) ? 4 + random.Next(12) : 0);
        }

        if (layouts.Length == 2 && random.OneIn(4))
        {
            layouts[1] = layouts[0] with { Window = layouts[1].Window };
        }

        var depths = new int[1 + random.Next(ProgramSetup.MaxLanes)];
        for (var i = 0; i < depths.Length; i++)
        {
            depths[i] = 1 + random.Next(4);
        }

        return new ClientSetup(layouts, depths);
    }
}

/// <summary>A layout of a simulated model.</summary>
/// <param name="TokenBytes">Bytes of a token.</param>
/// <param name="TokensPerBlock">Tokens of a block.</param>
/// <param name="Window">Tokens that a step sees; 0 for all.</param>
public readonly record struct LayoutSetup(int TokenBytes, int TokensPerBlock, int Window);
