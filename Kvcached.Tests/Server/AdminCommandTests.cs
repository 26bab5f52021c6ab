using System.CommandLine;
using System.Diagnostics;
using Kvcached.Daemon.Admin;
using Kvcached.Daemon.Processes;
using Kvcached.Devices.Cpu;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>Commands of an operator, as processes with a shell around them.</summary>
public sealed class AdminCommandTests
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(60);

    [Fact]
    public void Commands_end_where_nobody_reads_them_and_say_in_a_line_what_they_cannot_write()
    {
        using var daemon = DaemonProcess.Start("--pool", "4MiB", "--cold", "4MiB");
        Assert.Equal((0, string.Empty), Shell(daemon, "$K top --interval 0.05 $S | head -3 >/dev/null"));
        foreach (var output in new[] { ">/dev/full", ">&-" })
        {
            var (status, errors) = Shell(daemon, $"$K status --json $S {output}");
            Assert.Equal(1, status);
            Assert.StartsWith("kvcached: status: Cannot write to standard output: ", errors, StringComparison.Ordinal);
            Assert.Equal(errors.Length - 1, errors.IndexOf('\n', StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Commands_that_write_to_one_file_write_one_behind_the_other()
    {
        using var daemon = DaemonProcess.Start("--pool", "4MiB", "--cold", "4MiB");
        Assert.Equal(
            (0, "tenant a, which is new: minimum 0B, maximum none, weight 2\nnext\n"),
            Shell(daemon, "F=$(mktemp); { $K limit a --weight 2 $S; echo next; } > $F; cat $F >&2; rm $F"));
    }

    [Fact]
    public void Limit_says_what_the_limits_are_and_lifts_them()
    {
        using var daemon = DaemonProcess.Start("--pool", "4MiB", "--cold", "4MiB");
        Assert.Equal((0, "tenant chta, which is new: minimum 2MiB, maximum 4MiB, weight 1\n"), Shell(daemon, "$K limit chta --max 4MiB --min 2MiB $S >&2"));
        Assert.Equal((0, "tenant chta: minimum 0B, maximum none, weight 1\n"), Shell(daemon, "$K limit chta --max none --min none $S >&2"));
        var tenant = Assert.Single(daemon.ReadStatus().Tenants);
        Assert.Equal((0, null), (tenant.MinBytes, tenant.MaxBytes));
        var (status, errors) = Shell(daemon, "$K limit chat --min 8MiB $S");
        Assert.Equal(1, status);
        Assert.Contains("Tenant 'chat': ", errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("limit a", "limit: name at least one of --max, --min and --weight.")]
    [InlineData("limit a --max lots", "--max is 'lots'; it must be a size, such as 512MiB, or none.")]
    [InlineData("limit a --min -1", "--min is '-1'; it must be a size, such as 512MiB, or none.")]
    [InlineData("limit a --weight 0", "--weight is '0'; it must be a whole number, 1 or more.")]
    [InlineData("top --interval NaN", "--interval is 'NaN'; it must be a number of seconds, 0.05 to 3600.")]
    [InlineData("top --interval 0", "--interval is '0'; it must be a number of seconds, 0.05 to 3600.")]
    [InlineData("top --count -1", "--count is '-1'; it must be a whole number, 1 or more.")]
    public void What_an_option_cannot_be_is_named_with_what_it_may_be(string line, string message)
    {
        var command = new Command("kvcached");
        foreach (var admin in AdminCommands.Create())
        {
            command.Add(admin);
        }

        Assert.Equal(message, Assert.Single(command.Parse(line).Errors).Message);
    }

    [Theory]
    [InlineData("", "path is ''; it must have 1 to 107 bytes", KvError.InvalidArgument)]
    [InlineData("/tmp/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "it must have 1 to 107 bytes", KvError.InvalidArgument)]
    [InlineData("/tmp/kvcached-none/none.sock", "there is no such file", KvError.DaemonLost)]
    public async Task A_client_that_cannot_connect_hears_why(string socket, string message, KvError kind)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Workers = 1 });
        var error = await Assert.ThrowsAsync<KvException>(() => KvCache.ConnectAsync(device, socket));
        Assert.Equal(kind, error.Error);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    private static (int Status, string Errors) Shell(DaemonProcess daemon, string line)
    {
        var start = new ProcessStartInfo("sh") { RedirectStandardError = true };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(line.Replace("$K", "dotnet exec \"$PROGRAM\"", StringComparison.Ordinal).Replace("$S", "--socket \"$SOCKET\"", StringComparison.Ordinal));
        start.Environment["PROGRAM"] = typeof(AdminCommands).Assembly.Location;
        start.Environment["SOCKET"] = daemon.Socket;
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        using var shell = Process.Start(start)!;
        var errors = shell.StandardError.ReadToEndAsync();
        if (!shell.WaitForExit(_limit))
        {
            shell.Kill(entireProcessTree: true);
            Assert.Fail($"{line} has not ended.");
        }

        return (shell.ExitCode, errors.GetAwaiter().GetResult());
    }
}
