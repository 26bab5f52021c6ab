using System.Diagnostics;
using Kvcached.Daemon.Processes;
using Kvcached.Devices.Cpu;
using Kvcached.Protocol;
using Kvcached.Server;
using Kvcached.Tests.Client;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>What tests of daemons share: a socket's path in a folder of its own, and a device to connect with.</summary>
public abstract class DaemonRig : IDisposable
{
    private readonly SocketFolder _folder = new();

    private protected static TimeSpan Limit { get; } = TimeSpan.FromSeconds(20);

    private protected static KvLayout Layout { get; } = new() { Layers = 1, Heads = 2, HeadDim = 64 };

    private protected CpuDevice Device { get; } = new(new CpuDeviceOptions { Workers = 1 });

    private protected string Socket => _folder.Socket;

    public void Dispose()
    {
        Device.Dispose();
        Assert.False(File.Exists(Socket));
        _folder.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected static void EndStep(KvCache cache, KvLane lane, KvSequence sequence)
    {
        var step = lane.Begin([new KvStepItem(sequence, 1)]);
        Assert.True(cache.Wait(step.Begin, Limit));
        step.End.Timeline.Signal(step.End.Value);
        Assert.True(cache.Wait(step.End, Limit));
    }

    private protected static void AwaitStatus(TestDaemon daemon, Func<DaemonStatus, bool> holds)
    {
        var since = Stopwatch.GetTimestamp();
        while (!holds(Read(daemon)))
        {
            Assert.True(Stopwatch.GetElapsedTime(since) < Limit);
            Thread.Sleep(10);
        }
    }

    private protected static DaemonStatus Read(TestDaemon daemon) => daemon.Server.PostAsync(() => daemon.Server.Status(0).Status).GetAwaiter().GetResult();

    private protected KvCache Connect() => KvCache.ConnectAsync(Device, Socket).GetAwaiter().GetResult();

    private protected ControlClient OpenControl() => ControlClient.ConnectAsync(Socket, Limit, CancellationToken.None).GetAwaiter().GetResult();

    private protected ServerOptions Options() => new() { Socket = Socket, PoolBytes = 4 << 20, ColdBytes = 4 << 20 };
}
