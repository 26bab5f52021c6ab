using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>Timelines that lie in shared memory, and bells that others ring.</summary>
public abstract partial class SharingConformance
{
    [Theory]
    [InlineData(SharedAccess.ReadOnlyForOthers)]
    [InlineData(SharedAccess.ReadWriteForOthers)]
    public async Task Queue_and_host_of_one_wait_for_what_a_queue_of_the_other_signals(SharedAccess access)
    {
        var (begin, seen) = Timelines(access, 41);
        var (work, done) = (_peer.CreateQueue("waits"), _peer.CreateTimeline("done"));
        Assert.Equal(41ul, seen.Value);
        work.Submit([new WaitPoint(seen, 42)], _commands, new TimelinePoint(done, 1));
        var host = Task.Run(() => seen.WaitOnHost(42, Patience));
        Assert.False(done.WaitOnHost(1, Moment));
        _owner.CreateQueue("signals").Submit([], _commands, new TimelinePoint(begin, 42));
        Assert.True(done.WaitOnHost(1, Patience));
        Assert.True(await host);
        Assert.Equal(42ul, seen.Value);
    }

    [Fact]
    public void A_timeline_that_may_be_written_is_signalled_by_both()
    {
        var (mine, theirs) = Timelines(SharedAccess.ReadWriteForOthers, 0);
        theirs.Signal(2);
        Assert.True(mine.WaitOnHost(2, Patience));
        mine.Signal(3);
        Assert.Equal(3ul, theirs.Value);
    }

    [Fact]
    public void A_timeline_that_may_only_be_read_is_not_signalled()
    {
        var (_, seen) = Timelines(SharedAccess.ReadOnlyForOthers, 0);
        Assert.Throws<InvalidOperationException>(() => seen.Signal(1));
        Assert.Throws<InvalidOperationException>(() => _peer.Poison(seen, 1));
        Assert.Throws<InvalidOperationException>(() => _peer.CreateQueue("queue").Submit([], _commands, new TimelinePoint(seen, 1)));
        Assert.Throws<InvalidOperationException>(() => _peer.CreateTimeline(Share(4096, SharedAccess.ReadWriteForOthers).Imported, 0, 0, "theirs"));
    }

