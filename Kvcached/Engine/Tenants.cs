using System.Runtime.InteropServices;

namespace Kvcached.Engine;

/// <summary>What a tenant may have of the pool, in bytes of its blocks and windows on the device.</summary>
/// <param name="MinBytes">Guaranteed: nothing at or below it is taken for another tenant, and room up to it can be had once others' live steps have ended.</param>
/// <param name="MaxBytes">The most that it may hold.</param>
/// <param name="Weight">Its part, beside those of other active tenants, of what is guaranteed to nobody.</param>
internal readonly record struct TenantLimits(long MinBytes = 0, long MaxBytes = long.MaxValue, int Weight = 1)
{
    /// <summary>Nothing guaranteed, and no limit.</summary>
    public static readonly TenantLimits None = new(MinBytes: 0);

    /// <summary>What of them cannot be kept where others' minimums leave so many bytes of the pool, worded to follow the tenant's name; null for nothing.</summary>
    public string? FindWrong(long leftBytes, long poolBytes) =>
        MaxBytes < 0 ? $"its maximum is {MaxBytes} bytes; it must be 0 or more" :
        MinBytes < 0 ? $"its minimum is {MinBytes} bytes; it must be 0 or more" :
        MinBytes > MaxBytes ? $"its minimum is {MinBytes} bytes; it must be 0 to its maximum of {MaxBytes}" :
        MinBytes > leftBytes ? $"its minimum is {MinBytes} bytes; it must be at most {leftBytes} bytes, which other tenants' minimums leave of the pool's {poolBytes}" :
        Weight < 1 ? $"its weight is {Weight}; it must be 1 or more" :
        null;
}

/// <summary>What has been done for a tenant.</summary>
internal struct TenantCounters
{
    public long Steps;
    public long RefusedSteps;
    public long BusySteps;
    public long CleanedBlocks;
    public long EvictedBlocks;
    public long ReloadedBlocks;
    public long BytesOut;
    public long BytesIn;
}

/// <summary>
/// A tenant: the quota domain of its clients. Its blocks lie in segments of its own. Made by <see cref="TenantTable"/>; numbers are reused.
/// </summary>
internal sealed class TenantState(int number)
{
    public readonly int Number = number;

    public bool IsOpen { get; set; }

    /// <summary>Set by <see cref="TenantTable.SetLimits"/>, which checks them.</summary>
    public TenantLimits Limits { get; set; } = TenantLimits.None;

    /// <summary>Bytes of its blocks and windows on the device.</summary>
    public long ResidentBytes;

    /// <summary>Bytes of its blocks' cold copies; and of its blocks that are on the device no more.</summary>
    public long ColdBytes;
    public long EvictedBytes;

    public TenantCounters Counters;

    /// <summary>When it last asked for room, in the host's milliseconds.</summary>
    public long? LastUse;

    /// <summary>What it may hold before others take from it, as last counted; and whether it was active then.</summary>
    public long Share;
    public bool IsActive;

    /// <summary>What a search would take from it, and which search that is.</summary>
    public long Taken;
    public ulong TakenBy;

    /// <summary>Bytes of its blocks on the device that have a cold copy, too.</summary>
    public long CleanBytes => ColdBytes - EvictedBytes;

    public bool IsOverShare => ResidentBytes > Share;
}

/// <summary>
/// The tenants and their shares. Tenant 0 is there from the start and has no limits: clients that name no tenant are its own.
/// <code>
///   share = min + weight / weights of active tenants × (pool − mins of all tenants), between min and max; of an idle tenant: min
/// </code>
/// </summary>
internal sealed class TenantTable
{
    /// <summary>Milliseconds after a tenant last asked for room from which on it is idle, if no step of it lives or waits.</summary>
    public const long IdleAfter = 1000;

    private readonly EngineState _state;
    private readonly List<TenantState> _tenants = [];
    private ulong _countedAt = ulong.MaxValue;
    private int _open;

    public TenantTable(EngineState state)
    {
        _state = state;
        Default = Open(TenantLimits.None);
    }

    public TenantState Default { get; }

    /// <summary>The host's clock, in milliseconds. It tells who is idle, and nothing else.</summary>
    public long Now { get; set; }

    /// <summary>Whether there is more than one tenant: else nobody's room is anybody else's.</summary>
    public bool AreSeveral => _open > 1;

    public TenantState this[int number] => _tenants[number];

    /// <summary>Those that are open, and those whose numbers wait to be used again.</summary>
    public ReadOnlySpan<TenantState> All => CollectionsMarshal.AsSpan(_tenants);

    public TenantState Open(TenantLimits limits)
    {
        Check(limits, except: null);
        var tenant = _tenants.Find(tenant => !tenant.IsOpen);
        if (tenant is null)
        {
            tenant = new TenantState(_tenants.Count);
            _tenants.Add(tenant);
        }

        (tenant.IsOpen, tenant.Limits, tenant.LastUse, tenant.Counters) = (true, limits, null, default);
        _open++;
        _countedAt = ulong.MaxValue;
        return tenant;
    }

    public void SetLimits(TenantState tenant, TenantLimits limits)
    {
        Check(limits, tenant);
        tenant.Limits = limits;
        _countedAt = ulong.MaxValue;
    }

    /// <summary>Closes a tenant that has no clients, and so holds nothing; its number is used again.</summary>
    public void Close(TenantState tenant)
    {
        foreach (var client in _state.Clients)
        {
            if (client.Tenant == tenant && client.Life != ClientLife.Reclaimed)
            {
                throw new KvException(KvError.InvalidArgument, $"Tenant {tenant.Number} has clients.");
            }
        }

        if (tenant == Default || tenant.ResidentBytes + tenant.ColdBytes > 0)
        {
            throw new KvException(KvError.InvalidArgument, $"Tenant {tenant.Number} is the default one, or holds {tenant.ResidentBytes} bytes of the pool and {tenant.ColdBytes} of cold memory.");
        }

        _state.Pool.Forget(tenant.Number);
        tenant.IsOpen = false;
        tenant.Limits = TenantLimits.None;
        _open--;
        _countedAt = ulong.MaxValue;
    }

    /// <summary>Counts the shares, once a plan.</summary>
    public void CountShares()
    {
        if (_countedAt == _state.Plan)
        {
            return;
        }

        _countedAt = _state.Plan;
        foreach (var tenant in _tenants)
        {
            tenant.IsActive = tenant.LastUse is { } last && Now - last < IdleAfter;
        }

        foreach (var lane in _state.Lanes)
        {
            if (lane is not null && (lane.HasLive || lane.HasWaiting))
            {
                lane.Client.Tenant.IsActive = true;
            }
        }

        var (spare, weights) = (_state.Options.Pool.Bytes - MinBytes(except: null), 0L);
        foreach (var tenant in _tenants)
        {
            weights += tenant.IsActive ? tenant.Limits.Weight : 0;
        }

        foreach (var tenant in _tenants)
        {
            var (min, max, weight) = tenant.Limits;
            tenant.Share = tenant.IsActive ? Math.Min(min + (long)((Int128)spare * weight / weights), max) : min;
        }
    }

    private long MinBytes(TenantState? except)
    {
        var bytes = 0L;
        foreach (var tenant in _tenants)
        {
            bytes += tenant == except ? 0 : tenant.Limits.MinBytes;
        }

        return bytes;
    }

    private void Check(TenantLimits limits, TenantState? except)
    {
        var pool = _state.Options.Pool.Bytes;
        if (limits.FindWrong(pool - MinBytes(except), pool) is { } wrong)
        {
            throw new KvException(KvError.InvalidArgument, $"{wrong}.");
        }
    }
}
