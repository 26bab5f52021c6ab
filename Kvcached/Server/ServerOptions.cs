using Kvcached.Engine;

namespace Kvcached.Server;

/// <summary>What a tenant may hold of the pool.</summary>
/// <param name="MinBytes">Guaranteed: never taken for another tenant.</param>
/// <param name="MaxBytes">Hard limit; null for none.</param>
/// <param name="Weight">Its part of what lies between, beside the weights of other active tenants.</param>
public sealed record TenantQuota(long MinBytes = 0, long? MaxBytes = null, int Weight = 1)
{
    internal TenantLimits Limits => new(MinBytes, MaxBytes ?? long.MaxValue, Weight);
}

/// <summary>What a daemon is made of.</summary>
public sealed record ServerOptions
{
    /// <summary>Most clients at a time.</summary>
    public const int MostClients = 1024;

    /// <summary>Connections at a time beside the clients', of tools.</summary>
    internal const int MoreConnections = 64;

    /// <summary>Bytes of UTF-8 that a client's name may have.</summary>
    internal const int MaxNameBytes = 128;

    /// <summary>Models that one client may register.</summary>
    internal const int MaxModels = 64;

    /// <summary>Pairs of tenant and block size of models that the pool may have segments for. They stay for as long as the daemon runs, for tenants with the same numbers.</summary>
    internal const int MaxPoolLayouts = 1024;

    /// <summary>Views that a lane may have: depth × batch × layouts.</summary>
    internal const int MaxLaneViews = 1 << 20;

    /// <summary>Bytes of page tables that a lane may have.</summary>
    internal const long MaxPageTableBytes = 256 << 20;

    /// <summary>Bytes that the block tables may have.</summary>
    internal const long MaxTableBytes = 1L << 32;

    /// <summary>Path of the Unix socket.</summary>
    public required string Socket { get; init; }

    /// <summary>Device memory for blocks: a multiple of 2 MiB.</summary>
    public required long PoolBytes { get; init; }

    /// <summary>Bytes of the pool that keep their memory; null for all.</summary>
    public long? PoolFloorBytes { get; init; }

    /// <summary>Host memory for cold copies: a multiple of 2 MiB.</summary>
    public required long ColdBytes { get; init; }

    /// <summary>Device memory for rows of block entries: a multiple of 16 KiB.</summary>
    public long TableBytes { get; init; } = 4 << 20;

    /// <summary>Clients at a time.</summary>
    public int MaxClients { get; init; } = 64;

    /// <summary>Sequences that one client may hold.</summary>
    public int MaxSequences { get; init; } = 16384;

    /// <summary>Lanes that one client may open.</summary>
    public int MaxLanes { get; init; } = 16;

    /// <summary>Fraction of the pool, and of the entry heap, that what one client has under way may keep from others: a step that needs more never fits.</summary>
    public double MaxPinnedFraction { get; init; } = 0.75;

    /// <summary>How long a client may hold a step whose begin point has been reached, or live on with steps under way once it has been disconnected.</summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Whether a client past its lease is killed. If not, what its steps pin stays as it is until its process ends.</summary>
    public bool KillsPastLease { get; init; } = true;

    /// <summary>Users beside the daemon's own whose processes may connect.</summary>
    public IReadOnlyList<int> AllowedUsers { get; init; } = [];

    /// <summary>Limits of tenants by name; those that are not named get no minimum, no maximum and weight 1.</summary>
    public IReadOnlyDictionary<string, TenantQuota> Tenants { get; init; } = new Dictionary<string, TenantQuota>();

    /// <summary>Checks all members.</summary>
    /// <exception cref="KvException">A member is out of range; the message names it and the limit.</exception>
    public void Validate()
    {
        KvCacheOptions.Check(nameof(PoolBytes), PoolBytes, KvCacheOptions.UnitBytes, KvCacheOptions.MaxPoolBytes, KvCacheOptions.UnitBytes);
        KvCacheOptions.Check(nameof(PoolFloorBytes), PoolFloorBytes ?? PoolBytes, KvCacheOptions.UnitBytes, PoolBytes, KvCacheOptions.UnitBytes);
        KvCacheOptions.Check(nameof(ColdBytes), ColdBytes, 0, KvCacheOptions.MaxPoolBytes, KvCacheOptions.UnitBytes);
        KvCacheOptions.Check(nameof(TableBytes), TableBytes, KvCacheOptions.TableUnitBytes, MaxTableBytes, KvCacheOptions.TableUnitBytes);
        KvCacheOptions.Check(nameof(MaxClients), MaxClients, 1, MostClients, 1);
        KvCacheOptions.Check(nameof(MaxSequences), MaxSequences, 1, 1 << 20, 1);
        KvCacheOptions.Check(nameof(MaxLanes), MaxLanes, 1, 64, 1);
        KvCacheOptions.Check(nameof(Lease), (long)Lease.TotalMilliseconds, 100, int.MaxValue, 1);
        if (MaxPinnedFraction is not (> 0 and <= 1))
        {
            throw new KvException(KvError.InvalidArgument, $"{nameof(MaxPinnedFraction)} is {MaxPinnedFraction}; it must be above 0 and at most 1.");
        }

        ValidateTenants();
    }

    private void ValidateTenants()
    {
        KvCacheOptions.Check(nameof(Tenants), Tenants.Count, 0, TenantRegistry.MostTenants, 1);
        var left = PoolBytes;
        foreach (var (name, quota) in Tenants)
        {
            TenantRegistry.CheckName(name);
            if (quota.Limits.FindWrong(left, PoolBytes) is { } wrong)
            {
                throw new KvException(KvError.InvalidArgument, $"Tenant '{name}': {wrong}.");
            }

            left -= quota.MinBytes;
        }
    }
}