    [Fact]
    public void A_timeline_lies_whole_and_aligned_in_shared_memory()
    {
        var (memory, imported) = Share(4096, SharedAccess.ReadWriteForOthers);
        Assert.Throws<InvalidOperationException>(() => _owner.CreateTimeline(_owner.Allocate(4096, MemoryKind.Host, "private"), 0, 0, "timeline"));
        foreach (var offset in (long[])[-64, 8, 4096, long.MaxValue - 63])
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => _owner.CreateTimeline(memory, offset, 0, "timeline"));
            Assert.Throws<ArgumentOutOfRangeException>(() => _peer.ImportTimeline(imported, offset, "timeline"));
        }
    }

    [Theory]
    [InlineData(SharedAccess.ReadOnlyForOthers)]
    [InlineData(SharedAccess.ReadWriteForOthers)]
    public void A_queue_that_waits_for_another_process_ends_when_it_is_disposed(SharedAccess access)
    {
        var (_, seen) = Timelines(access, 0);
        var queue = _peer.CreateQueue("waits");
        queue.Submit([new WaitPoint(seen, 1)], _commands, new TimelinePoint(_peer.CreateTimeline("done"), 1));
        Assert.False(seen.WaitOnHost(1, Moment));
        queue.Dispose();
    }

    [Fact]
    public void A_ring_that_never_comes_delays_a_wait_and_does_not_block_it()
    {
        var (mine, _, words) = HostileTimeline();
        var (queue, done) = (_owner.CreateQueue("waits"), _owner.CreateTimeline("done"));
        queue.Submit([new WaitPoint(mine, 1)], _commands, new TimelinePoint(done, 1));
        Assert.False(done.WaitOnHost(1, Moment));
        Volatile.Write(ref MemoryMarshal.Cast<byte, ulong>(words.HostSpan(0, 8))[0], 1);
        Assert.True(done.WaitOnHost(1, Patience));
    }

    [Fact]
    public void Poison_wakes_where_the_words_say_that_nobody_waits()
    {
        var (mine, _, words) = HostileTimeline();
        var (queue, done) = (_owner.CreateQueue("waits"), _owner.CreateTimeline("done"));
        queue.Submit([new WaitPoint(mine, 1)], _commands, new TimelinePoint(done, 1));
        Assert.False(done.WaitOnHost(1, Moment));
        words.HostSpan(8, 8).Clear();
        _owner.Poison(mine, Large);
        Assert.True(done.WaitOnHost(1, Patience));
        Assert.Equal(Large, mine.Value);

        // It would have looked again by itself, but has been called.
        Assert.NotEqual(0u, MemoryMarshal.Read<uint>(words.HostSpan(8, 4)));
    }

    [Fact]
    public async Task Signal_and_poison_end_while_another_writes_the_words()
    {
        var (mine, _, words) = HostileTimeline();
        using var stop = new CancellationTokenSource();
        var scribbler = Task.Run(() =>
        {
            var random = new Random(1);
            while (!stop.IsCancellationRequested)
            {
                random.NextBytes(words.HostSpan(0, 16));
                words.HostSpan(0, 8).Clear();
            }
        });
        for (var i = 0; i < 2000; i++)
        {
            _owner.Poison(mine, DeviceTimeline.MaxValue);
            mine.Signal(DeviceTimeline.MaxValue);
        }

        await stop.CancelAsync();
        await scribbler;
        _owner.Poison(mine, 5);
        Assert.InRange(mine.Value, 5ul, DeviceTimeline.MaxValue);
    }

    [Fact]
    public void A_value_past_the_largest_is_read_as_the_largest()
    {
        var (mine, _, words) = HostileTimeline();
        words.HostSpan(0, 8).Fill(0xff);
        Assert.Equal(DeviceTimeline.MaxValue, mine.Value);
        Assert.True(mine.WaitOnHost(DeviceTimeline.MaxValue, TimeSpan.Zero));
        _owner.Poison(mine, DeviceTimeline.MaxValue);
    }

    [Fact]
    public async Task What_is_waited_for_stays_mapped_until_nobody_waits()
    {
        var (mine, seen) = Timelines(SharedAccess.ReadOnlyForOthers, 0, out var memory, out var imported);
        var (queue, done) = (_peer.CreateQueue("waits"), _peer.CreateTimeline("done"));
        queue.Submit([new WaitPoint(seen, 1)], _commands, new TimelinePoint(done, 1));
        var waits = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var host = Task.Factory.StartNew(
            () =>
            {
                waits.SetResult();
                return seen.WaitOnHost(1, Patience);
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        await waits.Task;
        Assert.False(seen.WaitOnHost(1, Moment));
        var mapping = ((MappedMemory)imported).Mapping;
        imported.Dispose();
        seen.Dispose();
        Assert.True(mapping.Descriptor.IsClosed);
        Assert.False(mapping.IsClosed);
        Assert.Throws<ObjectDisposedException>(() => seen.Value);
        Assert.Throws<ObjectDisposedException>(() => _peer.CreateQueue("late").Submit([new WaitPoint(seen, 1)], _commands, new TimelinePoint(done, 1)));

        mine.Signal(1);
        Assert.True(done.WaitOnHost(1, Patience));
        Assert.True(await host);
        queue.Dispose();
        Assert.True(mapping.IsClosed);
        memory.Dispose();
    }

    [Fact]
    public void What_no_queue_waits_for_is_unmapped_at_once()
    {
        var (mine, seen) = Timelines(SharedAccess.ReadOnlyForOthers, 0, out _, out var imported);
        var (queue, done) = (_peer.CreateQueue("waits"), _peer.CreateTimeline("done"));
        queue.Submit([new WaitPoint(seen, 1)], _commands, new TimelinePoint(done, 1));
        mine.Signal(1);
        Assert.True(done.WaitOnHost(1, Patience));
        var mapping = ((MappedMemory)imported).Mapping;
        Assert.True(SpinWait.SpinUntil(() => ((HostQueue)queue).IsPast(((HostQueue)queue).Accepted), Patience));
        imported.Dispose();
        Assert.True(mapping.IsClosed);
    }

    [Fact]
    public void A_bell_rings_after_signals_of_queue_and_host_if_it_is_asked_for()
    {
        var (memory, imported) = Share(4096, SharedAccess.ReadOnlyForOthers);
        var attention = MemoryMarshal.Cast<byte, uint>(memory.HostSpan(64, 4));
        var descriptor = EventFd.Create();
        using var bell = _peer.CreateBell(imported, 64, 2, SocketPair.Copy(descriptor));
        var (queue, timeline) = (_peer.CreateQueue("queue"), _peer.CreateTimeline("timeline"));
        _peer.Attach(timeline, bell);

        timeline.Signal(1);
        attention[0] = 1;
        timeline.Signal(2);
        Assert.Equal(0ul, CountOf(descriptor));
        attention[0] = 2;
        timeline.Signal(3);
        Assert.Equal(1ul, CountOf(descriptor));
        queue.Submit([], _commands, new TimelinePoint(timeline, 4));
        Assert.True(SpinWait.SpinUntil(() => ((HostQueue)queue).IsPast(((HostQueue)queue).Accepted), Patience));
        Assert.Equal(2ul, CountOf(descriptor));
        var gate = _peer.CreateTimeline("gate");
        queue.Submit([new WaitPoint(gate, 1)], _commands, new TimelinePoint(timeline, 5));
        gate.Signal(1);
        Assert.True(SpinWait.SpinUntil(() => ((HostQueue)queue).IsPast(((HostQueue)queue).Accepted), Patience));
        Assert.Equal(3ul, CountOf(descriptor));
        bell.Dispose();
        timeline.Signal(6);
        Assert.Equal(3ul, CountOf(descriptor));
    }

    [Fact]
    public void A_bell_whose_count_is_full_does_not_block()
    {
        var memory = _owner.Allocate(4096, MemoryKind.Host, "attention", SharedAccess.ReadWriteForOthers);
        MemoryMarshal.Cast<byte, uint>(memory.HostSpan(0, 4))[0] = 1;
        var descriptor = EventFd.Create();
        RandomAccess.Write(descriptor, BitConverter.GetBytes(ulong.MaxValue - 1), 0);
        using var bell = _owner.CreateBell(memory, 0, 1, descriptor);
        bell.Ring();
        bell.Ring();
    }
}
