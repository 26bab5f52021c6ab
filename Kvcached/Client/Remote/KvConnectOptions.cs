namespace Kvcached;

/// <summary>How a process attaches to a daemon.</summary>
public sealed record KvConnectOptions
{
    /// <summary>The tenant that the process belongs to: who shares its limits.</summary>
    public string Tenant { get; init; } = "default";

    /// <summary>What the client is called in what the daemon shows.</summary>
    public string Name { get; init; } = AppDomain.CurrentDomain.FriendlyName;

    /// <summary>How long to try to reach the daemon, and how long it may take to answer a request.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Bytes of the ring that commands go through: a power of two, 64 KiB to 16 MiB. A step takes 24 bytes and 8 for each sequence.</summary>
    public int RingBytes { get; init; } = 1 << 18;

    internal void Validate()
    {
        ArgumentException.ThrowIfNullOrEmpty(Tenant);
        ArgumentNullException.ThrowIfNull(Name);
        KvCacheOptions.Check(nameof(RingBytes), RingBytes, 1 << 16, 1 << 24, 1);
        KvCacheOptions.Check(nameof(Timeout), (long)Timeout.TotalMilliseconds, 1, int.MaxValue, 1);
        if (!int.IsPow2(RingBytes))
        {
            throw new KvException(KvError.InvalidArgument, $"{nameof(RingBytes)} is {RingBytes}; it must be a power of two.");
        }
    }
}
