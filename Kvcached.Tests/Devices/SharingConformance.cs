using System.ComponentModel;
using System.Globalization;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Cuda;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Kvcached.Devices.OpenCl;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>The suite on cpu devices.</summary>
public sealed class CpuSharingConformance() : SharingConformance(() => new CpuDevice(new CpuDeviceOptions { Workers = 1 }));

/// <summary>The suite on OpenCL devices that use the host's memory.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClSharingConformance() : SharingConformance(() => new OpenClDevice())
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaSharingConformance() : SharingConformance(() => new CudaDevice())
{
    [CudaFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>Memory and timelines of two devices, as two processes would have them: what one imports is another mapping of the same memory.</summary>
public abstract class SharingConformance : IDisposable
{
    private const ulong Large = 1ul << 40;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(20);

    private readonly MappedDevice _owner;
    private readonly MappedDevice _peer;
    private readonly CommandList _commands = new();

    private protected SharingConformance(Func<MappedDevice> open) => (_owner, _peer) = (open(), open());

    public void Dispose()
    {
        _owner.Dispose();
        _peer.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public void What_one_writes_the_other_reads()
    {
        var (memory, imported) = Share(8192, SharedAccess.ReadWriteForOthers);
        memory.HostSpan(4096, 1)[0] = 7;
        Assert.Equal(7, imported.HostSpan(4096, 1)[0]);
        imported.HostSpan(1, 1)[0] = 8;
        Assert.Equal(8, memory.HostSpan(1, 1)[0]);
        Assert.Equal((8192, 0), (_owner.HostBytes, _peer.HostBytes));
    }

    [Fact]
    public void Memory_shared_for_reading_is_read_by_others_and_written_by_its_owner()
    {
        var (memory, imported) = Share(4096, SharedAccess.ReadOnlyForOthers);
        memory.HostSpan(0, 1)[0] = 7;
        Assert.Equal(7, imported.HostSpan(0, 1)[0]);
        var (target, queue, done) = (_peer.Allocate(4096, MemoryKind.Host, "target"), _peer.CreateQueue("queue"), _peer.CreateTimeline("done"));
        _commands.Copy(target, 0, imported, 0, 16);
        queue.Submit([], _commands, new TimelinePoint(done, 1));
        Assert.True(done.WaitOnHost(1, Patience));
        Assert.Equal(7, target.HostSpan(0, 1)[0]);
    }

    [Fact]
    public void Commands_that_would_write_what_may_only_be_read_are_refused()
    {
        var (_, imported) = Share(4096, SharedAccess.ReadOnlyForOthers);
        var (queue, done) = (_peer.CreateQueue("queue"), _peer.CreateTimeline("done"));
        AssertRefused(c => c.Fill(imported, 0, 16, 1));
        AssertRefused(c => c.Copy(imported, 0, imported, 64, 16));
        AssertRefused(c => c.UpdateTable(imported, 0, 1));

        void AssertRefused(Action<CommandList> record)
        {
            _commands.Clear();
            record(_commands);
            var e = Assert.Throws<InvalidOperationException>(() => queue.Submit([], _commands, new TimelinePoint(done, 1)));
            Assert.Contains("shared", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Who_may_only_read_gets_no_mapping_to_write_by_any_way()
    {
        var (memory, _) = Share(4096, SharedAccess.ReadOnlyForOthers);
        Assert.Throws<OutOfDeviceMemoryException>(() => _peer.Import(Copy(memory), 4096, MemoryKind.Host, SharedAccess.ReadWriteForOthers, "written"));
        var path = $"/proc/self/fd/{Number(_owner.DescriptorOf(memory))}";
        using var reopened = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        Assert.Throws<Win32Exception>(() => SharedMapping.Import(SocketPair.Copy(reopened), 4096, writable: true));
        Assert.ThrowsAny<Exception>(() => RandomAccess.Write(reopened, [1], 0));
        Assert.Equal(0, memory.HostSpan(0, 1)[0]);
    }

    [Theory]
    [InlineData(SharedAccess.ReadOnlyForOthers)]
    [InlineData(SharedAccess.ReadWriteForOthers)]
    public void Nobody_changes_the_size_of_what_is_shared(SharedAccess access)
    {
        var (memory, _) = Share(8192, access);
        Assert.Equal(-1, LibC.Ftruncate(_owner.DescriptorOf(memory), 4096));
        Assert.Equal(-1, LibC.Ftruncate(_owner.DescriptorOf(memory), 16384));
    }

    [Fact]
    public void Memory_shared_for_writing_is_discarded_by_its_owner_alone()
    {
        var (memory, imported) = Share(8192, SharedAccess.ReadWriteForOthers);
        imported.HostSpan(4096, 1)[0] = 7;
        memory.Discard(4096, 4096);
        Assert.Equal(0, imported.HostSpan(4096, 1)[0]);
        Assert.Throws<InvalidOperationException>(() => imported.Discard(0, 4096));
        var (sealedMemory, _) = Share(4096, SharedAccess.ReadOnlyForOthers);
        Assert.Throws<InvalidOperationException>(() => sealedMemory.Discard(0, 4096));
    }

    [Fact]
    public void What_is_smaller_than_was_said_or_could_become_so_is_not_imported()
    {
        var (memory, _) = Share(4096, SharedAccess.ReadWriteForOthers);
        AssertRefused(Copy(memory), 4097);
        using var open = SharedMapping.Create(4096, "open");
        AssertRefused(SocketPair.Copy(open.Descriptor), 4096);
        var path = Path.GetTempFileName();
        AssertRefused(File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite), 1);
        File.Delete(path);

        void AssertRefused(SafeFileHandle descriptor, long bytes)
        {
            Assert.Throws<ArgumentException>(() => _peer.Import(descriptor, bytes, MemoryKind.Host, SharedAccess.ReadWriteForOthers, "refused"));
            Assert.True(descriptor.IsClosed);
        }
    }

    [Fact]
    public void Only_what_was_allocated_here_to_be_shared_has_a_descriptor()
    {
        var (_, imported) = Share(4096, SharedAccess.ReadWriteForOthers);
        Assert.Throws<InvalidOperationException>(() => _owner.DescriptorOf(_owner.Allocate(4096, MemoryKind.Host, "private")));
        Assert.Throws<InvalidOperationException>(() => _peer.DescriptorOf(imported));
        Assert.Throws<ArgumentException>(() => _owner.DescriptorOf(imported));
    }

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

    private static long Number(SafeFileHandle descriptor) => descriptor.DangerousGetHandle();

    private static ulong CountOf(SafeFileHandle eventDescriptor)
    {
        var line = File.ReadLines($"/proc/self/fdinfo/{Number(eventDescriptor)}").Single(l => l.StartsWith("eventfd-count:", StringComparison.Ordinal));
        return ulong.Parse(line["eventfd-count:".Length..].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }

    private SafeFileHandle Copy(DeviceMemory memory) => SocketPair.Copy(_owner.DescriptorOf(memory));

    private (DeviceMemory Memory, DeviceMemory Imported) Share(long bytes, SharedAccess access)
    {
        var memory = _owner.Allocate(bytes, MemoryKind.Host, "shared", access);
        return (memory, _peer.Import(Copy(memory), bytes, MemoryKind.Host, access, "shared"));
    }

    private (DeviceTimeline Owner, DeviceTimeline Peer) Timelines(SharedAccess access, ulong value) => Timelines(access, value, out _, out _);

    private (DeviceTimeline Owner, DeviceTimeline Peer) Timelines(SharedAccess access, ulong value, out DeviceMemory memory, out DeviceMemory imported)
    {
        (memory, imported) = Share(4096, access);
        return (_owner.CreateTimeline(memory, 128, value, "timeline"), _peer.ImportTimeline(imported, 128, "timeline"));
    }

    /// <summary>A timeline of the owner's, and memory in which another may write its words, at byte 0.</summary>
    private (DeviceTimeline Owner, DeviceTimeline Peer, DeviceMemory Words) HostileTimeline()
    {
        var (memory, imported) = Share(4096, SharedAccess.ReadWriteForOthers);
        return (_owner.CreateTimeline(memory, 0, 0, "hostile"), _peer.ImportTimeline(imported, 0, "hostile"), imported);
    }
}
