namespace Kvcached.Protocol;

/// <summary>What a daemon holds, as <c>kvcached status</c> shows it. Sizes in bytes.</summary>
internal sealed record DaemonStatus
{
    public required int Pid { get; init; }

    public required string Device { get; init; }

    public required double UptimeSeconds { get; init; }

    public required long PoolBytes { get; init; }

    public required long ColdCapacityBytes { get; init; }

    public required KvCacheStatistics Totals { get; init; }

    public required long PoolPhysicalBytes { get; init; }

    public required TenantStatus[] Tenants { get; init; }

    public required ClientStatus[] Clients { get; init; }
}

/// <summary>A tenant: its limits, what it holds, and what has been done for it since it was opened.</summary>
internal sealed record TenantStatus
{
    public required string Name { get; init; }

    public required long MinBytes { get; init; }

    /// <summary>Null for no limit.</summary>
    public required long? MaxBytes { get; init; }

    public required int Weight { get; init; }

    /// <summary>What the tenant may hold while others want memory, too.</summary>
    public required long ShareBytes { get; init; }

    public required long ResidentBytes { get; init; }

    public required long CleanBytes { get; init; }

    public required long ColdBytes { get; init; }

    public required long Steps { get; init; }

    public required long CleanedBlocks { get; init; }

    public required long EvictedBlocks { get; init; }

    public required long ReloadedBlocks { get; init; }

    /// <summary>Microseconds from when the daemon read a step to its begin point, by the turns that saw both: median and 99th percentile of the last thousand.</summary>
    public required double StepMedianMicroseconds { get; init; }

    public required double StepSlowMicroseconds { get; init; }
}

/// <summary>A connected client, or one that is dying.</summary>
internal sealed record ClientStatus
{
    public required int Number { get; init; }

    public required string Name { get; init; }

    public required string Tenant { get; init; }

    public required int Pid { get; init; }

    /// <summary><c>serving</c>, <c>condemned</c> (disconnected, not proved gone yet) or <c>gone</c> (its transfers drain).</summary>
    public required string State { get; init; }

    public required int Lanes { get; init; }

    public required int Sequences { get; init; }

    public required long PinnedBytes { get; init; }
}
