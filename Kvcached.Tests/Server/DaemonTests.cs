using System.Diagnostics;
using System.Net.Sockets;
using Kvcached.Bench.Fuzz;
using Kvcached.Bench.Processes;
using Kvcached.Daemon.Processes;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;
using Kvcached.Server;
using Kvcached.Tests.Client;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>Daemons that come, stop and go, and clients that do not do what they should.</summary>
public sealed class DaemonTests : IDisposable
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(20);
    private static readonly KvLayout _layout = new() { Layers = 1, Heads = 2, HeadDim = 64 };

    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 1 });
    private readonly SocketFolder _folder = new();

    public void Dispose()
    {
        _device.Dispose();
        Assert.False(File.Exists(_socket));
        _folder.Dispose();
    }

    private string _socket => _folder.Socket;

    [Fact]
    public void A_socket_that_nobody_answers_on_is_taken_over()
    {
        using (var left = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            // A socket that is closed by its process takes its name along; one of a process that was killed does not.
            left.Bind(new UnixDomainSocketEndPoint(_socket + ".left"));
            File.Move(_socket + ".left", _socket);
        }

        Assert.True(File.Exists(_socket));
        using var daemon = new TestDaemon(Options());
        using var cache = daemon.Connect(_device);
        Assert.Equal(0, cache.GetStatistics().Steps);
    }

    [Fact]
    public void A_second_daemon_on_a_live_socket_is_refused_and_the_first_goes_on()
    {
        using var daemon = new TestDaemon(Options());
        var refused = Assert.Throws<KvException>(() => new TestDaemon(Options()));
        Assert.Contains("Another daemon answers", refused.Message, StringComparison.Ordinal);
        using var cache = daemon.Connect(_device);
        Assert.Equal(0, cache.GetStatistics().Steps);
    }

    [Fact]
    public void A_file_that_is_no_socket_is_left_alone()
    {
        File.WriteAllText(_socket, "precious");
        try
        {
            Assert.Throws<KvException>(() => new TestDaemon(Options()));
            Assert.Equal("precious", File.ReadAllText(_socket));
        }
        finally
        {
            File.Delete(_socket);
        }
    }

    [Fact]
    public void A_daemon_whose_folder_is_gone_ends_as_others_do()
    {
        using var daemon = DaemonProcess.Start("--pool", "4MiB", "--cold", "4MiB");
        Directory.Delete(Path.GetDirectoryName(daemon.Socket)!, recursive: true);
        Assert.Equal(0, daemon.Stop());
    }

    [Fact]
    public void Another_version_of_the_protocol_is_refused_with_a_message()
    {
        using var daemon = new TestDaemon(Options());
        using var control = OpenControl();
        var refused = Assert.Throws<KvException>(() => control.Ask<WelcomeMessage>(new HelloMessage { Version = 2 }));
        Assert.Contains("Version 2", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nobody_on_the_socket_is_a_typed_error()
    {
        var error = Assert.Throws<KvException>(() => Connect());
        Assert.Equal(KvError.DaemonLost, error.Error);
    }

    [Fact]
    public void A_daemon_that_is_stopped_is_told_within_a_second_and_the_next_one_serves_the_same_process()
    {
        using (var daemon = DaemonProcess.StartOn(_socket, "--pool", "4MiB", "--cold", "4MiB"))
        {
            using var cache = Connect();
            var lane = cache.OpenLane();
            var sequence = cache.RegisterModel("m", _layout).CreateSequence();
            EndStep(cache, lane, sequence);
            Signals.Send(daemon.Pid, Signals.Stop);
            Assert.True(SpinWait.SpinUntil(() => ProcessState.IsStopped(daemon.Pid), _limit));
            var stopped = Stopwatch.GetTimestamp();
            var step = lane.Begin([new KvStepItem(sequence, 1)]);
            var error = Assert.Throws<KvException>(() => cache.Wait(step.Begin, _limit));
            Assert.Equal(KvError.DaemonLost, error.Error);
            Assert.InRange(Stopwatch.GetElapsedTime(stopped).TotalMilliseconds, 0, 1000);
            Signals.Send(daemon.Pid, Signals.Continue);
            daemon.Kill();
        }

        using var next = DaemonProcess.StartOn(_socket, "--pool", "4MiB", "--cold", "4MiB");
        using (var cache = Connect())
        {
            EndStep(cache, cache.OpenLane(), cache.RegisterModel("m", _layout).CreateSequence());
        }

        Assert.Equal(0, next.Stop());
    }

    [Fact]
    public void A_client_that_closes_its_socket_but_lives_keeps_what_its_step_pins_until_that_has_ended()
    {
        using var daemon = new TestDaemon(Options() with { KillsPastLease = false, Lease = TimeSpan.FromMilliseconds(200) });
        using var other = daemon.Connect(_device);
        var leaving = daemon.Connect(_device);
        var lane = leaving.OpenLane();
        var step = lane.Begin([new KvStepItem(leaving.RegisterModel("m", _layout).CreateSequence(), 16)]);
        Assert.True(leaving.Wait(step.Begin, _limit));
        ((RemoteCache)leaving).Link.CloseWithoutGoodbye();

        // Its step lives, past the lease too: its block is nobody else's, and others are served.
        AwaitStatus(daemon, status => status.Clients.Any(client => client.State == "condemned"));
        Thread.Sleep(400);
        EndStep(other, other.OpenLane(), other.RegisterModel("m", _layout).CreateSequence());
        var status = Read(daemon);
        Assert.Equal((2, 2), (status.Clients.Length, (int)status.Totals.ResidentBlocks));

        step.End.Timeline.Signal(step.End.Value);
        AwaitStatus(daemon, status => status is { Clients.Length: 1, Totals.ResidentBlocks: 1 });
        leaving.Dispose();
    }

    [Fact]
    public void A_client_that_holds_a_step_past_its_lease_is_killed_and_what_it_had_is_reclaimed()
    {
        using var daemon = DaemonProcess.StartOn(_socket, "--pool", "8MiB", "--cold", "8MiB", "--lease", "0.5");
        using var client = ClientProcess.Start(_socket, seed: 1);
        client.AwaitReady();
        Await(daemon, status => status.Totals.Steps > 50);

        // Stopped again and again until it is met with a step under way: without one it pins nothing, once its transfers have ended, and may stay stopped.
        Signals.Send(client.Pid, Signals.Stop);
        Await(daemon, status =>
        {
            if (status.Clients is [{ State: "serving", PinnedBytes: 0 }])
            {
                Signals.Send(client.Pid, Signals.Continue);
                Thread.Sleep(1);
                Signals.Send(client.Pid, Signals.Stop);
            }

            return status.Clients.Length == 0;
        });

        Assert.Equal((0, 0), (daemon.ReadStatus().Totals.ResidentBlocks, daemon.ReadStatus().Totals.ColdBlocks));
        Assert.Contains(daemon.Log, line => line.Contains("lease", StringComparison.Ordinal));
        Assert.Equal(0, daemon.Stop());
    }

    [Fact]
    public void A_client_that_breaks_the_protocol_is_told_why()
    {
        using var daemon = new TestDaemon(Options());
        using var cache = daemon.Connect(_device);
        cache.OpenLane();
        ((RemoteCache)cache).Link.Send(SubmissionKind.Free, BitConverter.GetBytes(77UL));
        var since = Stopwatch.GetTimestamp();
        KvException? error = null;
        while (error is null && Stopwatch.GetElapsedTime(since) < _limit)
        {
            error = Record.Exception(cache.Pump) as KvException;
        }

        Assert.Equal(KvError.DaemonLost, error?.Error);
        Assert.Contains("There is no sequence in slot 77", error!.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"type\":\"registerModel\",\"id\":3,\"name\":\"m\",\"layouts\":[{\"layers\":1,\"heads\":1,\"headDim\":64,\"elementType\":\"int4\"}]}", "$.layouts[0].elementType is \"int4\"")]
    [InlineData("{\"type\":\"limit\",\"id\":3,\"tenant\":\"t\",\"weight\":1e30}", "$.weight is 1e30")]
    [InlineData("{\"type\":\"noSuch\",\"id\":3}", "no message of type \"noSuch\"")]
    [InlineData("{\"id\":3}", "no message of type missing")]
    public void A_request_with_a_member_that_cannot_be_is_answered_with_an_error_and_the_connection_goes_on(string json, string error)
    {
        using var daemon = new TestDaemon(Options());
        using var connection = new HostileConnection(_socket);
        Assert.True(connection.TryAttach(new HelloMessage { Version = ControlFrame.Version }));
        var bytes = System.Text.Encoding.UTF8.GetBytes(json);
        connection.Send([.. BitConverter.GetBytes(bytes.Length), .. bytes], []);

        // Its number is that of the next request, whose answer comes after this one.
        var reply = Assert.IsType<ErrorMessage>(connection.Ask(new GetStatisticsMessage()));
        Assert.Equal((3L, KvError.InvalidArgument), (reply.Id, reply.Error));
        Assert.Contains(error, reply.Message, StringComparison.Ordinal);
        Assert.Null(connection.Reason);
    }

    [Fact]
    public void A_hello_that_is_refused_leaves_no_descriptor()
    {
        using var daemon = DaemonProcess.StartOn(_socket, "--pool", "4MiB", "--cold", "4MiB");
        var before = daemon.ReadDescriptors().Count(descriptor => descriptor.Contains("eventfd", StringComparison.Ordinal));
        for (var i = 0; i < 50; i++)
        {
            using var connection = new HostileConnection(_socket);
            Assert.False(connection.TryAttach(new HelloMessage { Version = ControlFrame.Version, RingBytes = 5 }));
        }

        Assert.Equal(before, daemon.ReadDescriptors().Count(descriptor => descriptor.Contains("eventfd", StringComparison.Ordinal)));
        Assert.Equal(0, daemon.Stop());
    }

    [Fact]
    public void A_daemon_that_does_not_start_says_why() =>
        Assert.Contains("bogus", Assert.Throws<DaemonFailedException>(() => DaemonProcess.Start("--pool", "bogus")).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("{\"type\":\"goodbye\"}", "said goodbye")]
    [InlineData("{\"type\":\"goodbye\"", "Not a control message")]
    [InlineData("{\"type\":\"welcome\"}", "control message")]
    public void A_connection_that_the_daemon_ends_hears_why_attached_or_not_and_whatever_it_has_sent_beside(string last, string reason)
    {
        using var daemon = new TestDaemon(Options());
        foreach (var attach in new[] { false, true })
        {
            using var connection = new HostileConnection(_socket);
            var hello = new HelloMessage { Version = ControlFrame.Version, Attach = attach };
            Assert.True(attach ? connection.TryAttach(hello) : connection.Ask(hello) is OkMessage);
            var json = System.Text.Encoding.UTF8.GetBytes(last);
            connection.Send([.. BitConverter.GetBytes(json.Length), .. json, .. new byte[50_000]], []);

            // Read late: the daemon has closed its end, with bytes unread in it.
            connection.EndWriting();
            AwaitStatus(daemon, status => status.Clients.Length == 0);
            Thread.Sleep(50);
            Assert.True(connection.LooksClosed(_limit));
            Assert.Contains(reason, connection.Reason ?? "none", StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_connection_beyond_the_most_is_refused_with_a_typed_error()
    {
        using var daemon = new TestDaemon(Options() with { MaxClients = 1 });
        var connections = new List<ControlClient>();
        for (var i = 0; i < 1 + ServerOptions.MoreConnections; i++)
        {
            connections.Add(OpenControl());
            connections[i].Ask<OkMessage>(new HelloMessage { Version = ControlFrame.Version, Attach = false });
        }

        using var late = OpenControl();
        Assert.Equal(KvError.CapacityExceeded, Assert.Throws<KvException>(() => late.Ask<OkMessage>(new HelloMessage { Version = ControlFrame.Version })).Error);
        connections.ForEach(connection => connection.Dispose());
    }

    [Fact]
    public void Whoever_has_started_the_daemon_hears_when_it_is_ready_and_when_it_stops()
    {
        using var listener = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(_socket + ".notify"));
        var environment = new Dictionary<string, string> { ["NOTIFY_SOCKET"] = _socket + ".notify" };
        using var daemon = OwnProcess.Start(typeof(DaemonProcess).Assembly, ["serve", "--socket", _socket, "--pool", "4MiB", "--cold", "4MiB"], environment);
        try
        {
            Assert.Equal("READY=1", Receive(listener));
            using (var control = AdminConnection.Open(_socket))
            {
                Assert.Empty(control.Ask<StatusMessage>(new GetStatusMessage()).Status.Clients);
            }

            Signals.Send(daemon.Id, Signals.Terminate);
            Assert.Equal("STOPPING=1", Receive(listener));
            Assert.True(daemon.WaitForExit(_limit));
            Assert.Equal(0, daemon.ExitCode);
        }
        finally
        {
            daemon.Kill();
        }
    }

    [Fact]
    public void A_name_that_is_too_long_is_refused_with_its_length_and_the_limit()
    {
        using var daemon = new TestDaemon(Options());
        using (daemon.Connect(_device, new KvConnectOptions { Name = new string('ä', ServerOptions.MaxNameBytes / 2) }))
        {
        }

        var error = Assert.Throws<KvException>(() => daemon.Connect(_device, new KvConnectOptions { Name = new string('ä', (ServerOptions.MaxNameBytes / 2) + 1) }));
        Assert.Equal(KvError.InvalidArgument, error.Error);
        Assert.Contains("130", error.Message, StringComparison.Ordinal);
        Assert.Contains("128", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_status_of_as_many_tenants_as_there_may_be_is_answered()
    {
        using var daemon = new TestDaemon(Options());
        using var control = AdminConnection.Open(_socket);
        for (var i = 0; i < TenantRegistry.MostTenants; i++)
        {
            control.Ask<OkMessage>(new LimitMessage { Tenant = $"{i:D4}{new string('\u0001', TenantRegistry.LongestName - 4)}", Weight = 2 });
        }

        // More than a socket's buffer, and the reader is slow.
        Assert.Equal(TenantRegistry.MostTenants, control.Ask<StatusMessage>(new GetStatusMessage()).Status.Tenants.Length);
        Assert.Equal(TenantRegistry.MostTenants, control.Ask<StatusMessage>(new GetStatusMessage()).Status.Tenants.Length);
    }

    [Fact]
    public void The_longest_status_is_no_longer_than_a_reply_may_be()
    {
        var tenant = new TenantStatus
        {
            Name = new string('\u0001', TenantRegistry.LongestName),
            MinBytes = long.MinValue,
            MaxBytes = long.MinValue,
            Weight = int.MinValue,
            ShareBytes = long.MinValue,
            ResidentBytes = long.MinValue,
            CleanBytes = long.MinValue,
            ColdBytes = long.MinValue,
            Steps = long.MinValue,
            CleanedBlocks = long.MinValue,
            EvictedBlocks = long.MinValue,
            ReloadedBlocks = long.MinValue,
            StepMedianMicroseconds = double.MinValue,
            StepSlowMicroseconds = double.MinValue,
        };
        var client = new ClientStatus
        {
            Number = int.MinValue,
            Name = new string('\u0001', ServerOptions.MaxNameBytes),
            Tenant = tenant.Name,
            Pid = int.MinValue,
            State = "condemned",
            Lanes = int.MinValue,
            Sequences = int.MinValue,
            PinnedBytes = long.MinValue,
        };
        var (tenants, clients) = (new TenantStatus[TenantRegistry.MostTenants], new ClientStatus[ServerOptions.MostClients]);
        Array.Fill(tenants, tenant);
        Array.Fill(clients, client);
        using var daemon = new TestDaemon(Options());
        var frame = ControlFrame.Write(new StatusMessage { Id = long.MinValue, Status = Read(daemon) with { Tenants = tenants, Clients = clients } });
        Assert.InRange(frame.Length, 2 << 20, ControlFrame.MaxReplyBytes);
    }

    [Fact]
    public void Limits_are_checked_and_change_at_run_time()
    {
        using var daemon = new TestDaemon(Options());
        using var control = AdminConnection.Open(_socket);
        control.Ask<OkMessage>(new LimitMessage { Tenant = "a", MinBytes = 2 << 20, Weight = 3 });
        var error = Assert.Throws<KvException>(() => control.Ask<OkMessage>(new LimitMessage { Tenant = "b", MinBytes = 1 << 30 }));
        Assert.Equal(KvError.InvalidArgument, error.Error);
        var tenant = Assert.Single(control.Ask<StatusMessage>(new GetStatusMessage()).Status.Tenants);
        Assert.Equal(("a", 2L << 20, (long?)null, 3), (tenant.Name, tenant.MinBytes, tenant.MaxBytes, tenant.Weight));
    }

    private static void EndStep(KvCache cache, KvLane lane, KvSequence sequence)
    {
        var step = lane.Begin([new KvStepItem(sequence, 1)]);
        Assert.True(cache.Wait(step.Begin, _limit));
        step.End.Timeline.Signal(step.End.Value);
        Assert.True(cache.Wait(step.End, _limit));
    }

    private static void AwaitStatus(TestDaemon daemon, Func<DaemonStatus, bool> holds)
    {
        var since = Stopwatch.GetTimestamp();
        while (!holds(Read(daemon)))
        {
            Assert.True(Stopwatch.GetElapsedTime(since) < _limit);
            Thread.Sleep(10);
        }
    }

    private static void Await(DaemonProcess daemon, Func<DaemonStatus, bool> holds)
    {
        var since = Stopwatch.GetTimestamp();
        while (!holds(daemon.ReadStatus()))
        {
            Assert.True(Stopwatch.GetElapsedTime(since) < _limit, daemon.Tail());
            Thread.Sleep(20);
        }
    }

    private static DaemonStatus Read(TestDaemon daemon) => daemon.Server.PostAsync(() => daemon.Server.Status(0).Status).GetAwaiter().GetResult();

    private static string Receive(Socket listener)
    {
        Assert.True(listener.Poll(_limit, SelectMode.SelectRead), "Nothing has come.");
        var bytes = new byte[256];
        return System.Text.Encoding.UTF8.GetString(bytes, 0, listener.Receive(bytes));
    }

    private KvCache Connect() => KvCache.ConnectAsync(_device, _socket).GetAwaiter().GetResult();

    private ControlClient OpenControl() => ControlClient.ConnectAsync(_socket, _limit, CancellationToken.None).GetAwaiter().GetResult();

    private ServerOptions Options() => new() { Socket = _socket, PoolBytes = 4 << 20, ColdBytes = 4 << 20 };
}
