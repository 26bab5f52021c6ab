using System.Net.Sockets;
using Kvcached.Protocol;
using Kvcached.Server;
using Kvcached.Tests.Client;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>What a client that is slow to read a reply hears, where it is served no more in the middle of it.</summary>
public sealed class FarewellTests : DaemonRig
{
    [Fact]
    public async Task A_client_that_is_disconnected_in_the_middle_of_a_reply_reads_the_rest_of_it_and_then_why()
    {
        using var daemon = await StartAsync();
        using var client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(new UnixDomainSocketEndPoint(Socket));
        AskForStatus(client);
        await daemon.Server.PostAsync(() => daemon.Server.CondemnAll("the test is over"));

        Assert.Equal(TenantRegistry.MostTenants, Assert.IsType<StatusMessage>(Receive(client)).Status.Tenants.Length);
        Assert.Equal("the test is over", Assert.IsType<GoodbyeMessage>(Receive(client)).Reason);
        Assert.Equal(0, client.Receive(new byte[1]));
    }

    [Fact]
    public async Task A_client_that_does_not_read_a_reply_is_cut_off_and_nothing_stands_behind_what_it_has_of_it()
    {
        using var daemon = await StartAsync();
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(Socket + ".own"));
        listener.Listen();
        using var client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(new UnixDomainSocketEndPoint(Socket + ".own"));
        using var connection = new ControlConnection(daemon.Server, listener.Accept(), Environment.ProcessId) { ReplyTimeout = TimeSpan.FromMilliseconds(50) };
        var running = connection.RunAsync(CancellationToken.None);
        AskForStatus(client);

        // The server comes to its end only once there is room again for a goodbye.
        using var hasRoom = new ManualResetEventSlim();
        var held = daemon.Server.PostAsync(() => hasRoom.Wait(Limit));
        await Task.Delay(2000);
        var bytes = new byte[ControlFrame.MaxReplyBytes];
        var read = 0;
        while (client.Poll(0, SelectMode.SelectRead))
        {
            read += client.Receive(bytes.AsSpan(read));
        }

        hasRoom.Set();
        Assert.True(await held);
        await running;
        Assert.InRange(read, ControlFrame.HeaderBytes, ControlFrame.ReadLength(bytes, ControlFrame.MaxReplyBytes));
        Assert.Equal(0, client.Receive(bytes));
    }

    /// <summary>A daemon whose status is longer than the buffer of a socket.</summary>
    private async Task<TestDaemon> StartAsync()
    {
        var daemon = new TestDaemon(Options());
        await daemon.Server.PostAsync(() =>
        {
            // With the client's own there are as many as there may be.
            for (var i = 1; i < TenantRegistry.MostTenants; i++)
            {
                daemon.Server.Limit(new LimitMessage { Tenant = $"{i:D4}{new string('\u0001', TenantRegistry.LongestName - 4)}", Weight = 2 });
            }

            return true;
        });
        return daemon;
    }

    /// <summary>Attaches, asks, and returns once the first of the reply is there to be read.</summary>
    private static void AskForStatus(Socket client)
    {
        client.Send(ControlFrame.Write(new HelloMessage { Version = ControlFrame.Version, Id = 1 }));
        Assert.IsType<WelcomeMessage>(Receive(client));
        Assert.IsType<MapMessage>(Receive(client));
        client.Send(ControlFrame.Write(new GetStatusMessage { Id = 2 }));
        Assert.True(client.Poll(Limit, SelectMode.SelectRead));
    }

    private static ControlMessage Receive(Socket client) =>
        ControlFrame.Read(Receive(client, ControlFrame.ReadLength(Receive(client, ControlFrame.HeaderBytes), ControlFrame.MaxReplyBytes)));

    private static byte[] Receive(Socket client, int count)
    {
        var bytes = new byte[count];
        for (var read = 0; read < count;)
        {
            var more = client.Receive(bytes.AsSpan(read));
            Assert.True(more > 0, $"The connection ended after {read} of {count} bytes.");
            read += more;
        }

        return bytes;
    }
}
