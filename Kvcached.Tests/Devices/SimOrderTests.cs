using Kvcached.Devices;
using Kvcached.Devices.Sim;
using Xunit;

namespace Kvcached.Tests.Devices;

public class SimOrderTests
{
    [Fact]
    public void A_wait_on_the_own_signal_is_a_cycle() => Expect(SimViolationKind.Cycle, rig =>
        rig.Submit(rig.A, new(rig.TimeA, 1), null, new WaitPoint(rig.TimeA, 1)));

    [Fact]
    public void Two_submissions_that_wait_for_each_other_are_a_cycle() => Expect(SimViolationKind.Cycle, rig =>
    {
        rig.Device.Promise(new(rig.TimeB, 1));
        rig.Submit(rig.A, new(rig.TimeA, 1), null, new WaitPoint(rig.TimeB, 1));
        rig.Submit(rig.B, new(rig.TimeB, 1), null, new WaitPoint(rig.TimeA, 1));
    });

    [Fact]
    public void A_wait_for_a_later_submission_of_the_same_queue_is_a_cycle() => Expect(SimViolationKind.Cycle, rig =>
    {
        rig.Device.Promise(new(rig.TimeA, 2));
        rig.Submit(rig.A, new(rig.TimeA, 1), null, new WaitPoint(rig.TimeA, 2));
        rig.Submit(rig.A, new(rig.TimeA, 2));
    });

    [Fact]
    public void A_wait_for_a_promise_that_comes_after_the_own_signal_is_a_cycle() => Expect(SimViolationKind.Cycle, rig =>
    {
        rig.Device.Promise(new(rig.TimeB, 1), new TimelinePoint(rig.TimeA, 1));
        rig.Submit(rig.A, new(rig.TimeA, 1), null, new WaitPoint(rig.TimeB, 1));
    });

