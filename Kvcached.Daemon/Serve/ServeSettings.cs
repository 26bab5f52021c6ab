using System.Collections;
using System.CommandLine;
using System.Globalization;
using Kvcached.Daemon.Hardware;
using Kvcached.Protocol;
using Kvcached.Server;

namespace Kvcached.Daemon.Serve;

/// <summary>
/// The daemon's settings: from flags, else from <c>KVCACHED_*</c> variables, else from the file.
/// </summary>
internal sealed class ServeSettings
{
    public const string Prefix = "KVCACHED_";

    private readonly Func<ServeSetting, string?> _flags;
    private readonly Dictionary<string, GivenText> _variables = new(StringComparer.OrdinalIgnoreCase);
    private readonly SettingsFile? _file;

    /// <summary>Takes settings as they are given.</summary>
    /// <param name="flags">The text of a setting's flag; null if it is not given.</param>
    /// <param name="variables">The environment; what does not begin with <see cref="Prefix"/> is others'.</param>
    /// <param name="file">The JSON file, if there is one.</param>
    /// <exception cref="UsageException">A variable or a key is no setting, or the file cannot be read.</exception>
    public ServeSettings(Func<ServeSetting, string?> flags, IDictionary variables, string? file)
    {
        _flags = flags;
        foreach (var (name, text) in Ours(variables))
        {
            var setting = ServeSetting.Find(name[Prefix.Length..]) ?? throw new UsageException(
                $"the variable {name} is no setting; there are {string.Join(", ", ServeSetting.All.Select(known => Prefix + known.Name))}. Users and tenants are named in the file (--config).");
            if (!_variables.TryAdd(setting.Name, GivenText.Of($"the variable {name}", text)))
            {
                throw new UsageException($"the variable {name} is given twice, in upper and lower case.");
            }
        }

        _file = file is null ? null : SettingsFile.Read(file);
    }

    /// <summary>The socket of the daemon that a command is about: of a flag, else of the variable, else the default.</summary>
    /// <exception cref="UsageException">It is no path of a socket.</exception>
    public static string FindSocket(string? flag, IDictionary variables)
    {
        var given = flag is null ? null : GivenText.Of(ServeSetting.Socket.Flag.Name, flag);
        foreach (var (name, text) in Ours(variables))
        {
            if (name[Prefix.Length..].Equals(ServeSetting.Socket.Name, StringComparison.OrdinalIgnoreCase))
            {
                given ??= GivenText.Of($"the variable {name}", text);
            }
        }

        return ReadSocket(given);
    }

    /// <summary>The device whose memory is served.</summary>
    /// <exception cref="UsageException">There is no such name.</exception>
    public DeviceName ReadDevice() => Read<DeviceName>(ServeSetting.Device, DeviceName.Parse);

    /// <summary>What the server is to be made of.</summary>
    /// <exception cref="UsageException">A setting is none, or out of range; the message says which, from where, and what it may be.</exception>
    public ServerOptions ToServerOptions()
    {
        var pool = Read<PoolSize>(ServeSetting.Pool, text => PoolSize.Parse(text));
        var options = new ServerOptions
        {
            Socket = ReadSocket(Find(ServeSetting.Socket)),
            PoolBytes = pool.CeilingBytes,
            PoolFloorBytes = pool.IsElastic ? pool.FloorBytes : null,
            ColdBytes = Read<long>(ServeSetting.Cold, text => ReadSize(text, 0, KvCacheOptions.MaxPoolBytes, KvCacheOptions.UnitBytes)),
            TableBytes = Read<long>(ServeSetting.Table, text => ReadSize(text, KvCacheOptions.TableUnitBytes, ServerOptions.MaxTableBytes, KvCacheOptions.TableUnitBytes)),
            MaxClients = Read<int>(ServeSetting.MaxClients, text => ReadCount(text) is <= ServerOptions.MostClients and var count ? count : null),
            MaxPinnedFraction = Read<double>(ServeSetting.MaxPinned, text => ReadNumber(text) is > 0 and <= 1 and var fraction ? fraction : null),
            Lease = Read<TimeSpan>(ServeSetting.Lease, text => ReadNumber(text) is >= 0.1 and <= int.MaxValue / 1000 and var seconds ? TimeSpan.FromSeconds(seconds) : null),
            KillsPastLease = Read<bool>(ServeSetting.OnLease, text => text switch
            {
                "kill" => true,
                "quarantine" => false,
                _ => null,
            }),
            AllowedUsers = _file?.AllowedUsers ?? [],
            Tenants = _file?.Tenants ?? new Dictionary<string, TenantQuota>(),
        };
        try
        {
            options.Validate();
            return options;
        }
        catch (KvException error)
        {
            throw new UsageException(error.Message, error);
        }
    }

    /// <summary>A whole number of 1 or more; null for anything else.</summary>
    internal static int? ReadCount(string text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var count) && count > 0 ? count : null;

    /// <summary>A number; null for anything else.</summary>
    internal static double? ReadNumber(string text) => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : null;

    private static long? ReadSize(string text, long min, long max, long multiple) =>
        SizeParser.Parse(text) is var bytes && bytes >= min && bytes <= max && bytes % multiple == 0 ? bytes : null;

    private static string ReadSocket(GivenText? given)
    {
        if (given is null)
        {
            return Path.Combine(Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") is { Length: > 0 } folder ? folder : Path.GetTempPath(), "kvcached.sock");
        }

        var path = given.Text is { Length: > 0 } text && !text.Contains('\0', StringComparison.Ordinal) ? Path.GetFullPath(text) : null;
        return path is not null && SocketPath.IsValid(path) ? path : throw given.Refuse(ServeSetting.Socket.Allowed);
    }

    private static IEnumerable<(string Name, string Text)> Ours(IDictionary variables) =>
        from DictionaryEntry variable in variables
        let name = (string)variable.Key
        where name.StartsWith(Prefix, StringComparison.Ordinal)
        select (name, (string?)variable.Value ?? string.Empty);

    private GivenText? Find(ServeSetting setting) =>
        _flags(setting) is { } flag ? GivenText.Of(setting.Flag.Name, flag) : _variables.GetValueOrDefault(setting.Name) ?? _file?[setting];

    private T Read<T>(ServeSetting setting, Func<string, T?> read)
        where T : struct =>
        (Find(setting) ?? GivenText.Of(setting.Name, setting.Default!)).Read(read, setting.Allowed);
}
