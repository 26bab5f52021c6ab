using System.Diagnostics;
using Kvcached.Bench.Processes;
using Kvcached.Daemon.Processes;
using Kvcached.Devices.Cpu;

namespace Kvcached.Bench.Ratios;

/// <summary>A real daemon, and this process as one of its clients.</summary>
internal sealed class ServedClient : IDisposable
{
    private readonly DaemonProcess _daemon = DaemonProcess.Start("--pool", "64MiB", "--cold", "64MiB");
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 1 });

    public ServedClient(int sequences) => Client = new NoopClient(KvCache.ConnectAsync(_device, _daemon.Socket).GetAwaiter().GetResult(), sequences);

    public string Socket => _daemon.Socket;

    public NoopClient Client { get; }

    public void Dispose()
    {
        Client.Dispose();
        _device.Dispose();
        _daemon.Dispose();
    }
}

/// <summary>From <c>Begin</c> of a step that has nothing to do to its begin point observed, through a daemon in another process; beside it a bare futex ping-pong between two processes. Medians, in microseconds.</summary>
internal sealed class RingRoundTripSides : RatioSides
{
    private const int Rounds = 500;

    private readonly ServedClient _served = new(sequences: 1);
    private readonly FutexPeer _peer = new();
    private readonly double[] _microseconds = new double[Rounds];

    public override bool IsPinned => false;

    public override double RunA() => Median(_served.Client.RoundTrip);

    public override double RunB() => Median(_peer.RoundTrip);

    protected override void Dispose(bool disposing)
    {
        _served.Dispose();
        _peer.Dispose();
        base.Dispose(disposing);
    }

    private double Median(Action trip)
    {
        for (var i = 0; i < Rounds; i++)
        {
            var start = Stopwatch.GetTimestamp();
            trip();
            _microseconds[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
        }

        return RatioStatistics.Median(_microseconds);
    }
}

/// <summary>Steps of 64 sequences a second with kernels that do nothing, pipelined: through a daemon in another process, and on an embedded cache.</summary>
internal sealed class DaemonVsEmbeddedSides : RatioSides
{
    private const int Sequences = 64;
    private const int Steps = 4000;

    private readonly ServedClient _served = new(Sequences);
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 1 });
    private readonly NoopClient _embedded;

    public DaemonVsEmbeddedSides() =>
        _embedded = new NoopClient(KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = 64 << 20, ColdBytes = 64 << 20 }), Sequences);

    public override bool IsPinned => false;

    public override double RunA() => StepsPerSecond(_served.Client);

    public override double RunB() => StepsPerSecond(_embedded);

    protected override void Dispose(bool disposing)
    {
        _served.Dispose();
        _embedded.Dispose();
        _device.Dispose();
        base.Dispose(disposing);
    }

    private static double StepsPerSecond(NoopClient client)
    {
        var start = Stopwatch.GetTimestamp();
        for (var i = 0; i < Steps; i++)
        {
            client.Begin();
        }

        client.Drain();
        return Steps / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}

/// <summary>Blocks a second that client processes of one daemon allocate and free: four in all, and one.</summary>
internal sealed class ClientScalingSides : RatioSides
{
    private const int Clients = 4;
    private const int StepsOfOne = 4000;

    private readonly DaemonProcess _daemon = DaemonProcess.Start("--pool", "256MiB", "--cold", "2MiB");
    private readonly List<BlocksProcess> _clients;

    public ClientScalingSides() => _clients = [.. Enumerable.Range(0, Clients).Select(_ => new BlocksProcess(_daemon.Socket))];

    public override bool IsPinned => false;

    public override double RunA() => BlocksPerSecond(_clients);

    public override double RunB() => BlocksPerSecond(_clients[..1]);

    protected override void Dispose(bool disposing)
    {
        _clients.ForEach(client => client.Dispose());
        _daemon.Dispose();
        base.Dispose(disposing);
    }

    private static double BlocksPerSecond(List<BlocksProcess> clients)
    {
        var start = Stopwatch.GetTimestamp();
        clients.ForEach(client => client.Start(StepsOfOne / clients.Count));
        var blocks = clients.Sum(client => client.Finish());
        return blocks / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