    [Fact]
    public void A_cycle_names_the_way_round()
    {
        var violation = Expect(SimViolationKind.Cycle, rig =>
        {
            rig.Device.Promise(new(rig.TimeB, 1), new TimelinePoint(rig.TimeA, 2));
            rig.Submit(rig.A, new(rig.TimeA, 1), null, new WaitPoint(rig.TimeB, 1));
            rig.Submit(rig.A, new(rig.TimeA, 2));
        });
        Assert.Contains("a#2 (signals ta:2) → a#1 (signals ta:1) → promise of tb:1 → a#2", violation.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Steps_that_promise_their_ends_are_clean() => SimRig.ExpectCleanOnEverySeed(rig =>
    {
        for (ulong step = 1; step <= 20; step++)
        {
            rig.Device.Promise(new(rig.TimeB, step), new(rig.TimeA, step), new(rig.TimeB, step - 1));
            WaitPoint[] waits = step > 2 ? [new(rig.TimeB, step - 2)] : [];
            rig.Submit(rig.A, new(rig.TimeA, step), list => list.Fill(rig.Pool, (long)(step % 2) * 1024, 1024, (byte)step), waits);
            rig.Submit(rig.B, new(rig.TimeB, step), list => list.Copy(rig.Cold, 0, rig.Pool, (long)(step % 2) * 1024, 1024), new WaitPoint(rig.TimeA, step));
            rig.Device.RunSlices(3);
        }
    });

    [Fact]
    public void A_wait_on_a_point_that_nobody_promised_is_a_violation()
    {
        var violation = Expect(SimViolationKind.UnpromisedWait, rig => rig.Submit(rig.A, new(rig.TimeA, 1), null, new WaitPoint(rig.TimeB, 4)));
        Assert.Contains("tb:4", violation.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Waits_on_points_promised_submitted_or_reached_are_clean() => SimRig.ExpectCleanOnEverySeed(rig =>
    {
        rig.Device.Promise(new(rig.TimeB, 4));
        rig.Submit(rig.A, new(rig.TimeA, 1), null, new WaitPoint(rig.TimeB, 4));
        rig.Submit(rig.B, new(rig.TimeB, 5));
        rig.Submit(rig.A, new(rig.TimeA, 2), null, new WaitPoint(rig.TimeB, 5));
        rig.Device.RunUntilIdle();
        rig.Submit(rig.A, new(rig.TimeA, 3), null, new WaitPoint(rig.TimeB, 5));
    });

    [Fact]
    public void Without_required_promises_a_wait_may_come_before_its_signal() => SimRig.ExpectCleanOnEverySeed(
        rig =>
        {
            rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Copy(rig.Cold, 0, rig.Pool, 0, 256), new WaitPoint(rig.TimeB, 1));
            rig.Device.RunUntilIdle();
            Assert.Equal(0ul, rig.Device.Peek(rig.TimeA));
            rig.Submit(rig.B, new(rig.TimeB, 1), list => list.Fill(rig.Pool, 0, 256, 1));
        },
        new SimOptions { RequirePromises = false });

    [Fact]
    public void A_lane_that_waits_for_another_client_is_a_violation() => Expect(SimViolationKind.ForeignWait, rig =>
    {
        Own(rig, 1, 2);
        rig.Submit(rig.A, new(rig.TimeA, 1));
        rig.Submit(rig.B, new(rig.TimeB, 1), null, new WaitPoint(rig.TimeA, 1));
    });

    [Fact]
    public void A_lane_that_waits_for_another_clients_promise_is_a_violation() => Expect(SimViolationKind.ForeignWait, rig =>
    {
        Own(rig, 1, 2);
        rig.Device.Promise(new(rig.TimeA, 1));
        rig.Submit(rig.B, new(rig.TimeB, 1), null, new WaitPoint(rig.TimeA, 1));
    });

    [Fact]
    public void A_lane_that_waits_for_another_client_by_way_of_a_queue_without_owner_is_a_violation() => Expect(SimViolationKind.ForeignWait, rig =>
    {
        Own(rig, 1, 2);
        var (c, time) = (rig.Device.CreateQueue("c"), rig.Device.CreateTimeline("tc"));
        rig.Submit(rig.A, new(rig.TimeA, 1));
        rig.Submit(c, new(time, 1), null, new WaitPoint(rig.TimeA, 1));
        rig.Submit(c, new(time, 2));
        rig.Submit(rig.B, new(rig.TimeB, 1), null, new WaitPoint(time, 2));
    });

    [Fact]
    public void A_background_queue_that_waits_for_a_lane_is_a_violation() => Expect(SimViolationKind.ForeignWait, rig =>
    {
        Own(rig, 1, SimDevice.Background);
        rig.Submit(rig.A, new(rig.TimeA, 1));
        rig.Submit(rig.B, new(rig.TimeB, 1), null, new WaitPoint(rig.TimeA, 1));
    });

    [Fact]
    public void A_foreign_point_that_was_reached_by_luck_and_not_observed_is_a_violation() => Expect(SimViolationKind.ForeignWait, rig =>
    {
        Own(rig, 1, SimDevice.Background);
        rig.Submit(rig.A, new(rig.TimeA, 1));
        rig.Device.RunUntilIdle();
        rig.Submit(rig.B, new(rig.TimeB, 1), null, new WaitPoint(rig.TimeA, 1));
    });

    [Fact]
    public void Foreign_points_that_were_observed_and_background_points_are_clean() => SimRig.ExpectCleanOnEverySeed(rig =>
    {
        Own(rig, 1, SimDevice.Background);
        rig.Submit(rig.A, new(rig.TimeA, 1));
        rig.Device.RunUntilIdle();
        Assert.True(new TimelinePoint(rig.TimeA, 1).IsReached);
        rig.Submit(rig.B, new(rig.TimeB, 1), null, new WaitPoint(rig.TimeA, 1));
        rig.Submit(rig.A, new(rig.TimeA, 2), null, new WaitPoint(rig.TimeB, 1));
        rig.Submit(rig.A, new(rig.TimeA, 3), null, new WaitPoint(rig.TimeA, 2));
    });

    [Fact]
    public void Owners_follow_labels()
    {
        var options = new SimOptions { OwnerOf = label => label.EndsWith('a') ? 1 : label.EndsWith('b') ? 2 : SimDevice.Unowned };
        SimRig.ExpectViolationOnEverySeed(
            SimViolationKind.ForeignWait,
            rig =>
            {
                rig.Submit(rig.A, new(rig.TimeA, 1));
                rig.Submit(rig.B, new(rig.TimeB, 1), null, new WaitPoint(rig.TimeA, 1));
            },
            options);
    }

    private static SimViolation Expect(SimViolationKind kind, Action<SimRig> program) => SimRig.ExpectViolationOnEverySeed(kind, program);

    private static void Own(SimRig rig, int a, int b)
    {
        rig.Device.SetOwner(rig.A, a);
        rig.Device.SetOwner(rig.TimeA, a);
        rig.Device.SetOwner(rig.B, b);
        rig.Device.SetOwner(rig.TimeB, b);
    }
}
