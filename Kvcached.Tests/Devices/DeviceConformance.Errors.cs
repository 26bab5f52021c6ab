using Kvcached.Devices;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>What a device refuses, and how it ends.</summary>
public abstract partial class DeviceConformance
{
    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(long.MinValue)]
    public void Memory_has_a_positive_size(long bytes) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Device.Allocate(bytes, MemoryKind.Device, "impossible"));

    [Fact]
    public void Memory_that_the_device_has_not_got_is_a_typed_error_that_names_the_size()
    {
        var e = Assert.Throws<OutOfDeviceMemoryException>(() => Device.Allocate(1L << 60, MemoryKind.Device, "too much"));
        Assert.Contains((1L << 60).ToString(), e.Message, StringComparison.Ordinal);
        Assert.Contains("too much", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_unknown_kernel_is_a_typed_error_that_lists_those_there_are()
    {
        var e = Assert.Throws<KernelNotFoundException>(() => Device.LoadKernel("test.unknown"));
        Assert.Contains("test.unknown", e.Message, StringComparison.Ordinal);
        Assert.Contains(TestKernels.AddU32, e.Message, StringComparison.Ordinal);
        Assert.Contains(TestKernels.CopyIndirect, e.Message, StringComparison.Ordinal);
        Assert.Equal(TestKernels.AddU32, Device.LoadKernel(TestKernels.AddU32).Name);
    }

    [Theory]
    [InlineData(-1, 1)]
    [InlineData(0, 0)]
    [InlineData(0, -1)]
    [InlineData(0, 17)]
    [InlineData(16, 1)]
    [InlineData(long.MaxValue, long.MaxValue)]
    public void A_range_outside_its_memory_is_a_typed_error_and_adds_no_command(long offset, long bytes)
    {
        var (memory, other) = (DeviceWords(4), DeviceWords(64));
        var commands = Commands();
        Assert.Throws<ArgumentOutOfRangeException>(() => commands.Fill(memory, offset, bytes, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => commands.Copy(memory, offset, other, 0, bytes));
        Assert.Throws<ArgumentOutOfRangeException>(() => commands.Copy(other, 0, memory, offset, bytes));
        Assert.Throws<ArgumentOutOfRangeException>(() => commands.UpdateTable(memory, 4, 1));
        Assert.True(commands.IsEmpty);
    }

    [Fact]
    public void Device_memory_has_no_host_span()
    {
        var memory = DeviceWords(4, "a device's own");
        var e = Assert.Throws<InvalidOperationException>(() => memory.HostSpan(0, 4).Length);
        Assert.Contains("a device's own", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-1, 1)]
    [InlineData(0, -1)]
    [InlineData(0, 17)]
    [InlineData(17, 0)]
    [InlineData(long.MaxValue, int.MaxValue)]
    public void A_host_span_outside_its_memory_is_a_typed_error(long offset, int bytes)
    {
        var memory = HostWords(4);
        Assert.Throws<ArgumentOutOfRangeException>(() => memory.HostSpan(offset, bytes).Length);
    }

    [Fact]
    public void What_belongs_to_another_device_is_refused_and_nothing_is_submitted()
    {
        using var other = CreateFixture();
        var (foreignMemory, foreignTimeline) = (other.Device.Allocate(16, MemoryKind.Device, "foreign"), other.Device.CreateTimeline("foreign"));
        var foreignKernel = other.Device.LoadKernel(TestKernels.AddU32);
        var words = Filled(1, 2, 3, 4);
        var queue = Queue();
        var timeline = Timeline();

        Assert.Throws<ArgumentException>(() => queue.Submit([], WithFill(c => c.Copy(words, 0, foreignMemory, 0, 4)), At(timeline, 1)));
        Assert.Throws<ArgumentException>(() => queue.Submit([], WithFill(c => c.UpdateTable(foreignMemory, 0, 4)), At(timeline, 1)));
        Assert.Throws<ArgumentException>(() => queue.Submit([], WithFill(c => c.Launch(foreignKernel, default(AddArguments))), At(timeline, 1)));
        Assert.Throws<ArgumentException>(() => queue.Submit(Waits(At(foreignTimeline, 0)), WithFill(), At(timeline, 1)));
        Assert.Throws<ArgumentException>(() => queue.Submit([], WithFill(), At(foreignTimeline, 1)));

        queue.Submit([], Commands(), At(timeline, 2));
        Assert.Equal([1u, 2, 3, 4], Read(words, At(timeline, 2)));

        CommandList WithFill(Action<CommandList>? more = null) => Commands(c =>
        {
            c.Fill(words, 0, 16, 0xff);
            more?.Invoke(c);
        });
    }

    [Fact]
    public void A_disposed_queue_takes_no_submission_and_the_others_go_on()
    {
        var (ended, alive) = (Queue("ended"), Queue("alive"));
        var (gate, point) = (Timeline("gate"), At(Timeline(), 1));
        ended.Submit(Waits(At(gate, 1)), Commands(), At(Timeline("given up"), 1));
        ended.Dispose();
        ended.Dispose();
        Assert.Throws<ObjectDisposedException>(() => ended.Submit([], Commands(), point));
        gate.Signal(1);
        alive.Submit(Waits(At(gate, 1)), Commands(), point);
        AssertReached(point);
    }

    [Fact]
    public void Submissions_that_have_not_started_when_their_queue_ends_are_given_up()
    {
        var queue = Queue();
        var (gate, point) = (Timeline("gate"), At(Timeline(), 1));
        var words = Filled(1);
        queue.Submit(Waits(At(gate, 1)), Commands(c => c.UpdateTable(words, 0, 2)), point);
        queue.Dispose();
        gate.Signal(1);
        AssertNotReached(point);
        Assert.Equal([1u], Read(words, At(gate, 1)));
    }

    [Fact]
    public async Task A_device_with_work_outstanding_is_disposed_at_once()
    {
        var gate = Timeline("a gate that never opens");
        var timeline = Timeline();
        foreach (var queue in Enumerable.Range(0, 4).Select(i => Queue($"queue {i}")).ToArray())
        {
            for (var i = 1ul; i <= 10; i++)
            {
                queue.Submit(Waits(At(gate, i)), Commands(), At(timeline, i));
            }
        }

        await Task.Run(Fixture.Dispose).WaitAsync(Patience);
        _fixture = null;
    }
}
