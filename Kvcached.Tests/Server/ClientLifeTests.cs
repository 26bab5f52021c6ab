using System.Diagnostics;
using Kvcached.Bench.Processes;
using Kvcached.Daemon.Processes;
using Kvcached.Protocol;
using Kvcached.Tests.Client;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>Clients that do not do what they should with what they hold.</summary>
public sealed class ClientLifeTests : DaemonRig
{
    [Fact]
    public void A_client_that_closes_its_socket_but_lives_keeps_what_its_step_pins_until_that_has_ended()
    {
        using var daemon = new TestDaemon(Options() with { KillsPastLease = false, Lease = TimeSpan.FromMilliseconds(200) });
        using var other = daemon.Connect(Device);
        var leaving = daemon.Connect(Device);
        var lane = leaving.OpenLane();
        var step = lane.Begin([new KvStepItem(leaving.RegisterModel("m", Layout).CreateSequence(), 16)]);
        Assert.True(leaving.Wait(step.Begin, Limit));
        ((RemoteCache)leaving).Link.CloseWithoutGoodbye();

        // Its step lives, past the lease too: its block is nobody else's, and others are served.
        AwaitStatus(daemon, status => status.Clients.Any(client => client.State == "condemned"));
        Thread.Sleep(400);
        EndStep(other, other.OpenLane(), other.RegisterModel("m", Layout).CreateSequence());
        var status = Read(daemon);
        Assert.Equal((2, 2), (status.Clients.Length, (int)status.Totals.ResidentBlocks));

        step.End.Timeline.Signal(step.End.Value);
        AwaitStatus(daemon, status => status is { Clients.Length: 1, Totals.ResidentBlocks: 1 });
        leaving.Dispose();
    }

    [Fact]
    public void A_client_that_holds_a_step_past_its_lease_is_killed_and_what_it_had_is_reclaimed()
    {
        using var daemon = DaemonProcess.StartOn(Socket, "--pool", "8MiB", "--cold", "8MiB", "--lease", "0.5");
        using var client = ClientProcess.Start(Socket, seed: 1);
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
        using var cache = daemon.Connect(Device);
        cache.OpenLane();
        ((RemoteCache)cache).Link.Send(SubmissionKind.Free, BitConverter.GetBytes(77UL));
        var since = Stopwatch.GetTimestamp();
        KvException? error = null;
        while (error is null && Stopwatch.GetElapsedTime(since) < Limit)
        {
            error = Record.Exception(cache.Pump) as KvException;
        }

        Assert.Equal(KvError.DaemonLost, error?.Error);
        Assert.Contains("There is no sequence in slot 77", error!.Message, StringComparison.Ordinal);
    }

    private static void Await(DaemonProcess daemon, Func<DaemonStatus, bool> holds)
    {
        var since = Stopwatch.GetTimestamp();
        while (!holds(daemon.ReadStatus()))
        {
            Assert.True(Stopwatch.GetElapsedTime(since) < Limit, daemon.Tail());
            Thread.Sleep(20);
        }
    }
}
