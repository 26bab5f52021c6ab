using Kvcached.Devices;
using Kvcached.Devices.Sim;
using Xunit;

namespace Kvcached.Tests.Devices;

public class SimRunTests
{
    [Fact]
    public void One_seed_gives_one_run()
    {
        for (ulong seed = 0; seed < 20; seed++)
        {
            Assert.Equal(RunPipeline(seed), RunPipeline(seed));
        }
    }

    [Fact]
    public void Different_seeds_interleave_differently()
    {
        var runs = Enumerable.Range(0, 100).Select(seed => RunPipeline((ulong)seed)).Distinct().Count();
        Assert.Equal(100, runs);
    }

    [Fact]
    public void The_trace_of_a_seed_is_the_same_on_every_machine() => Assert.Equal(ExpectedTraceHash, RunPipeline(42));

    [Fact]
    public void Copies_are_split_and_other_queues_run_between_the_parts()
    {
        var orders = new HashSet<string>();
        for (ulong seed = 0; seed < SimRig.Seeds; seed++)
        {
            using var rig = new SimRig(seed);
            rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 0, 4096, 1));
            rig.Submit(rig.B, new(rig.TimeB, 1), list => list.Fill(rig.Pool, 4096, 4096, 1));
            var order = string.Empty;
            while (rig.Device.RunSlice())
            {
                order += rig.Pool.Peek(0, 4096).IndexOf((byte)0) switch { -1 => 'A', 0 => '-', _ => 'a' };
                order += rig.Pool.Peek(4096, 4096).IndexOf((byte)0) switch { -1 => 'B', 0 => '-', _ => 'b' };
            }

