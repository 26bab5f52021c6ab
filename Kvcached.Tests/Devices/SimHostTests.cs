using Kvcached.Devices;
using Kvcached.Devices.Sim;
using Xunit;

namespace Kvcached.Tests.Devices;

public class SimHostTests
{
    [Fact]
    public void Staging_overwritten_before_its_copy_was_observed_is_a_race() => SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, rig =>
    {
        CopyStaging(rig, 1);
        rig.Device.RunUntilIdle();
        rig.Cold.HostSpan(0, 256).Fill(2);
    });

    [Fact]
    public void Staging_overwritten_before_its_copy_ran_is_a_race() => SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, rig =>
    {
        CopyStaging(rig, 1);
        rig.Cold.HostSpan(0, 256).Fill(2);
    });

    [Fact]
    public void Staging_reused_once_its_copy_was_observed_is_clean() => SimRig.ExpectCleanOnEverySeed(rig =>
    {
        for (byte value = 1; value < 10; value++)
        {
            CopyStaging(rig, value);
            rig.Device.RunUntilIdle();
            Assert.Equal(value, rig.TimeA.Value);
        }
    });

    [Fact]
    public void The_host_may_read_what_a_copy_wrote_only_once_it_was_observed()
    {
        static void Program(SimRig rig, bool observe)
        {
            rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Cold, 0, 512, 3));
            rig.Device.RunUntilIdle();
            if (observe)
            {
                _ = rig.TimeA.Value;
            }

            Assert.Equal(3, rig.Cold.HostReadSpan(0, 256)[255]);
        }

        SimRig.ExpectCleanOnEverySeed(rig => Program(rig, observe: true));
        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, rig => Program(rig, observe: false));
    }

    [Fact]
    public void The_host_and_a_queue_may_read_at_a_time() => SimRig.ExpectCleanOnEverySeed(rig =>
    {
        rig.Cold.HostSpan(0, 256).Fill(1);
        rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Copy(rig.Pool, 0, rig.Cold, 0, 256));
        Assert.Equal(1, rig.Cold.HostReadSpan(0, 256)[0]);
    });

    [Fact]
    public void What_one_host_observed_is_credited_to_it_and_not_to_another()
    {
        static void Program(SimRig rig, int observer)
        {
            var client = rig.Device.AddHost("client");
            CopyStaging(rig, 1);
            rig.Device.RunUntilIdle();
            rig.Device.Host = observer;
            Assert.Equal(1ul, rig.TimeA.Value);
            rig.Device.Host = client;
            rig.Cold.NoteHostWrite(0, 256);
        }

        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, rig => Program(rig, observer: 0));
        SimRig.ExpectCleanOnEverySeed(rig => Program(rig, observer: 1));
    }

    [Fact]
    public void What_a_killed_queue_did_may_be_overwritten_only_once_its_end_was_observed()
    {
        static void Program(SimRig rig, bool observe)
        {
            rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 0, 512, 1));
            Assert.True(rig.Device.RunSlice());
            Assert.Throws<InvalidOperationException>(() => rig.Device.ObserveEnd(rig.A));
            rig.Device.Kill(rig.Device.FindQueue("a")!);
            if (observe)
            {
                rig.Device.ObserveEnd(rig.A);
            }

            rig.TimeA.Signal(1ul << 40);
            rig.Submit(rig.B, new(rig.TimeB, 1), list => list.Fill(rig.Pool, 0, 512, 2), new WaitPoint(rig.TimeA, 1));
        }

        SimRig.ExpectCleanOnEverySeed(rig => Program(rig, observe: true));
        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, rig => Program(rig, observe: false));
    }

    [Fact]
    public void Points_of_a_queue_that_was_killed_may_be_waited_for_since_whoever_proves_the_death_signals_them()
    {
        using var rig = new SimRig(1);
        rig.Submit(rig.A, new(rig.TimeA, 1));
        rig.Submit(rig.A, new(rig.TimeA, 2));
        rig.Device.Kill(rig.A);
        rig.Submit(rig.B, new(rig.TimeB, 1), null, new WaitPoint(rig.TimeA, 2));
        rig.Device.RunUntilIdle();
        Assert.Equal(0UL, rig.Device.Peek(rig.TimeB));
        rig.TimeA.Signal(2);
        rig.Device.RunUntilIdle();
        Assert.Equal(1UL, rig.Device.Peek(rig.TimeB));
    }

    [Fact]
    public void Memory_that_was_discarded_may_be_touched_by_what_is_submitted_after_it_came_back()
    {
        static void Program(SimRig rig, bool populate, bool submitFirst)
        {
            rig.Pool.Discard(4096, 4096);
            Assert.Equal((true, false), (rig.Pool.IsPresent(4095), rig.Pool.IsPresent(4096)));
            if (submitFirst)
            {
                rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 4000, 200, 1));
            }

            if (populate)
            {
                rig.Pool.Populate(4096, 4096);
            }

            if (!submitFirst)
            {
                rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 4000, 200, 1));
            }
        }

        SimRig.ExpectCleanOnEverySeed(rig => Program(rig, populate: true, submitFirst: false));
        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Absent, rig => Program(rig, populate: true, submitFirst: true));
        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Absent, rig => Program(rig, populate: false, submitFirst: false));
    }

    [Fact]
    public void Memory_is_discarded_after_all_that_touched_it_was_observed()
    {
        static void Program(SimRig rig, bool observe)
        {
            rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Copy(rig.Cold, 0, rig.Pool, 0, 256));
            rig.Device.RunUntilIdle();
            if (observe)
            {
                Assert.Equal(1ul, rig.TimeA.Value);
            }

            rig.Pool.Discard(0, 4096);
        }

        SimRig.ExpectCleanOnEverySeed(rig => Program(rig, observe: true));
        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, rig => Program(rig, observe: false));
    }

    [Fact]
    public void Memory_goes_once_and_comes_back_once()
    {
        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Absent, rig =>
        {
            rig.Pool.Discard(0, 4096);
            rig.Pool.Discard(0, 8192);
        });
        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Absent, rig =>
        {
            rig.Pool.Discard(4096, 4096);
            rig.Pool.Populate(0, 8192);
        });
    }

    [Fact]
    public void An_observed_order_counts_for_submissions_unless_the_options_say_otherwise()
    {
        static void Program(SimRig rig)
        {
            rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 0, 256, 1));
            rig.Device.RunUntilIdle();
            Assert.Equal(1ul, rig.TimeA.Value);
            rig.Submit(rig.B, new(rig.TimeB, 1), list => list.Fill(rig.Pool, 0, 256, 2));
        }

        SimRig.ExpectCleanOnEverySeed(Program);
        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, Program, new SimOptions { ForgetsObservation = label => label == "ta" });
    }

    [Fact]
    public void An_observation_that_is_forgotten_is_known_by_what_another_carried()
    {
        static void Program(SimRig rig)
        {
            rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 0, 256, 1));
            rig.Submit(rig.B, new(rig.TimeB, 1), waits: new WaitPoint(rig.TimeA, 1));
            rig.Device.RunUntilIdle();
            Assert.Equal((1ul, 1ul), (rig.TimeA.Value, rig.TimeB.Value));
            var third = rig.Device.CreateQueue("c");
            rig.Submit(third, new(rig.TimeB, 2), list => list.Fill(rig.Pool, 0, 256, 2));
        }

        SimRig.ExpectCleanOnEverySeed(Program, new SimOptions { ForgetsObservation = label => label == "ta" });
        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, Program, new SimOptions { ForgetsObservation = _ => true });
    }

    [Fact]
    public void What_the_host_wrote_is_ordered_before_what_it_submits_later_by_a_signal_too() => SimRig.ExpectCleanOnEverySeed(
        rig =>
        {
            rig.Device.Promise(new(rig.TimeB, 1));
            rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Copy(rig.Pool, 0, rig.Cold, 0, 256), new WaitPoint(rig.TimeB, 1));
            rig.Cold.HostSpan(0, 256).Fill(1);
            rig.TimeB.Signal(1);
        });

    [Fact]
    public void A_host_that_sees_late_sees_values_that_rise_and_arrive()
    {
        var late = 0;
        for (ulong seed = 0; seed < SimRig.Seeds; seed++)
        {
            using var rig = new SimRig(seed, new SimOptions { LagObservation = true });
            var last = 0ul;
            for (ulong value = 1; value <= 50; value++)
            {
                rig.Submit(rig.A, new(rig.TimeA, value));
                rig.Submit(rig.B, new(rig.TimeB, value));
                rig.Device.RunSlices(1);
                var seen = rig.TimeA.Value;
                var reached = rig.Device.Peek(rig.TimeA);
                Assert.InRange(seen, last, reached);
                late += seen < reached ? 1 : 0;
                last = seen;
            }

            rig.Device.RunUntilIdle();
            Assert.Equal(50ul, rig.TimeA.Value);
        }

        Assert.True(late > 100, $"late {late} times");
    }

    [Fact]
    public void Nothing_on_the_host_can_wait()
    {
        using var rig = new SimRig(1);
        Assert.Throws<NotSupportedException>(() => rig.TimeA.WaitOnHost(1, TimeSpan.Zero));
        Assert.Throws<InvalidOperationException>(() => rig.Pool.HostSpan(0, 4).Length);
    }

    private static void CopyStaging(SimRig rig, byte value)
    {
        rig.Cold.HostSpan(0, 256).Fill(value);
        rig.Submit(rig.A, new(rig.TimeA, value), list => list.Copy(rig.Pool, 0, rig.Cold, 0, 256));
    }
}
