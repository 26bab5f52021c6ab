using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Host;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>What the cpu device promises beyond the contract.</summary>
public sealed class CpuDeviceTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 3, Kernels = CpuTestKernels.All });
    private readonly CommandList _commands = new();

    public void Dispose() => _device.Dispose();

    [Fact]
    public void Options_outside_their_range_are_typed_errors_that_name_them()
    {
        AssertRefused(nameof(CpuDeviceOptions.Workers), new CpuDeviceOptions { Workers = 0 });
        AssertRefused(nameof(CpuDeviceOptions.Workers), new CpuDeviceOptions { Workers = CpuDevice.MaxWorkers + 1 });
        AssertRefused(nameof(CpuDeviceOptions.WorkerSpinMicroseconds), new CpuDeviceOptions { WorkerSpinMicroseconds = -1 });
        AssertRefused(nameof(CpuDeviceOptions.WorkerSpinMicroseconds), new CpuDeviceOptions { WorkerSpinMicroseconds = double.NaN });
        AssertRefused(nameof(CpuDeviceOptions.MaxBytes), new CpuDeviceOptions { MaxBytes = 0 });

        static void AssertRefused(string name, CpuDeviceOptions options) =>
            Assert.Contains(name, Assert.Throws<ArgumentOutOfRangeException>(() => new CpuDevice(options)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Two_kernels_of_one_name_are_refused()
    {
        AssertRefused(CpuTestKernels.All[0].Name, [.. CpuTestKernels.All, CpuTestKernels.All[0]]);
        AssertRefused(CpuKernelLibrary.All[0].Name, [CpuKernelLibrary.All[0]]);
        AssertRefused("Kernel", [default]);

        static void AssertRefused(string name, IReadOnlyList<CpuKernel> kernels) =>
            Assert.Contains(name, Assert.Throws<ArgumentException>(() => new CpuDevice(new CpuDeviceOptions { Kernels = kernels })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Kernels_of_the_library_are_there() =>
        Assert.All(CpuKernelLibrary.All, k => Assert.Equal(k.Name, _device.LoadKernel(k.Name).Name));

    [Fact]
    public void Memory_is_counted_by_kind_in_whole_pages()
    {
        var (first, second) = (_device.Allocate(4096, MemoryKind.Device, "first"), _device.Allocate(4097, MemoryKind.Device, "second"));
        var host = _device.Allocate(1, MemoryKind.Host, "host");
        Assert.Equal((3 * 4096, 4096), (_device.DeviceBytes, _device.HostBytes));
        first.Dispose();
        first.Dispose();
        host.Dispose();
        Assert.Equal((2 * 4096, 0), (_device.DeviceBytes, _device.HostBytes));
        Assert.Equal((3 * 4096, 4096), (_device.DeviceBytesPeak, _device.HostBytesPeak));
        second.Dispose();
        Assert.Equal((0, 3 * 4096), (_device.DeviceBytes, _device.DeviceBytesPeak));
    }

    [Fact]
    public void Memory_is_limited_over_both_kinds_and_what_is_freed_can_be_had_again()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Workers = 1, MaxBytes = 4 * 4096 });
        var half = device.Allocate(2 * 4096, MemoryKind.Device, "half");
        var e = Assert.Throws<OutOfDeviceMemoryException>(() => device.Allocate((2 * 4096) + 1, MemoryKind.Host, "more"));
        Assert.Contains("8193", e.Message, StringComparison.Ordinal);
        Assert.Contains("16384", e.Message, StringComparison.Ordinal);
        half.Dispose();
        device.Allocate(4 * 4096, MemoryKind.Host, "all");
    }

    [Fact]
    public void What_is_disposed_is_not_usable()
    {
        var (memory, timeline, queue) = (_device.Allocate(4096, MemoryKind.Host, "gone"), _device.CreateTimeline("gone"), _device.CreateQueue("queue"));
        var live = _device.CreateTimeline("live");
        _commands.Fill(memory, 0, 16, 1);
        memory.Dispose();
        timeline.Dispose();
        timeline.Dispose();
        Assert.Throws<ObjectDisposedException>(() => memory.Address);
        Assert.Throws<ObjectDisposedException>(() => memory.HostSpan(0, 1).Length);
        Assert.Throws<ObjectDisposedException>(() => timeline.Value);
        Assert.Throws<ObjectDisposedException>(() => timeline.Signal(1));
        Assert.Throws<ObjectDisposedException>(() => queue.Submit([], _commands, new TimelinePoint(live, 1)));
        _device.Dispose();
        Assert.Throws<ObjectDisposedException>(() => _device.Allocate(1, MemoryKind.Device, "late"));
        Assert.Throws<ObjectDisposedException>(() => _device.CreateQueue("late"));
        Assert.Throws<ObjectDisposedException>(() => _device.CreateTimeline("late"));
    }

    [Fact]
    public void Timelines_are_as_many_as_one_likes_and_start_at_0_where_others_lay()
    {
        for (var round = 0; round < 3; round++)
        {
            var timelines = Enumerable.Range(0, (2 * TimelineSlab.Slots) + 1).Select(i => _device.CreateTimeline($"timeline {i}")).ToArray();
            for (var i = 0; i < timelines.Length; i++)
            {
                Assert.Equal(0ul, timelines[i].Value);
                timelines[i].Signal((ulong)i + 1);
            }

            for (var i = 0; i < timelines.Length; i++)
            {
                Assert.Equal((ulong)i + 1, timelines[i].Value);
                timelines[i].Dispose();
            }
        }
    }

    [Fact]
    public void A_value_past_the_largest_is_a_typed_error()
    {
        var (timeline, queue) = (_device.CreateTimeline("timeline"), _device.CreateQueue("queue"));
        timeline.Signal(DeviceTimeline.MaxValue);
        Assert.Throws<ArgumentOutOfRangeException>(() => timeline.Signal(DeviceTimeline.MaxValue + 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => queue.Submit([], _commands, new TimelinePoint(timeline, DeviceTimeline.MaxValue + 1)));
    }

    [Fact]
    public void Waiting_on_the_host_ends_with_the_timeout()
    {
        var timeline = _device.CreateTimeline("timeline");
        Assert.False(timeline.WaitOnHost(1, TimeSpan.Zero));
        Assert.False(timeline.WaitOnHost(1, TimeSpan.FromMilliseconds(5)));
        timeline.Signal(1);
        Assert.True(timeline.WaitOnHost(1, TimeSpan.Zero));
        Assert.True(timeline.WaitOnHost(1, Timeout.InfiniteTimeSpan));
    }

    [Fact]
    public void Workers_are_numbered_below_their_count_and_arguments_are_aligned()
    {
        const int Launches = 300;
        var words = _device.Allocate(4096, MemoryKind.Host, "words");
        var kernel = _device.LoadKernel(CpuTestKernels.CheckWorkers);
        var arguments = new WorkerArguments { Taken = words.Address, Errors = words.Address + 1024, Workers = _device.Workers, Items = 7 };
        for (var i = 0; i < Launches; i++)
        {
            // Table entries take 8 bytes, so that arguments follow at an address that is not aligned by itself.
            _commands.UpdateTable(words, 1000, 1);
            _commands.Launch(kernel, arguments);
        }

        var point = new TimelinePoint(_device.CreateTimeline("timeline"), 1);
        _device.CreateQueue("queue").Submit([], _commands, point);
        Assert.True(point.Timeline.WaitOnHost(1, Patience));
        Assert.Equal(0, MemoryMarshal.Read<int>(words.HostSpan(1024, 4)));
    }

    [Fact]
    public void A_launch_ends_after_the_last_item_of_a_slow_helper()
    {
        var words = _device.Allocate(64, MemoryKind.Host, "words");
        _commands.Launch(_device.LoadKernel(CpuTestKernels.SlowHelper), new SlowHelperArguments { Begun = words.Address, Result = words.Address + 4 });
        _commands.Copy(words, 8, words, 4, 4);
        var point = new TimelinePoint(_device.CreateTimeline("timeline"), 1);
        _device.CreateQueue("queue").Submit([], _commands, point);
        Assert.True(point.Timeline.WaitOnHost(1, Patience));
        Assert.Equal(1, MemoryMarshal.Read<int>(words.HostSpan(8, 4)));
    }

    [Fact]
    public unsafe void Nothing_can_be_claimed_of_a_launch_while_its_fields_are_written()
    {
        const int ItemsOffset = 80;
        var launches = GC.AllocateArray<KernelLaunch>(1, pinned: true);
        ref var launch = ref launches[0];
        launch.Prepare();
        Assert.False(launch.TryClaim(out _));
        launch.Open(CpuTestKernels.All[0], 0, null, 2);
        Assert.True(launch.TryClaim(out var first) && launch.TryClaim(out var second) && first.Item == 0 && second.Item == 1);
        Assert.False(launch.TryClaim(out _));
        launch.Close();

        // What a helper may see in the middle of the next Open.
        MemoryMarshal.Write(MemoryMarshal.AsBytes(launches.AsSpan())[ItemsOffset..], int.MaxValue);
        Assert.False(launch.TryClaim(out _));
    }

    [Theory]
    [InlineData(CpuTestKernels.Throw)]
    [InlineData(CpuTestKernels.NegativeItems)]
    public async Task A_kernel_that_fails_loses_the_device_and_is_named(string failing)
    {
        var (queue, other) = (_device.CreateQueue("failing"), _device.CreateQueue("other"));
        var (timeline, gate) = (_device.CreateTimeline("timeline"), _device.CreateTimeline("gate"));
        var word = _device.Allocate(4, MemoryKind.Host, "word");
        other.Submit([new WaitPoint(timeline, 1)], _commands, new TimelinePoint(gate, 1));
        var waiting = Task.Run(() => gate.WaitOnHost(1, Patience));

        _commands.Launch(_device.LoadKernel(failing), 0ul);
        _commands.UpdateTable(word, 0, 1);
        queue.Submit([], _commands, new TimelinePoint(timeline, 1));

        AssertNamed(Assert.Throws<DeviceLostException>(() => timeline.WaitOnHost(1, Patience)));
        AssertNamed(await Assert.ThrowsAsync<DeviceLostException>(() => waiting));
        AssertNamed(Assert.Throws<DeviceLostException>(() => other.Submit([], _commands, new TimelinePoint(timeline, 2))));
        AssertNamed(_device.Fault!);
        Assert.Equal(0ul, timeline.Value);
        Assert.Equal(0, MemoryMarshal.Read<int>(word.HostSpan(0, 4)));
        _device.Dispose();

        void AssertNamed(DeviceLostException e) => Assert.Contains(failing, e.Message, StringComparison.Ordinal);
    }
}
