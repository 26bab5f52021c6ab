using Kvcached.Bench.Fuzz;
using Kvcached.Daemon.Processes;
using Kvcached.Devices;
using Kvcached.Devices.OpenCl;
using Kvcached.Protocol;
using Kvcached.Server;
using Kvcached.Tests.Client;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>The control connection: requests that are refused, replies that are long, and what a connection hears that is ended.</summary>
public sealed class ControlTests : DaemonRig
{
    [Fact]
    public void Another_version_of_the_protocol_is_refused_with_a_message()
    {
        using var daemon = new TestDaemon(Options());
        using var control = OpenControl();
        var refused = Assert.Throws<KvException>(() => control.Ask<WelcomeMessage>(new HelloMessage { Version = 2 }));
        Assert.Contains("Version 2", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"type\":\"registerModel\",\"id\":3,\"name\":\"m\",\"layouts\":[{\"layers\":1,\"heads\":1,\"headDim\":64,\"elementType\":\"int4\"}]}", "$.layouts[0].elementType is \"int4\"")]
    [InlineData("{\"type\":\"limit\",\"id\":3,\"tenant\":\"t\",\"weight\":1e30}", "$.weight is 1e30")]
    [InlineData("{\"type\":\"noSuch\",\"id\":3}", "no message of type \"noSuch\"")]
    [InlineData("{\"id\":3}", "no message of type missing")]
    public void A_request_with_a_member_that_cannot_be_is_answered_with_an_error_and_the_connection_goes_on(string json, string error)
    {
        using var daemon = new TestDaemon(Options());
        using var connection = new HostileConnection(Socket);
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
        using var daemon = DaemonProcess.StartOn(Socket, "--pool", "4MiB", "--cold", "4MiB");
        var before = daemon.ReadDescriptors().Count(descriptor => descriptor.Contains("eventfd", StringComparison.Ordinal));
        for (var i = 0; i < 50; i++)
        {
            using var connection = new HostileConnection(Socket);
            Assert.False(connection.TryAttach(new HelloMessage { Version = ControlFrame.Version, RingBytes = 5 }));
        }

        Assert.Equal(before, daemon.ReadDescriptors().Count(descriptor => descriptor.Contains("eventfd", StringComparison.Ordinal)));
        Assert.Equal(0, daemon.Stop());
    }

    [Theory]
    [InlineData("{\"type\":\"goodbye\"}", "said goodbye")]
    [InlineData("{\"type\":\"goodbye\"", "Not a control message")]
    [InlineData("{\"type\":\"welcome\"}", "control message")]
    public void A_connection_that_the_daemon_ends_hears_why_attached_or_not_and_whatever_it_has_sent_beside(string last, string reason)
    {
        using var daemon = new TestDaemon(Options());
        foreach (var attach in new[] { false, true })
        {
            using var connection = new HostileConnection(Socket);
            var hello = new HelloMessage { Version = ControlFrame.Version, Attach = attach };
            Assert.True(attach ? connection.TryAttach(hello) : connection.Ask(hello) is OkMessage);
            var json = System.Text.Encoding.UTF8.GetBytes(last);
            connection.Send([.. BitConverter.GetBytes(json.Length), .. json, .. new byte[50_000]], []);

            // Read late: the daemon has closed its end, with bytes unread in it.
            connection.EndWriting();
            AwaitStatus(daemon, status => status.Clients.Length == 0);
            Thread.Sleep(50);
            Assert.True(connection.LooksClosed(Limit));
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
    public void A_name_that_is_too_long_is_refused_with_its_length_and_the_limit()
    {
        using var daemon = new TestDaemon(Options());
        using (daemon.Connect(Device, new KvConnectOptions { Name = new string('ä', ServerOptions.MaxNameBytes / 2) }))
        {
        }

        var error = Assert.Throws<KvException>(() => daemon.Connect(Device, new KvConnectOptions { Name = new string('ä', (ServerOptions.MaxNameBytes / 2) + 1) }));
        Assert.Equal(KvError.InvalidArgument, error.Error);
        Assert.Contains("130", error.Message, StringComparison.Ordinal);
        Assert.Contains("128", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_client_whose_device_cannot_map_the_daemons_memory_is_told_which_can()
    {
        using var daemon = new TestDaemon(Options(), device => new HeldDevice(device) { SharedMemory = SharedMemoryKind.Cuda });
        var error = Assert.Throws<KvException>(() => daemon.Connect(Device));
        Assert.Equal(KvError.InvalidArgument, error.Error);
        Assert.Contains("connect with a cuda device", error.Message, StringComparison.Ordinal);
        AwaitStatus(daemon, status => status.Clients.Length == 0);
    }

    [OpenClFact]
    public async Task A_client_on_OpenCL_shares_the_pool_of_a_daemon_on_the_cpu_with_a_client_on_the_cpu()
    {
        using var daemon = new TestDaemon(Options());
        using var device = new OpenClDevice();
        using var cache = await KvCache.ConnectAsync(device, Socket);
        using var other = daemon.Connect(Device);
        using var queue = device.CreateQueue("steps");
        using var otherQueue = Device.CreateQueue("reads");
        using var read = Device.Allocate(4096, MemoryKind.Host, "read");
        var (commands, model) = (new CommandList(), cache.RegisterModel("m", Layout));
        var step = cache.OpenLane().Begin([new KvStepItem(model.CreateSequence(), 1)]);
        commands.Fill(((RemoteCache)cache).Link.Pool, 0, ((RemoteCache)cache).Link.Pool.Bytes, 0x5a);
        queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], commands, step.End);
        Assert.True(cache.Wait(step.End, Limit));

        using var done = Device.CreateTimeline("done");
        commands.Clear();
        commands.Copy(read, 0, ((RemoteCache)other).Link.Pool, ((RemoteCache)other).Link.Pool.Bytes - 4096, 4096);
        otherQueue.Submit([], commands, new TimelinePoint(done, 1));
        Assert.True(done.WaitOnHost(1, Limit));
        Assert.False(read.HostSpan(0, 4096).ContainsAnyExcept((byte)0x5a));
    }

    [Fact]
    public void A_status_of_as_many_tenants_as_there_may_be_is_answered()
    {
        using var daemon = new TestDaemon(Options());
        using var control = AdminConnection.Open(Socket);
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
        using var control = AdminConnection.Open(Socket);
        control.Ask<OkMessage>(new LimitMessage { Tenant = "a", MinBytes = 2 << 20, Weight = 3 });
        var error = Assert.Throws<KvException>(() => control.Ask<OkMessage>(new LimitMessage { Tenant = "b", MinBytes = 1 << 30 }));
        Assert.Equal(KvError.InvalidArgument, error.Error);
        var tenant = Assert.Single(control.Ask<StatusMessage>(new GetStatusMessage()).Status.Tenants);
        Assert.Equal(("a", 2L << 20, (long?)null, 3), (tenant.Name, tenant.MinBytes, tenant.MaxBytes, tenant.Weight));
    }
}
