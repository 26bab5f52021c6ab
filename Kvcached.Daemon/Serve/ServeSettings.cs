using System.Globalization;
using Kvcached.Server;

namespace Kvcached.Daemon.Serve;

/// <summary>
/// The daemon's settings as a file, <c>KVCACHED_*</c> variables or flags give them: text, checked as a whole when the daemon starts.
/// </summary>
internal sealed class ServeSettings
{
    /// <summary>Path of the Unix socket; null for <c>kvcached.sock</c> in the user's runtime folder.</summary>
    public string? Socket { get; set; }

    /// <summary>The device: <c>cpu</c>.</summary>
    public string Device { get; set; } = "cpu";

    /// <summary>Device memory for blocks: a size, or <c>FLOOR..CEILING</c>.</summary>
    public string Pool { get; set; } = "1GiB";

    /// <summary>Host memory for cold copies.</summary>
    public string Cold { get; set; } = "4GiB";

    /// <summary>Device memory for rows of block entries.</summary>
    public string Table { get; set; } = "4MiB";

    /// <summary>Seconds for which a client may hold a step.</summary>
    public string Lease { get; set; } = "60";

    /// <summary>What becomes of a client past its lease: <c>kill</c> or <c>quarantine</c>.</summary>
    public string OnLease { get; set; } = "kill";

    /// <summary>Fraction of the pool that what one client has under way may keep from others.</summary>
    public double MaxPinned { get; set; } = 0.75;

    /// <summary>Clients at a time.</summary>
    public int MaxClients { get; set; } = 64;

    /// <summary>Users beside the daemon's own whose processes may connect, by number.</summary>
    public IList<int> AllowedUsers { get; } = [];

    /// <summary>Tenants with limits.</summary>
    public IDictionary<string, TenantSettings> Tenants { get; } = new Dictionary<string, TenantSettings>();

    /// <summary>The socket that a daemon listens on, and its clients try, unless told otherwise.</summary>
    public static string DefaultSocket() =>
        Path.Combine(Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") is { Length: > 0 } folder ? folder : Path.GetTempPath(), "kvcached.sock");

    /// <summary>What the server is to be made of.</summary>
    /// <exception cref="UsageException">A setting is none; the message names it and what it may be.</exception>
    /// <exception cref="KvException">A setting is out of range; the message names it and the limit.</exception>
    public ServerOptions ToServerOptions()
    {
        if (Device != "cpu")
        {
            throw new UsageException($"Device is '{Device}'; this build serves cpu.");
        }

        var pool = Named(nameof(Pool), () => PoolSize.Parse(Pool));
        var options = new ServerOptions
        {
            Socket = Path.GetFullPath(Socket ?? DefaultSocket()),
            PoolBytes = pool.CeilingBytes,
            PoolFloorBytes = pool.IsElastic ? pool.FloorBytes : null,
            ColdBytes = Named(nameof(Cold), () => SizeParser.Parse(Cold)),
            TableBytes = Named(nameof(Table), () => SizeParser.Parse(Table)),
            MaxClients = MaxClients,
            MaxPinnedFraction = MaxPinned,
            Lease = double.TryParse(Lease, NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds) && seconds is > 0 and < 1e6
                ? TimeSpan.FromSeconds(seconds)
                : throw new UsageException($"Lease is '{Lease}'; it must be a number of seconds above 0."),
            KillsPastLease = OnLease switch
            {
                "kill" => true,
                "quarantine" => false,
                _ => throw new UsageException($"OnLease is '{OnLease}'; it must be kill or quarantine."),
            },
            AllowedUsers = [.. AllowedUsers],
            Tenants = Tenants.ToDictionary(tenant => tenant.Key, tenant => tenant.Value.ToQuota(tenant.Key)),
        };
        options.Validate();
        return options;
    }

    /// <summary>Says which setting it is that cannot be read.</summary>
    internal static T Named<T>(string name, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (UsageException error)
        {
            throw new UsageException($"{name}: {error.Message}", error);
        }
    }
}

/// <summary>Limits of a tenant, as text.</summary>
internal sealed class TenantSettings
{
    /// <summary>Guaranteed.</summary>
    public string Min { get; set; } = "0B";

    /// <summary>Hard limit; null for none.</summary>
    public string? Max { get; set; }

    /// <summary>Part of what lies between.</summary>
    public int Weight { get; set; } = 1;

    public TenantQuota ToQuota(string name) =>
        ServeSettings.Named($"Tenants:{name}", () => new TenantQuota(SizeParser.Parse(Min), Max is null ? null : SizeParser.Parse(Max), Weight));
}
