using System.Diagnostics;
using System.Net.Sockets;
using Kvcached.Daemon.Processes;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;
using Kvcached.Tests.Client;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>Daemons that come, stop and go.</summary>
public sealed class DaemonTests : DaemonRig
{
    [Fact]
    public void A_socket_that_nobody_answers_on_is_taken_over()
    {
        using (var left = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            // A socket that is closed by its process takes its name along; one of a process that was killed does not.
            left.Bind(new UnixDomainSocketEndPoint(Socket + ".left"));
            File.Move(Socket + ".left", Socket);
        }

        Assert.True(File.Exists(Socket));
        using var daemon = new TestDaemon(Options());
        using var cache = daemon.Connect(Device);
        Assert.Equal(0, cache.GetStatistics().Steps);
    }

    [Fact]
    public void A_second_daemon_on_a_live_socket_is_refused_and_the_first_goes_on()
    {
        using var daemon = new TestDaemon(Options());
        var refused = Assert.Throws<KvException>(() => new TestDaemon(Options()));
        Assert.Contains("Another daemon answers", refused.Message, StringComparison.Ordinal);
        using var cache = daemon.Connect(Device);
        Assert.Equal(0, cache.GetStatistics().Steps);
    }

    [Fact]
    public void A_file_that_is_no_socket_is_left_alone()
    {
        File.WriteAllText(Socket, "precious");
        try
        {
            Assert.Throws<KvException>(() => new TestDaemon(Options()));
            Assert.Equal("precious", File.ReadAllText(Socket));
        }
        finally
        {
            File.Delete(Socket);
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
    public void Nobody_on_the_socket_is_a_typed_error()
    {
        var error = Assert.Throws<KvException>(() => Connect());
        Assert.Equal(KvError.DaemonLost, error.Error);
    }

    [Fact]
    public void A_daemon_that_is_stopped_is_told_within_a_second_and_the_next_one_serves_the_same_process()
    {
        // The best of three: a machine that stands still for a while is no client that looks too seldom.
        var fastest = double.MaxValue;
        for (var attempt = 0; attempt < 3 && fastest > 1000; attempt++)
        {
            fastest = Math.Min(fastest, MillisecondsUntilStopIsTold());
        }

        Assert.InRange(fastest, 0, 1000);
        using var next = DaemonProcess.StartOn(Socket, "--pool", "4MiB", "--cold", "4MiB");
        using (var cache = Connect())
        {
            EndStep(cache, cache.OpenLane(), cache.RegisterModel("m", Layout).CreateSequence());
        }

        Assert.Equal(0, next.Stop());
    }

    [Fact]
    public void A_daemon_that_does_not_start_says_why() =>
        Assert.Contains("bogus", Assert.Throws<DaemonFailedException>(() => DaemonProcess.Start("--pool", "bogus")).Message, StringComparison.Ordinal);

    [Fact]
    public void Whoever_has_started_the_daemon_hears_when_it_is_ready_and_when_it_stops()
    {
        using var listener = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(Socket + ".notify"));
        var environment = new Dictionary<string, string> { ["NOTIFY_SOCKET"] = Socket + ".notify" };
        using var daemon = OwnProcess.Start(typeof(DaemonProcess).Assembly, ["serve", "--socket", Socket, "--pool", "4MiB", "--cold", "4MiB"], environment);
        try
        {
            Assert.Equal("READY=1", Receive(listener));
            using (var control = AdminConnection.Open(Socket))
            {
                Assert.Empty(control.Ask<StatusMessage>(new GetStatusMessage()).Status.Clients);
            }

            Signals.Send(daemon.Id, Signals.Terminate);
            Assert.Equal("STOPPING=1", Receive(listener));
            Assert.True(daemon.WaitForExit(Limit));
            Assert.Equal(0, daemon.ExitCode);
        }
        finally
        {
            daemon.Kill();
        }
    }

    /// <summary>How long a client of a daemon that has been stopped waits for its step until it is told.</summary>
    private double MillisecondsUntilStopIsTold()
    {
        using var daemon = DaemonProcess.StartOn(Socket, "--pool", "4MiB", "--cold", "4MiB");
        using var cache = Connect();
        var lane = cache.OpenLane();
        var sequence = cache.RegisterModel("m", Layout).CreateSequence();
        EndStep(cache, lane, sequence);
        Signals.Send(daemon.Pid, Signals.Stop);
        Assert.True(SpinWait.SpinUntil(() => ProcessState.IsStopped(daemon.Pid), Limit));
        var stopped = Stopwatch.GetTimestamp();
        var step = lane.Begin([new KvStepItem(sequence, 1)]);
        var error = Assert.Throws<KvException>(() => cache.Wait(step.Begin, Limit));
        var told = Stopwatch.GetElapsedTime(stopped).TotalMilliseconds;
        Assert.Equal(KvError.DaemonLost, error.Error);
        Assert.InRange(told, 0, 5000);
        Signals.Send(daemon.Pid, Signals.Continue);
        daemon.Kill();
        return told;
    }

    private static string Receive(Socket listener)
    {
        Assert.True(listener.Poll(Limit, SelectMode.SelectRead), "Nothing has come.");
        var bytes = new byte[256];
        return System.Text.Encoding.UTF8.GetString(bytes, 0, listener.Receive(bytes));
    }
}
