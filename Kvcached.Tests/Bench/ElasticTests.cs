using Kvcached.Bench.Elastic;
using Kvcached.Bench.Ratios;
using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Memory;
using Xunit;

namespace Kvcached.Tests.Bench;

/// <summary>Models that share a pool in virtual time.</summary>
public class ElasticTests
{
    private const long Gigabyte = 1_000_000_000;
    private static readonly PaperMemory _pool = new("pool", 4 * Gigabyte);
    private static readonly PaperMemory _cold = new("cold", 4 * Gigabyte, MemoryKind.Host);

    [Fact]
    public void What_is_due_at_one_time_happens_in_the_order_in_which_it_was_scheduled()
    {
        var clock = new VirtualClock();
        var happened = "";
        clock.At(20, () => happened += "c");
        clock.At(10, () => clock.At(20, () => happened += "e"));
        clock.At(10, () => happened += "b");
        clock.At(20, () => happened += "d");
        clock.At(0, () => happened += "a");
        Run(clock);
        Assert.Equal(("abcde", 20), (happened, clock.Now));
        Assert.Throws<ArgumentOutOfRangeException>(() => clock.At(19, () => { }));
    }

    [Fact]
    public void Copies_of_all_devices_and_both_directions_share_one_link()
    {
        var clock = new VirtualClock();
        var link = new VirtualLink(clock, 25 * Gigabyte);
        var (a, b) = (new RecordingDevice(clock, link), new RecordingDevice(clock, link));

        a.Submit(2, [], Copy(_cold, _pool, Gigabyte), new Point(1, 1));
        b.Submit(3, [], Copy(_pool, _cold, Gigabyte / 2), new Point(1, 1));
        a.Submit(4, [], Copy(_pool, _pool, Gigabyte), new Point(2, 1));
        Run(clock);

        Assert.Equal(3 * Gigabyte / 2, link.Bytes);
        Assert.Equal([(2, 1, 0), (1, 1, 40_000_000)], a.Signalled);
        Assert.Equal([(1, 1, 60_000_000)], b.Signalled);
    }

    [Fact]
    public void A_queue_keeps_its_order_and_waits_for_points_that_another_queue_signals()
    {
        var clock = new VirtualClock();
        var device = new RecordingDevice(clock, new VirtualLink(clock, 25 * Gigabyte));

        // The second submission could run at once, and stands behind the first, which waits for a kernel.
        device.Submit(2, [new Point(5, 1)], Copy(_cold, _pool, Gigabyte), new Point(1, 1));
        device.Submit(2, [], new CommandList(), new Point(2, 1));
        device.Device.Launch(lane: 1, default, nanos: 1_000, new Point(5, 1));
        device.Device.Launch(lane: 1, new Point(2, 1), nanos: 1_000, new Point(5, 2));
        Run(clock);

        Assert.Equal([(5, 1, 1_000), (1, 1, 40_001_000), (2, 1, 40_001_000), (5, 2, 40_002_000)], device.Signalled);
    }

    [Fact]
    public void A_model_prefills_10000_tokens_and_decodes_25_steps_a_second()
    {
        // The second request is prefilled behind the first, beside whose decode steps there is time for 400 tokens each.
        var result = ElasticRun.Serve([[new ServedRequest(0, 10_000, 5), new ServedRequest(0, 1_000, 1)]], 8L << 30, isShared: true);

        Assert.Equal([1.0, 1.12], result.TimesToFirstToken[0]);
        Assert.Equal(1.16, result.Seconds[0]);
        Assert.Equal(11_006, result.Tokens);
    }

    [Fact]
    public void A_burst_waits_for_its_third_where_the_pool_is_split_and_borrows_the_rest_where_it_is_shared()
    {
        var split = ElasticRun.Serve(Burst(), 6L << 30, isShared: false);
        var shared = ElasticRun.Serve(Burst(), 6L << 30, isShared: true);
        var again = ElasticRun.Serve(Burst(), 6L << 30, isShared: true);

        // 2 GiB hold one request of 10,000 tokens, 6 GiB hold four: those run side by side, and each waits for the prompts before it alone.
        Assert.Equal([1.0, 2.0, 3.0, 4.0], shared.TimesToFirstToken[0].Select(time => Math.Round(time)));
        Assert.Equal([1.0, 6.0, 11.0, 16.0], split.TimesToFirstToken[0].Select(time => Math.Round(time)));
        Assert.Equal(shared.TimesToFirstToken[0], again.TimesToFirstToken[0]);
        Assert.Equal(shared.LinkGigabytes, again.LinkGigabytes);
    }

    [Fact]
    public void A_tenant_gets_its_part_back_from_one_that_has_borrowed_it()
    {
        // Four of the first model take 5 GiB; the second comes for 1.3 while they decode.
        var requests = Burst(outputTokens: 401);
        requests[1] = [new ServedRequest(5 * Gigabyte, 10_000, 100)];
        var shared = ElasticRun.Serve(requests, 6L << 30, isShared: true);

        Assert.InRange(shared.TimesToFirstToken[1][0], 1.0, 1.5);
        Assert.True(shared.EvictedBlocks > 0 && shared.ReloadedBlocks > 0, $"{shared.EvictedBlocks} blocks evicted, {shared.ReloadedBlocks} reloaded.");
    }

    [Theory]
    [InlineData(98.1, true)]
    [InlineData(97.9, false)]
    [InlineData(102.1, false)]
    public void Sides_that_do_not_get_through_as_much_fail_the_line(double split, bool holds) => Assert.Equal(holds, ElasticSides.MissedThroughput(split, 100) is null);

    private static ServedRequest[][] Burst(int outputTokens = 101) => [[.. Enumerable.Range(0, 4).Select(_ => new ServedRequest(0, 10_000, outputTokens))], [], []];

    private static CommandList Copy(DeviceMemory target, DeviceMemory source, long bytes)
    {
        var commands = new CommandList();
        commands.Copy(target, target == source ? 2 * Gigabyte : 0, source, 0, bytes);
        return commands;
    }

    private static void Run(VirtualClock clock)
    {
        while (clock.TryAdvance())
        {
        }
    }

    private sealed class RecordingDevice
    {
        public RecordingDevice(VirtualClock clock, VirtualLink link) =>
            Device = new VirtualDevice(clock, link, _pool, _cold) { Signalled = (timeline, value) => Signalled.Add((timeline, (int)value, clock.Now)) };

        public VirtualDevice Device { get; }

        public List<(int Timeline, int Value, long Time)> Signalled { get; } = [];

        public void Submit(int queue, Point[] waits, CommandList commands, Point signal) =>
            Device.Submit(queue, [.. waits.Select(point => new EngineWait(point, default))], commands, signal);
    }
}
