using Kvcached.Devices;
using Kvcached.Devices.Sim;
using Xunit;

namespace Kvcached.Tests.Devices;

public class SimRaceTests
{
    /// <summary>Pairs of commands that conflict: what runs on queue a, and what then runs on queue b.</summary>
    public static TheoryData<string> Pairs => new("write and write", "write and read", "read and write", "kernel reads what a copy writes", "copy reads what a kernel writes", "table entry and copy");

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Conflicting_commands_without_a_wait_are_a_race_on_every_seed(string pair)
    {
        var violation = SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, rig => Run(rig, pair, waits: false));
        Assert.Equal("pool", violation.Memory);
        Assert.Contains("#1", violation.First, StringComparison.Ordinal);
        Assert.Contains("#1", violation.Second, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Pairs))]
    public void Conflicting_commands_with_a_wait_are_clean_on_every_seed(string pair) =>
        SimRig.ExpectCleanOnEverySeed(rig => Run(rig, pair, waits: true));

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void What_a_queue_orders_is_a_race_where_its_order_is_forgotten(int apart)
    {
        void Program(SimRig rig, bool waits)
        {
            for (var i = 0; i <= apart; i++)
            {
                rig.Submit(rig.A, new(rig.TimeA, (ulong)i + 1), list => list.Fill(rig.Pool, i == apart ? 0 : i * 256, 256, 1), waits ? [new WaitPoint(rig.TimeA, (ulong)i)] : []);
            }
        }

        SimRig.ExpectCleanOnEverySeed(rig => Program(rig, waits: false), new SimOptions { ForgetsOrder = order => order.Queue == "b" });
        SimRig.ExpectCleanOnEverySeed(rig => Program(rig, waits: true), new SimOptions { ForgetsOrder = order => order.Queue == "a" });
        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, rig => Program(rig, waits: false), new SimOptions { ForgetsOrder = order => order.Queue == "a" });
    }

    [Fact]
    public void A_queue_whose_order_is_forgotten_runs_as_ever()
    {
        static ulong HashOf(SimOptions options)
        {
            using var rig = new SimRig(1, options);
            for (ulong i = 1; i <= 50; i++)
            {
                rig.Submit(rig.A, new(rig.TimeA, i), list => list.Fill(rig.Pool, (long)i * 256, 256, 1));
                rig.Submit(rig.B, new(rig.TimeB, i), list => list.Fill(rig.Cold, (long)i * 256, 256, 1));
            }

            rig.Device.RunUntilIdle();
            return rig.Device.TraceHash;
        }

        Assert.Equal(HashOf(new SimOptions()), HashOf(new SimOptions { ForgetsOrder = _ => true }));
    }

    [Fact]
    public void Two_readers_do_not_conflict() => SimRig.ExpectCleanOnEverySeed(rig =>
    {
        rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Copy(rig.Cold, 0, rig.Pool, 0, 4096));
        rig.Submit(rig.B, new(rig.TimeB, 1), list => list.Copy(rig.Cold, 4096, rig.Pool, 0, 4096));
    });

    [Fact]
    public void A_write_must_wait_for_every_reader_and_not_only_for_one()
    {
        static void Program(SimRig rig, bool both)
        {
            var c = rig.Device.CreateQueue("c");
            var time = rig.Device.CreateTimeline("tc");
            rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Copy(rig.Cold, 0, rig.Pool, 0, 1024));
            rig.Submit(rig.B, new(rig.TimeB, 1), list => list.Copy(rig.Cold, 4096, rig.Pool, 0, 1024));
            WaitPoint[] waits = both ? [new(rig.TimeA, 1), new(rig.TimeB, 1)] : [new(rig.TimeB, 1)];
            rig.Submit(c, new(time, 1), list => list.Fill(rig.Pool, 512, 256, 1), waits);
        }

        SimRig.ExpectCleanOnEverySeed(rig => Program(rig, both: true));
        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, rig => Program(rig, both: false));
    }

    [Fact]
    public void An_order_by_luck_is_a_race_still() => SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, rig =>
    {
        rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 0, 256, 1));
        rig.Device.RunUntilIdle();
        rig.Submit(rig.B, new(rig.TimeB, 1), list => list.Fill(rig.Pool, 0, 256, 2));
    });

    [Fact]
    public void A_wait_credits_what_its_own_value_carried_and_nothing_later() => SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, rig =>
    {
        rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 0, 256, 1));
        rig.Submit(rig.A, new(rig.TimeA, 2), list => list.Fill(rig.Pool, 256, 256, 1));
        rig.Device.RunUntilIdle();
        rig.Submit(rig.B, new(rig.TimeB, 1), list => list.Copy(rig.Cold, 0, rig.Pool, 256, 256), new WaitPoint(rig.TimeA, 1));
    });

    [Fact]
    public void Orders_chain_through_a_third_queue() => SimRig.ExpectCleanOnEverySeed(rig =>
    {
        var c = rig.Device.CreateQueue("c");
        var time = rig.Device.CreateTimeline("tc");
        rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 0, 4096, 1));
        rig.Submit(c, new(time, 1), null, new WaitPoint(rig.TimeA, 1));
        rig.Submit(c, new(time, 2));
        rig.Submit(rig.B, new(rig.TimeB, 1), list => list.Copy(rig.Cold, 0, rig.Pool, 0, 4096), new WaitPoint(time, 2));
    });

    [Theory]
    [InlineData(5, true)]
    [InlineData(8, true)]
    [InlineData(12, false)]
    [InlineData(90, false)]
    public void A_point_long_past_is_credited_with_what_it_carried_and_with_what_was_observed(int written, bool clean)
    {
        void Program(SimRig rig)
        {
            for (var value = 1; value <= 60; value++)
            {
                Write(rig, value);
                rig.Device.RunUntilIdle();
                if (value == 8)
                {
                    Assert.Equal(8ul, rig.TimeA.Value);
                }
            }

            rig.Submit(rig.B, new(rig.TimeB, 1), list => list.Copy(rig.Cold, 0, rig.Pool, written % 60 * 256, 256), new WaitPoint(rig.TimeA, 5));
            for (var value = 61; value <= 119; value++)
            {
                Write(rig, value);
            }
        }

        static void Write(SimRig rig, int value) =>
            rig.Submit(rig.A, new(rig.TimeA, (ulong)value), list => list.Fill(rig.Pool, value % 60 * 256, 256, 1), value > 60 ? [new(rig.TimeB, 1)] : []);

        if (clean)
        {
            SimRig.ExpectCleanOnEverySeed(Program);
        }
        else
        {
            SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, Program);
        }
    }

    [Fact]
    public void Cells_of_four_bytes_keep_neighbouring_entries_apart()
    {
        static void Program(SimRig rig, uint second)
        {
            var entries = rig.Device.Allocate(4096, MemoryKind.Device, "entries", 4);
            rig.Submit(rig.A, new(rig.TimeA, 1), list => list.UpdateTable(entries, 7, 1));
            rig.Submit(rig.B, new(rig.TimeB, 1), list => list.UpdateTable(entries, second, 2));
        }

        SimRig.ExpectCleanOnEverySeed(rig => Program(rig, 8));
        var violation = SimRig.ExpectViolationOnEverySeed(SimViolationKind.Race, rig => Program(rig, 7));
        Assert.Equal(28, violation.Offset);
    }

    [Fact]
    public void The_cell_size_follows_the_label()
    {
        var options = new SimOptions { CellBytes = label => label == "entries" ? 4 : 0 };
        SimRig.ExpectCleanOnEverySeed(
            rig =>
            {
                var entries = ((IDevice)rig.Device).Allocate(4096, MemoryKind.Device, "entries");
                rig.Submit(rig.A, new(rig.TimeA, 1), list => list.UpdateTable(entries, 7, 1));
                rig.Submit(rig.B, new(rig.TimeB, 1), list => list.UpdateTable(entries, 8, 2));
            },
            options);
    }

    [Fact]
    public void A_kernel_that_reaches_outside_all_memory_is_a_violation() => SimRig.ExpectViolationOnEverySeed(
        SimViolationKind.OutOfRange, rig => rig.Launch(rig.A, new(rig.TimeA, 1), "touch", rig.Pool.Address + 16 * 1024 - 4));

    [Fact]
    public void A_kernel_that_finds_wrong_content_ends_the_run()
    {
        SimRig.ExpectViolationOnEverySeed(SimViolationKind.Content, rig => rig.Launch(rig.A, new(rig.TimeA, 1), "accuse", rig.Pool.Address));
        SimRig.ExpectCleanOnEverySeed(rig =>
        {
            rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 0, 1, 7));
            rig.Launch(rig.A, new(rig.TimeA, 2), "accuse", rig.Pool.Address);
        });
    }

    [Fact]
    public void Memory_disposed_under_a_submission_is_a_violation() => SimRig.ExpectViolationOnEverySeed(SimViolationKind.DisposedInUse, rig =>
    {
        rig.Submit(rig.A, new(rig.TimeA, 1), list => list.Fill(rig.Pool, 0, 256, 7));
        rig.Pool.Dispose();
    });

    [Fact]
    public void After_the_first_violation_nothing_goes_on()
    {
        using var rig = new SimRig(3);
        Run(rig, "write and write", waits: false);
        var first = Assert.Throws<SimViolationException>(() => rig.Device.RunUntilIdle());
        Assert.Same(first.Violation, rig.Device.Violation);
        Assert.Same(first.Violation, Assert.Throws<SimViolationException>(() => rig.Device.RunSlice()).Violation);
        Assert.Same(first.Violation, Assert.Throws<SimViolationException>(() => rig.Submit(rig.A, new(rig.TimeA, 9))).Violation);
    }

    private static void Run(SimRig rig, string pair, bool waits)
    {
        var a = new TimelinePoint(rig.TimeA, 1);
        var b = new TimelinePoint(rig.TimeB, 1);
        WaitPoint[] wait = waits ? [new(rig.TimeA, 1)] : [];
        switch (pair)
        {
            case "write and write":
                rig.Submit(rig.A, a, list => list.Fill(rig.Pool, 0, 4096, 1));
                rig.Submit(rig.B, b, list => list.Copy(rig.Pool, 3840, rig.Cold, 0, 512), wait);
                break;
            case "write and read":
                rig.Submit(rig.A, a, list => list.Copy(rig.Pool, 0, rig.Cold, 0, 4096));
                rig.Submit(rig.B, b, list => list.Copy(rig.Cold, 8192, rig.Pool, 0, 4096), wait);
                break;
            case "read and write":
                rig.Submit(rig.A, a, list => list.Copy(rig.Cold, 0, rig.Pool, 0, 4096));
                rig.Submit(rig.B, b, list => list.Fill(rig.Pool, 2048, 4096, 1), wait);
                break;
            case "kernel reads what a copy writes":
                rig.Submit(rig.A, a, list => list.Copy(rig.Pool, 0, rig.Cold, 0, 4096));
                rig.Launch(rig.B, b, "sum", new SumArguments(rig.Pool.Address, 4096, rig.Pool.Address + 8192), wait);
                break;
            case "copy reads what a kernel writes":
                rig.Launch(rig.A, a, "touch", rig.Pool.Address + 256);
                rig.Submit(rig.B, b, list => list.Copy(rig.Cold, 0, rig.Pool, 0, 512), wait);
                break;
            default:
                rig.Submit(rig.A, a, list => list.UpdateTable(rig.Pool, 65, 1));
                rig.Submit(rig.B, b, list => list.Copy(rig.Cold, 0, rig.Pool, 256, 256), wait);
                break;
        }
    }
}