            orders.Add(order);
        }

        Assert.Contains(orders, order => order.Contains("ab", StringComparison.Ordinal));
        Assert.Contains(orders, order => order.Contains("A-", StringComparison.Ordinal));
        Assert.Contains(orders, order => order.Contains("-B", StringComparison.Ordinal));
    }

    [Fact]
    public void A_kernel_keeps_its_state_between_slices() => SimRig.ExpectCleanOnEverySeed(rig =>
    {
        rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 0, 1024, 3));
        rig.Launch(rig.A, new(rig.TimeA, 2), "sum", new SumArguments(rig.Pool.Address, 1024, rig.Pool.Address + 8192));
        rig.Device.RunUntilIdle();
        Assert.Equal(3072ul, BitConverter.ToUInt64(rig.Pool.Peek(8192, 8)));
    });

    [Fact]
    public void A_stalled_queue_holds_what_waits_for_it_and_nothing_else()
    {
        using var rig = new SimRig(5);
        var (c, time) = (rig.Device.CreateQueue("c"), rig.Device.CreateTimeline("tc"));
        rig.Device.Stall(rig.A);
        rig.Submit(rig.A, new(rig.TimeA, 1));
        rig.Submit(rig.B, new(rig.TimeB, 1), null, new WaitPoint(rig.TimeA, 1));
        rig.Submit(c, new(time, 1));
        rig.Device.RunUntilIdle();
        Assert.Equal((0ul, 0ul, 1ul), (rig.Device.Peek(rig.TimeA), rig.Device.Peek(rig.TimeB), rig.Device.Peek(time)));
        rig.Device.Resume(rig.A);
        Assert.True(rig.Device.RunUntil(new(rig.TimeB, 1)));
    }

    [Fact]
    public void A_killed_queue_stops_where_it_stands_and_a_disposed_one_ends_what_it_has_started()
    {
        var (killedHalfway, disposedWhole) = (0, 0);
        for (ulong seed = 0; seed < SimRig.Seeds; seed++)
        {
            foreach (var kill in new[] { true, false })
            {
                using var rig = new SimRig(seed);
                rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 0, 4096, 1));
                rig.Submit(rig.A, new(rig.TimeA, 2));
                rig.Device.RunSlice();
                if (kill)
                {
                    rig.Device.Kill(rig.A);
                }
                else
                {
                    rig.A.Dispose();
                }

                rig.Device.RunUntilIdle();
                Assert.Equal(kill ? 0ul : 1ul, rig.Device.Peek(rig.TimeA));
                Assert.Throws<ObjectDisposedException>(() => rig.Submit(rig.A, new(rig.TimeA, 3)));
                var whole = !rig.Pool.Peek(0, 4096).Contains((byte)0);
                killedHalfway += kill && !whole ? 1 : 0;
                disposedWhole += !kill && whole ? 1 : 0;
            }
        }

        Assert.True(killedHalfway > 10);
        Assert.Equal(SimRig.Seeds, disposedWhole);
    }

    [Fact]
    public void More_queues_than_actors_take_the_place_of_those_that_ended()
    {
        using var device = new SimDevice(1);
        for (var i = 0; i < 200; i++)
        {
            device.CreateQueue($"queue {i}").Dispose();
        }

        var open = Enumerable.Range(0, 63).Select(i => device.CreateQueue($"open {i}")).ToList();
        Assert.Equal(63, open.Count);
        Assert.Throws<SimFullException>(() => device.CreateQueue("one more"));
    }

    [Fact]
    public void What_was_not_disposed_is_listed()
    {
        var device = new SimDevice(1);
        device.Allocate(4096, MemoryKind.Host, "kept").Address.ToString();
        device.Allocate(4096, MemoryKind.Host, "given back").Dispose();
        device.CreateQueue("open");
        device.CreateQueue("closed").Dispose();
        device.Dispose();
        Assert.Equal(["queue open", "memory kept (4096 bytes)"], device.Leaks);
    }

    [Fact]
    public void Objects_of_another_device_are_refused()
    {
        using var rig = new SimRig(1);
        using var other = new SimRig(1);
        Assert.Throws<ArgumentException>(() => rig.Submit(rig.A, new(other.TimeA, 1)));
        Assert.Throws<ArgumentException>(() => rig.Submit(rig.A, new(rig.TimeA, 1), null, new WaitPoint(other.TimeA, 1)));
        Assert.Throws<ArgumentException>(() => rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(other.Pool, 0, 1, 0)));
        Assert.Throws<ArgumentException>(() => rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Launch(other.Device.LoadKernel("sum"), 1)));
        Assert.Equal(0, rig.Device.Pending(rig.A));
    }

    [Fact]
    public void A_steady_run_allocates_no_managed_memory()
    {
        using var rig = new SimRig(7);
        var commands = new CommandList();
        Pump(rig, commands, 1, 2000);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Pump(rig, commands, 2001, 2000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private const ulong ExpectedTraceHash = 17067720189513165616;

    private static ulong RunPipeline(ulong seed)
    {
        using var rig = new SimRig(seed);
        Pump(rig, new CommandList(), 1, 30);
        return rig.Device.TraceHash;
    }

    /// <summary>Steps as a lane has them: fill and publish on one queue, a copy out on the other, two steps deep.</summary>
    private static void Pump(SimRig rig, CommandList commands, ulong first, int steps)
    {
        for (var step = first; step < first + (ulong)steps; step++)
        {
            rig.Device.Promise(new(rig.TimeB, step), new TimelinePoint(rig.TimeA, step));
            var slot = (long)(step % 2) * 4096;
            commands.Clear();
            commands.Fill(rig.Pool, slot, 2048, (byte)step);
            commands.UpdateTable(rig.Pool, (uint)(slot / 4) + 600, (uint)step);
            rig.A.Submit(step > 2 ? [new WaitPoint(rig.TimeB, step - 2)] : [], commands, new(rig.TimeA, step));
            commands.Clear();
            commands.Copy(rig.Cold, slot, rig.Pool, slot, 4096);
            rig.B.Submit([new WaitPoint(rig.TimeA, step)], commands, new(rig.TimeB, step));
            rig.Device.RunSlices(9);
            _ = rig.TimeB.Value;
        }

        rig.Device.RunUntilIdle();
    }
}
