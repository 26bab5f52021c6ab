using System.Collections;
using Kvcached.Daemon;
using Kvcached.Daemon.Serve;
using Kvcached.Server;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>What a daemon is told in flags, variables and a file: read as meant, or refused with the setting, where it is from, its value and what it may be.</summary>
public sealed class ServeSettingsTests : IDisposable
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), $"kvcached-{Guid.NewGuid():N}.json");

    public void Dispose() => File.Delete(_file);

    [Fact]
    public void A_flag_goes_before_a_variable_and_a_variable_before_the_file()
    {
        var options = Read("""{"Pool": "4MiB..16MiB", "cold": 2097152, "MaxClients": 3, "Lease": 0.5, "MaxPinned": 1}""", new() { ["KVCACHED_COLD"] = "4MiB", ["KVCACHED_MaxClients"] = "4", ["PATH"] = "x" }, ("--max-clients", "5"));
        Assert.Equal((16L << 20, 4L << 20, 4L << 20), (options.PoolBytes, options.PoolFloorBytes, options.ColdBytes));
        Assert.Equal((5, 1.0, TimeSpan.FromSeconds(0.5), true), (options.MaxClients, options.MaxPinnedFraction, options.Lease, options.KillsPastLease));
    }

    [Fact]
    public void Without_any_the_defaults_of_the_documents_hold()
    {
        var options = Read(null, []);
        Assert.Equal((1L << 30, null, 4L << 30, 4L << 20), (options.PoolBytes, options.PoolFloorBytes, options.ColdBytes, options.TableBytes));
        Assert.Equal((64, 0.75, TimeSpan.FromSeconds(60), true), (options.MaxClients, options.MaxPinnedFraction, options.Lease, options.KillsPastLease));
        Assert.EndsWith("kvcached.sock", options.Socket, StringComparison.Ordinal);
        Assert.Empty(options.Tenants);
    }

    [Fact]
    public void Tenants_are_told_apart_as_clients_name_them()
    {
        var options = Read("""
            {
              // Limits.
              "Tenants": { "chat": { "Min": "2MiB", "Weight": 3 }, "Chat": { "Max": "8MiB" }, "a:b": { "weight": "2", "Max": "none" }, "c": {} },
              "AllowedUsers": [1000, 1001],
            }
            """, []);
        Assert.Equal(
            new Dictionary<string, TenantQuota> { ["chat"] = new(2 << 20, null, 3), ["Chat"] = new(0, 8 << 20), ["a:b"] = new(0, null, 2), ["c"] = new() },
            options.Tenants);
        Assert.Equal([1000, 1001], options.AllowedUsers);
    }

    [Theory]
    [InlineData("""{"Poool": "4MiB"}""", "'Poool' in FILE is no setting; there are Socket, Pool, Cold, Table, Device, Lease, OnLease, MaxPinned, MaxClients, AllowedUsers and Tenants")]
    [InlineData("""{"Pool": "4MiB", "pool": "8MiB"}""", "'pool' is given twice in FILE")]
    [InlineData("""{"Pool": "3MiB"}""", "'Pool' in FILE is '3MiB'; it must be a multiple of 2MiB up to 1TiB, or FLOOR..CEILING")]
    [InlineData("""{"Pool": null}""", "'Pool' in FILE is null; it must be a multiple of 2MiB")]
    [InlineData("""{"MaxPinned": "a lot"}""", "'MaxPinned' in FILE is 'a lot'; it must be a fraction above 0 and at most 1")]
    [InlineData("""{"MaxClients": true}""", "'MaxClients' in FILE is true; it must be a whole number, 1 to 1024")]
    [InlineData("""{"MaxClients": 1.5}""", "'MaxClients' in FILE is 1.5; it must be")]
    [InlineData("""{"Socket": ["a"]}""", "'Socket' in FILE is [\"a\"]; it must be a path of 1 to 107 bytes")]
    [InlineData("""{"AllowedUsers": ["bob"]}""", "'AllowedUsers' in FILE is [\"bob\"]; it must be a list of users by number, such as [1000, 1001]")]
    [InlineData("""{"AllowedUsers": [1000, -1]}""", "'AllowedUsers' in FILE is [1000, -1]; it must be")]
    [InlineData("""{"AllowedUsers": 1000}""", "'AllowedUsers' in FILE is 1000; it must be")]
    [InlineData("""{"Tenants": [1,2]}""", "'Tenants' in FILE is [1,2]; it must be an object of limits by name")]
    [InlineData("""{"Tenants": {"chat": 3}}""", "'Tenants.chat' in FILE is 3; it must be an object of limits")]
    [InlineData("""{"Tenants": {"chat": {"Mni": "2MiB"}}}""", "'Tenants.chat.Mni' in FILE is no limit; a tenant has Min, Max and Weight")]
    [InlineData("""{"Tenants": {"chat": {"Min": "2MiB", "Weight": "three"}}}""", "'Tenants.chat.Weight' in FILE is 'three'; it must be a whole number, 1 or more")]
    [InlineData("""{"Tenants": {"chat": {"Weight": 0}}}""", "'Tenants.chat.Weight' in FILE is 0; it must be a whole number, 1 or more")]
    [InlineData("""{"Tenants": {"chat": {"Min": -1}}}""", "'Tenants.chat.Min' in FILE is -1; it must be a size")]
    [InlineData("""{"Tenants": {"chat": {}, "chat": {}}}""", "'Tenants.chat' is given twice in FILE")]
    [InlineData("""{"Tenants": {"d": {"Max": "1MiB", "Min": "2MiB"}}}""", "Tenant 'd': its minimum is 2097152 bytes; it must be 0 to its maximum of 1048576")]
    [InlineData("""{"Pool": "4MiB", "Tenants": {"a": {"Min": "3MiB"}, "b": {"Min": "2MiB"}}}""", "Tenant 'b': its minimum is 2097152 bytes; it must be at most 1048576 bytes, which other tenants' minimums leave of the pool's 4194304")]
    [InlineData("""{"Tenants": {"": {}}}""", "A tenant's name is '', of 0 characters; it must have 1 to 64")]
    [InlineData("""{"Tenants": {"\u001b[2J": {"x": 1}}}""", @"'Tenants.\u001B[2J.x' in FILE is no limit")]
    [InlineData("""{"Pool": "\ud800"}""", "--config: FILE has text that is no Unicode: ")]
    [InlineData("""{"\ud800": "4MiB"}""", "--config: FILE has text that is no Unicode: ")]
    [InlineData("[]", "'the file' in FILE is []; it must be an object of settings")]
    [InlineData("{\n\"Pool\": \"4MiB\",\n\"Cold\" \"4MiB\"}", "line 3 of FILE, byte 8, is no JSON: ")]
    public void What_is_wrong_in_the_file_is_named_with_what_it_may_be(string json, string message) => AssertRefused(message, json, []);

    [Theory]
    [InlineData("KVCACHED_Poool", "4MiB", "the variable KVCACHED_Poool is no setting; there are KVCACHED_Socket, KVCACHED_Pool,")]
    [InlineData("KVCACHED_ON_LEASE", "maybe", "the variable KVCACHED_ON_LEASE is no setting; ")]
    [InlineData("KVCACHED_Tenants__chat__Weight", "x", "Users and tenants are named in the file (--config)")]
    [InlineData("KVCACHED_OnLease", "maybe", "the variable KVCACHED_OnLease is 'maybe'; it must be kill or quarantine")]
    [InlineData("KVCACHED_MaxClients", "abc", "the variable KVCACHED_MaxClients is 'abc'; it must be a whole number, 1 to 1024")]
    public void What_is_wrong_in_a_variable_is_named_with_what_it_may_be(string name, string value, string message) => AssertRefused(message, null, new() { [name] = value });

    [Theory]
    [InlineData("--socket", "", "--socket is ''; it must be a path of 1 to 107 bytes")]
    [InlineData("--pool", "8MiB..4MiB", "--pool is '8MiB..4MiB'; it must be a multiple of 2MiB up to 1TiB, or FLOOR..CEILING of two, the floor not above the ceiling")]
    [InlineData("--cold", "1MiB", "--cold is '1MiB'; it must be a multiple of 2MiB, 0 to 1TiB")]
    [InlineData("--table", "0", "--table is '0'; it must be a multiple of 16KiB, 16KiB to 4GiB")]
    [InlineData("--device", "tpu", "--device is 'tpu'; it must be cpu, opencl, cuda or auto")]
    [InlineData("--lease", "2000000000", "--lease is '2000000000'; it must be a number of seconds, 0.1 to 2147483")]
    [InlineData("--lease", "0", "--lease is '0'; it must be a number of seconds, 0.1 to 2147483")]
    [InlineData("--on-lease", "Kill", "--on-lease is 'Kill'; it must be kill or quarantine")]
    [InlineData("--max-pinned", "0,5", "--max-pinned is '0,5'; it must be a fraction above 0 and at most 1")]
    [InlineData("--max-pinned", "", "--max-pinned is ''; it must be a fraction")]
    [InlineData("--max-pinned", "NaN", "--max-pinned is 'NaN'; it must be a fraction")]
    [InlineData("--max-clients", "abc", "--max-clients is 'abc'; it must be a whole number, 1 to 1024")]
    [InlineData("--max-clients", "1025", "--max-clients is '1025'; it must be a whole number, 1 to 1024")]
    public void What_is_wrong_in_a_flag_is_named_with_what_it_may_be(string flag, string value, string message) => AssertRefused(message, null, [], (flag, value));

    [Fact]
    public void A_path_that_no_socket_can_have_is_refused_by_whoever_is_told_it()
    {
        var path = "/tmp/" + new string('x', 103);
        AssertRefused("it must be a path of 1 to 107 bytes", null, [], ("--socket", path));
        Assert.Contains("it must be a path", Assert.Throws<UsageException>(() => ServeSettings.FindSocket(path, new Hashtable())).Message, StringComparison.Ordinal);
        Assert.Equal(path[..^1], Read(null, [], ("--socket", path[..^1])).Socket);
    }

    [Fact]
    public void Commands_find_the_socket_as_the_daemon_does()
    {
        var variables = new Hashtable { ["KVCACHED_SOCKET"] = "/run/a.sock", ["KVCACHED_Poool"] = "x" };
        Assert.Equal("/run/b.sock", ServeSettings.FindSocket("/run/b.sock", variables));
        Assert.Equal("/run/a.sock", ServeSettings.FindSocket(null, variables));
        Assert.Equal(Read(null, []).Socket, ServeSettings.FindSocket(null, new Hashtable()));
    }

    [Fact]
    public void A_file_that_is_not_there_is_named() =>
        Assert.Contains($"--config is '{_file}'; there is no such file", Assert.Throws<UsageException>(() => new ServeSettings(_ => null, new Hashtable(), _file)).Message, StringComparison.Ordinal);

    [Fact]
    public void What_nobody_sees_is_shown_outside_the_first_plane_too() => Assert.Equal(@"😀\uDB40\uDC41a\uD800", Printable.Escape("😀\U000E0041a" + '\ud800'));

    [Theory]
    [InlineData("plain [text] ü 漢", "plain [text] ü 漢")]
    [InlineData("a\u001b[2Jb\r\n\u009b\u202e", @"a\u001B[2Jb\u000D\u000A\u009B\u202E")]
    public void What_would_move_the_cursor_is_shown_and_not_done(string text, string shown) => Assert.Equal(shown, Printable.Escape(text));

    private void AssertRefused(string message, string? json, Hashtable variables, params (string Flag, string Text)[] flags)
    {
        var refused = Assert.Throws<UsageException>(() => Read(json, variables, flags)).Message;
        Assert.Contains(message.Replace("FILE", _file, StringComparison.Ordinal), refused, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused);
    }

    private ServerOptions Read(string? json, Hashtable variables, params (string Flag, string Text)[] flags)
    {
        if (json is not null)
        {
            File.WriteAllText(_file, json);
        }

        var texts = flags.ToDictionary(flag => flag.Flag, flag => flag.Text);
        var settings = new ServeSettings(setting => texts.GetValueOrDefault(setting.Flag.Name), variables, json is null ? null : _file);
        settings.ReadDevice();
        return settings.ToServerOptions();
    }
}
