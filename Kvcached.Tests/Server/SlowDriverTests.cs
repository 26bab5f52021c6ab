using System.Diagnostics;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Protocol;
using Kvcached.Tests.Client;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>Drivers allocate, register and free when they like (I1): who is served does not notice when others come and go meanwhile.</summary>
public sealed class SlowDriverTests : DaemonRig
{
    [Fact]
    public async Task Clients_are_served_while_the_driver_makes_what_another_and_a_lane_need()
    {
        HeldDevice? held = null;
        using var daemon = new TestDaemon(Options(), device => held = new HeldDevice(device));
        using var cache = daemon.Connect(Device);
        var lane = cache.OpenLane();
        var sequence = cache.RegisterModel("m", Layout).CreateSequence();
        using var second = daemon.Connect(Device);

        held!.Hold();
        var coming = KvCache.ConnectAsync(Device, Socket);
        AwaitHeld(held);
        var opening = Task.Run(() => second.OpenLane());
        for (var step = 0; step < 20; step++)
        {
            EndStep(cache, lane, sequence);
        }

        Assert.Equal((false, false), (coming.IsCompleted, opening.IsCompleted));
        held.Free();
        using var come = await coming.WaitAsync(Limit);
        var opened = await opening.WaitAsync(Limit);
        var one = second.RegisterModel("m", Layout).CreateSequence();
        var other = come.RegisterModel("m", Layout).CreateSequence();
        EndStep(second, opened, one);
        EndStep(come, come.OpenLane(), other);
    }

    [Fact]
    public void Clients_are_served_while_the_driver_gives_back_what_another_had()
    {
        HeldDevice? held = null;
        using var daemon = new TestDaemon(Options() with { MaxClients = 2 }, device => held = new HeldDevice(device));
        using var cache = daemon.Connect(Device);
        var lane = cache.OpenLane();
        var sequence = cache.RegisterModel("m", Layout).CreateSequence();
        var leaving = daemon.Connect(Device);
        leaving.OpenLane();

        held!.Hold();
        leaving.Dispose();
        AwaitHeld(held);
        for (var step = 0; step < 20; step++)
        {
            EndStep(cache, lane, sequence);
        }

        // Its place is another's once nothing is left of it.
        var error = Assert.Throws<KvException>(() => daemon.Connect(Device));
        Assert.Equal(KvError.CapacityExceeded, error.Error);
        held.Free();
        using var next = Retry(() => daemon.Connect(Device));
    }

    [Fact]
    public async Task A_client_that_dies_while_its_lane_is_made_leaves_nothing()
    {
        HeldDevice? held = null;
        CpuDevice? cpu = null;
        using var daemon = new TestDaemon(Options(), device => held = new HeldDevice(cpu = device));
        var before = cpu!.DeviceBytes + cpu.HostBytes;
        using var control = OpenControl();
        control.Ask<WelcomeMessage>(new HelloMessage { Version = ControlFrame.Version });
        control.Ask<OkMessage>(new ReadyMessage());
        held!.Hold();
        var opening = Task.Run(() => Record.Exception(() => control.Ask<LaneMessage>(new OpenLaneMessage())));
        AwaitHeld(held);
        await daemon.Server.PostAsync(() => daemon.Server.CondemnAll("the test is over"));
        held.Free();

        Assert.NotNull(await opening);
        AwaitStatus(daemon, status => status.Clients.Length == 0 && cpu.DeviceBytes + cpu.HostBytes == before);
    }

    [Fact]
    public void A_device_that_is_lost_while_nobody_submits_ends_the_daemon()
    {
        HeldDevice? held = null;
        var daemon = new TestDaemon(Options(), device => held = new HeldDevice(device));
        held!.Loss = new DeviceLostException("gone");
        var since = Stopwatch.GetTimestamp();
        while (daemon.Failure is null && Stopwatch.GetElapsedTime(since) < Limit)
        {
            Thread.Sleep(10);
        }

        Assert.Same(held.Loss, Assert.Throws<InvalidOperationException>(daemon.Dispose).InnerException);
    }

    private static void AwaitHeld(HeldDevice held)
    {
        var since = Stopwatch.GetTimestamp();
        while (held.Waiting == 0)
        {
            Assert.True(Stopwatch.GetElapsedTime(since) < Limit);
            Thread.Sleep(1);
        }
    }

    private static KvCache Retry(Func<KvCache> connect)
    {
        for (var since = Stopwatch.GetTimestamp(); ;)
        {
            try
            {
                return connect();
            }
            catch (KvException) when (Stopwatch.GetElapsedTime(since) < Limit)
            {
                Thread.Sleep(10);
            }
        }
    }
}
