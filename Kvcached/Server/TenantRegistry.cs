using Kvcached.Engine;

namespace Kvcached.Server;

/// <summary>
/// The daemon's tenants by name. One that the options or an operator have given limits stays; any other is there as long as it has clients. On the server's thread.
/// </summary>
internal sealed class TenantRegistry
{
    /// <summary>Names that there may be at a time.</summary>
    public const int MostTenants = 1024;

    /// <summary>Characters of a name.</summary>
    public const int LongestName = 64;

    private readonly CacheEngine _engine;
    private readonly Dictionary<string, RegisteredTenant> _tenants = new(StringComparer.Ordinal);

    /// <summary>Opens the tenants that the options name.</summary>
    /// <exception cref="KvException">Limits are out of range, or the guaranteed minimums are more than the pool.</exception>
    public TenantRegistry(CacheEngine engine, IReadOnlyDictionary<string, TenantQuota> quotas)
    {
        _engine = engine;
        foreach (var (name, quota) in quotas)
        {
            SetLimits(name, quota.MinBytes, quota.MaxBytes ?? long.MaxValue, quota.Weight);
        }
    }

    public IEnumerable<RegisteredTenant> All => _tenants.Values;

    /// <summary>A client of the tenant has come.</summary>
    /// <exception cref="KvException">There are as many tenants as there may be, or the name is none.</exception>
    public RegisteredTenant Enter(string name)
    {
        var tenant = FindOrOpen(name);
        tenant.Clients++;
        return tenant;
    }

    /// <summary>A client of the tenant has been reclaimed.</summary>
    public void Leave(string name)
    {
        var tenant = _tenants[name];
        if (--tenant.Clients == 0 && !tenant.IsKept)
        {
            _engine.CloseTenant(tenant.State);
            _tenants.Remove(name);
        }
    }

    /// <summary>Changes limits; null leaves one as it is. The tenant stays from then on.</summary>
    /// <exception cref="KvException">A limit is out of range; the message names it.</exception>
    public void SetLimits(string name, long? min, long? max, int? weight)
    {
        var wasThere = _tenants.ContainsKey(name);
        var tenant = FindOrOpen(name);
        try
        {
            var limits = tenant.State.Limits;
            _engine.SetLimits(tenant.State, new TenantLimits(min ?? limits.MinBytes, max ?? limits.MaxBytes, weight ?? limits.Weight));
            tenant.IsKept = true;
        }
        catch (KvException error)
        {
            if (!wasThere)
            {
                _engine.CloseTenant(tenant.State);
                _tenants.Remove(name);
            }

            throw new KvException(error.Error, $"Tenant '{name}': {error.Message}");
        }
    }

    /// <summary>Checks a name.</summary>
    /// <exception cref="KvException">It is none.</exception>
    public static void CheckName(string name)
    {
        if (name.Length is 0 or > LongestName)
        {
            throw new KvException(KvError.InvalidArgument, $"A tenant's name is '{name}', of {name.Length} characters; it must have 1 to {LongestName}.");
        }
    }

    private RegisteredTenant FindOrOpen(string name)
    {
        if (_tenants.TryGetValue(name, out var known))
        {
            return known;
        }

        CheckName(name);
        if (_tenants.Count == MostTenants)
        {
            throw new KvException(KvError.CapacityExceeded, $"There are {MostTenants} tenants, which is the limit.");
        }

        var tenant = new RegisteredTenant(name, _engine.OpenTenant(TenantLimits.None));
        _tenants.Add(name, tenant);
        return tenant;
    }
}

/// <summary>A tenant by name.</summary>
internal sealed class RegisteredTenant(string name, TenantState state)
{
    public string Name { get; } = name;

    public TenantState State { get; } = state;

    /// <summary>Its clients, the dying ones too.</summary>
    public int Clients { get; set; }

    /// <summary>Whether it has been given limits, and stays without clients.</summary>
    public bool IsKept { get; set; }

    public StepLatencies Latencies { get; } = new();
}
