using System.Text.Json;
using Kvcached.Server;

namespace Kvcached.Daemon.Serve;

/// <summary>
/// The JSON file that <c>--config</c> names: settings by name, whatever the case, and tenants by theirs, exactly as written. Comments and trailing commas are let pass; a key that is none, or is there
/// twice, is not.
/// </summary>
internal sealed class SettingsFile
{
    private const string AllowedUsersKey = "AllowedUsers";
    private const string TenantsKey = "Tenants";

    private readonly string _path;
    private readonly Dictionary<string, GivenText> _settings = new(StringComparer.OrdinalIgnoreCase);
    private readonly Dictionary<string, TenantQuota> _tenants = new(StringComparer.Ordinal);

    private SettingsFile(string path, JsonElement root)
    {
        _path = path;
        if (root.ValueKind != JsonValueKind.Object)
        {
            throw Refuse("the file", root, "an object of settings, such as {\"Pool\": \"4GiB\"}");
        }

        foreach (var (key, value) in Members(root, string.Empty, StringComparer.OrdinalIgnoreCase))
        {
            if (key.Equals(AllowedUsersKey, StringComparison.OrdinalIgnoreCase))
            {
                AllowedUsers = ReadUsers(value);
            }
            else if (key.Equals(TenantsKey, StringComparison.OrdinalIgnoreCase))
            {
                ReadTenants(value);
            }
            else
            {
                var setting = ServeSetting.Find(key) ?? throw new UsageException(
                    $"'{key}' in {path} is no setting; there are {string.Join(", ", ServeSetting.All.Select(known => known.Name))}, {AllowedUsersKey} and {TenantsKey}.");
                _settings.Add(setting.Name, Given(setting.Name, value));
            }
        }
    }

    public IReadOnlyList<int> AllowedUsers { get; } = [];

    public IReadOnlyDictionary<string, TenantQuota> Tenants => _tenants;

    /// <summary>What the file gives for a setting.</summary>
    public GivenText? this[ServeSetting setting] => _settings.GetValueOrDefault(setting.Name);

    /// <summary>Reads a file.</summary>
    /// <exception cref="UsageException">It cannot be read, is no JSON, or has a key or a value that there is not; the message names the file and what it is about.</exception>
    public static SettingsFile Read(string path)
    {
        if (!File.Exists(path))
        {
            throw new UsageException($"--config is '{path}'; there is no such file.");
        }

        try
        {
            using var json = JsonDocument.Parse(File.ReadAllText(path), new JsonDocumentOptions { AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip });
            return new SettingsFile(path, json.RootElement);
        }
        catch (JsonException error)
        {
            var reason = error.Message.Split(" LineNumber:")[0];
            throw new UsageException($"--config: line {error.LineNumber + 1} of {path}, byte {error.BytePositionInLine + 1}, is no JSON: {reason}", error);
        }
        catch (InvalidOperationException error)
        {
            // Half of a surrogate pair, written as \ud800.
            throw new UsageException($"--config: {path} has text that is no Unicode: {error.Message}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"--config: {error.Message}", error);
        }
    }

    private int[] ReadUsers(JsonElement list)
    {
        if (list.ValueKind == JsonValueKind.Array)
        {
            var users = list.EnumerateArray().Select(user => user.ValueKind == JsonValueKind.Number && user.TryGetInt32(out var number) ? number : -1).ToArray();
            if (Array.TrueForAll(users, user => user >= 0))
            {
                return users;
            }
        }

        throw Refuse(AllowedUsersKey, list, "a list of users by number, such as [1000, 1001]");
    }

    private void ReadTenants(JsonElement tenants)
    {
        const string allowed = "an object of limits by name, such as {\"chat\": {\"Min\": \"2GiB\", \"Weight\": 3}}";
        if (tenants.ValueKind != JsonValueKind.Object)
        {
            throw Refuse(TenantsKey, tenants, allowed);
        }

        foreach (var (name, limits) in Members(tenants, TenantsKey + ".", StringComparer.Ordinal))
        {
            var key = $"{TenantsKey}.{name}";
            if (limits.ValueKind != JsonValueKind.Object)
            {
                throw Refuse(key, limits, "an object of limits, such as {\"Min\": \"2GiB\", \"Weight\": 3}");
            }

            _tenants.Add(name, ReadTenant(key, limits));
        }
    }

    private TenantQuota ReadTenant(string tenant, JsonElement limits)
    {
        var quota = new TenantQuota();
        foreach (var (key, value) in Members(limits, tenant + ".", StringComparer.OrdinalIgnoreCase))
        {
            var given = Given($"{tenant}.{key}", value);
            quota = key.ToUpperInvariant() switch
            {
                "MIN" => quota with { MinBytes = given.Read<long>(text => SizeParser.Parse(text), "a size, such as 512MiB") },
                "MAX" => given.Text == "none" ? quota with { MaxBytes = null } : quota with { MaxBytes = given.Read<long>(text => SizeParser.Parse(text), "a size, such as 8GiB, or none") },
                "WEIGHT" => quota with { Weight = given.Read(ServeSettings.ReadCount, "a whole number, 1 or more") },
                _ => throw new UsageException($"'{tenant}.{key}' in {_path} is no limit; a tenant has Min, Max and Weight."),
            };
        }

        return quota;
    }

    /// <summary>The members of an object, none of which may be there twice.</summary>
    private IEnumerable<(string Key, JsonElement Value)> Members(JsonElement parent, string prefix, StringComparer comparer)
    {
        var seen = new HashSet<string>(comparer);
        foreach (var member in parent.EnumerateObject())
        {
            if (!seen.Add(member.Name))
            {
                throw new UsageException($"'{prefix}{member.Name}' is given twice in {_path}.");
            }

            yield return (member.Name, member.Value);
        }
    }

    private GivenText Given(string key, JsonElement value)
    {
        var origin = $"'{key}' in {_path}";
        return value.ValueKind switch
        {
            JsonValueKind.String => GivenText.Of(origin, value.GetString()!),
            JsonValueKind.Number => new GivenText(origin, value.GetRawText(), value.GetRawText()),
            _ => new GivenText(origin, value.GetRawText(), Text: null),
        };
    }

    private UsageException Refuse(string key, JsonElement value, string allowed) => Given(key, value).Refuse(allowed);
}
