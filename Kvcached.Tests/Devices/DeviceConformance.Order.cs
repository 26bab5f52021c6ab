using Kvcached.Devices;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>What orders submissions: queues, timelines, waits, signals.</summary>
public abstract partial class DeviceConformance
{
    [Fact]
    public void Submissions_of_a_queue_run_in_order()
    {
        const uint Submissions = 500;
        var queue = Queue();
        var timeline = Timeline();
        var word = Filled(0);
        var log = DeviceWords((int)Submissions);
        for (var i = 0u; i < Submissions; i++)
        {
            queue.Submit([], Commands(c => Log(c, word, log, i)), At(timeline, i + 1));
        }

        Assert.Equal(Enumerable.Range(0, (int)Submissions).Select(i => (uint)i), Read(log, At(timeline, Submissions)));
    }

    [Fact]
    public void An_empty_submission_signals()
    {
        var point = At(Timeline(), 3);
        Queue().Submit([], Commands(), point);
        AssertReached(point);
        Assert.Equal(3ul, point.Timeline.Value);
    }

    [Fact]
    public void A_wait_may_be_enqueued_before_its_signal()
    {
        var (first, second) = (At(Timeline("first"), 1), At(Timeline("second"), 1));
        var source = Filled(1);
        var target = Filled(0);
        Queue("later").Submit(Waits(first), Commands(c => c.Copy(target, 0, source, 0, 4)), second);
        AssertNotReached(second);
        Queue("earlier").Submit([], Commands(c => c.UpdateTable(source, 0, 2)), first);
        Assert.Equal([2u], Read(target, second));
    }

    [Fact]
    public void A_wait_for_a_point_that_was_passed_holds_nothing_up()
    {
        var timeline = Timeline("passed");
        timeline.Signal(10);
        var point = At(Timeline(), 1);
        Queue().Submit(Waits(At(timeline, 0), At(timeline, 4), At(timeline, 10)), Commands(), point);
        AssertReached(point);
    }

    [Fact]
    public void A_submission_waits_for_all_of_its_points()
    {
        var gates = Enumerable.Range(0, 5).Select(i => Timeline($"gate {i}")).ToArray();
        var point = At(Timeline(), 1);
        Queue().Submit(Waits([.. gates.Select(g => At(g, 1))]), Commands(), point);
        foreach (var i in new[] { 4, 0, 2, 1 })
        {
            gates[i].Signal(1);
            AssertNotReached(point);
        }

        gates[3].Signal(1);
        AssertReached(point);
    }

    [Fact]
    public void A_timeline_may_be_waited_on_twice_and_the_larger_value_counts()
    {
        var gate = Timeline("gate");
        var point = At(Timeline(), 1);
        Queue().Submit(Waits(At(gate, 1), At(gate, 3), At(gate, 2)), Commands(), point);
        gate.Signal(2);
        AssertNotReached(point);
        gate.Signal(3);
        AssertReached(point);
    }

    [Fact]
    public void Waits_order_queues_in_a_ring()
    {
        const int Queues = 6;
        const int Laps = 50;
        var queues = Enumerable.Range(0, Queues).Select(i => Queue($"queue {i}")).ToArray();
        var timelines = Enumerable.Range(0, Queues).Select(i => Timeline($"timeline {i}")).ToArray();
        var add = Device.LoadKernel(TestKernels.AddU32);
        var word = Filled(0);
        var log = DeviceWords(Queues * Laps);

        // The last queue is submitted to first, so that most waits are enqueued before their signals.
        for (var q = Queues - 1; q >= 0; q--)
        {
            for (var lap = 0; lap < Laps; lap++)
            {
                var turn = lap * Queues + q;
                var waits = turn == 0 ? [] : Waits(At(timelines[(turn - 1) % Queues], (ulong)((turn - 1) / Queues) + 1));
                Commands();
                _commands.Launch(add, new AddArguments { Address = word.Address, Words = 1, Addend = 1 });
                _commands.Copy(log, turn * 4, word, 0, 4);
                queues[q].Submit(waits, _commands, At(timelines[q], (ulong)lap + 1));
            }
        }

        Assert.Equal(Enumerable.Range(1, Queues * Laps).Select(i => (uint)i), Read(log, At(timelines[^1], Laps)));
    }

