using Kvcached.Daemon.Demo;
using Kvcached.Devices;
using Kvcached.Devices.Sim;
using Xunit;

namespace Kvcached.Tests.Demo;

public class GatedDeviceTests
{
    [Fact]
    public void What_is_submitted_while_the_gate_is_closed_starts_once_it_is_opened()
    {
        using var sim = new SimDevice(new SimOptions { Seed = 1, RequirePromises = false });
        using var gated = new GatedDevice(sim);
        using var first = gated.CreateQueue("first");
        using var second = gated.CreateQueue("second");
        using var done = gated.CreateTimeline("done");
        using var alsoDone = gated.CreateTimeline("also done");
        var commands = new CommandList();

        first.Submit([], commands, new TimelinePoint(done, 1));
        sim.RunUntilIdle();
        Assert.Equal(1ul, done.Value);

        gated.Close();
        first.Submit([new WaitPoint(done, 1)], commands, new TimelinePoint(done, 2));
        second.Submit([], commands, new TimelinePoint(alsoDone, 1));
        sim.RunUntilIdle();
        Assert.Equal((1ul, 0ul), (done.Value, alsoDone.Value));

        gated.Open();
        sim.RunUntil(new TimelinePoint(done, 2));
        sim.RunUntil(new TimelinePoint(alsoDone, 1));
        Assert.Equal((2ul, 1ul), (done.Value, alsoDone.Value));

        first.Submit([], commands, new TimelinePoint(done, 3));
        sim.RunUntilIdle();
        Assert.Equal(3ul, done.Value);
    }
}