    [Fact]
    public void Many_queues_wait_for_one_point()
    {
        var gate = At(Timeline("gate"), 1);
        var word = Filled(0);
        var points = Enumerable.Range(0, 8).Select(i => At(Timeline($"waiter {i}"), 1)).ToArray();
        var copies = points.Select(_ => DeviceWords(1)).ToArray();
        for (var i = 0; i < points.Length; i++)
        {
            Queue($"waiter {i}").Submit(Waits(gate), Commands(c => c.Copy(copies[i], 0, word, 0, 4)), points[i]);
        }

        Queue("releasing").Submit([], Commands(c => c.UpdateTable(word, 0, 5)), gate);
        for (var i = 0; i < points.Length; i++)
        {
            Assert.Equal([5u], Read(copies[i], points[i]));
        }
    }

    [Fact]
    public void A_timeline_never_goes_back()
    {
        var timeline = Timeline();
        Assert.Equal(0ul, timeline.Value);
        timeline.Signal(5);
        timeline.Signal(3);
        Assert.Equal(5ul, timeline.Value);

        var queue = Queue();
        var done = At(Timeline("done"), 1);
        queue.Submit([], Commands(), At(timeline, 4));
        queue.Submit([], Commands(), done);
        AssertReached(done);
        Assert.Equal(5ul, timeline.Value);
        queue.Submit([], Commands(), At(timeline, 1ul << 40));
        AssertReached(At(timeline, 1ul << 40));
        Assert.Equal(1ul << 40, timeline.Value);
    }

    [Fact]
    public void A_point_is_reached_by_any_value_at_or_above_it()
    {
        var timeline = Timeline();
        timeline.Signal((1ul << 40) + 7);
        Assert.True(At(timeline, 7).IsReached);
        Assert.True(At(timeline, (1ul << 40) + 7).IsReached);
        Assert.False(At(timeline, (1ul << 40) + 8).IsReached);
    }

    [Fact]
    public void Poison_whose_low_32_bits_do_not_differ_wakes_a_queue()
    {
        var gate = Timeline("gate");
        var point = At(Timeline(), 1);
        Queue().Submit(Waits(At(gate, 1)), Commands(), point);
        AssertNotReached(point);
        gate.Signal(1ul << 40);
        AssertReached(point);
    }

    [Fact]
    public void Submit_returns_while_the_queue_is_held()
    {
        const uint Submissions = 1_000;
        var queue = Queue();
        var gate = Timeline("gate");
        var timeline = Timeline();
        var word = Filled(0);
        var log = DeviceWords((int)Submissions);
        for (var i = 0u; i < Submissions; i++)
        {
            queue.Submit(Waits(At(gate, 1)), Commands(c => Log(c, word, log, i)), At(timeline, i + 1));
        }

        AssertNotReached(At(timeline, 1));
        gate.Signal(1);
        Assert.Equal(Enumerable.Range(0, (int)Submissions).Select(i => (uint)i), Read(log, At(timeline, Submissions)));
    }

    [Fact]
    public void Everything_is_captured_at_submit()
    {
        var queue = Queue();
        var gate = Timeline("gate");
        var never = Timeline("never");
        var point = At(Timeline(), 1);
        var add = Device.LoadKernel(TestKernels.AddU32);
        var words = Filled(1, 2, 3, 4);
        var waits = Waits(At(gate, 1));
        queue.Submit(
            waits,
            Commands(c =>
            {
                c.UpdateTable(words, 0, 50);
                c.Fill(words, 4, 4, 6);
                c.Launch(add, new AddArguments { Address = words.Address + 8, Words = 1, Addend = 100 });
            }),
            point);

        waits[0] = new WaitPoint(never, 1);
        Commands(c =>
        {
            c.UpdateTable(words, 3, 77);
            c.Fill(words, 0, 16, 8);
            c.Launch(add, new AddArguments { Address = words.Address, Words = 4, Addend = 9 });
        });
        gate.Signal(1);
        AssertReached(point);
        Assert.Equal([50u, 0x06060606, 103, 4], Read(words, point));
    }

    /// <summary>Writes a value where the next submission of the queue will write another, and keeps a copy.</summary>
    private static void Log(CommandList commands, DeviceMemory word, DeviceMemory log, uint value)
    {
        commands.UpdateTable(word, 0, value);
        commands.Copy(log, value * sizeof(uint), word, 0, sizeof(uint));
    }
}
