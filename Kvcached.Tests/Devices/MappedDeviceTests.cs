using Kvcached.Devices;
using Kvcached.Devices.Host;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>What devices promise while their driver takes its time over something that is being made.</summary>
public sealed class MappedDeviceTests : IDisposable
{
    private const long MaxBytes = 1 << 20;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly SlowDevice _device = new();

    public void Dispose()
    {
        _device.Go.Set();
        _device.Dispose();
    }

    [Fact]
    public async Task Nobody_waits_for_the_driver_while_another_thread_allocates()
    {
        var kept = _device.Allocate(4096, MemoryKind.Host, "kept");
        var timeline = _device.CreateTimeline("timeline");
        var waiting = Task.Run(() => timeline.WaitOnHost(1, Patience));
        var slow = StartSlow(4096);

        var others = Task.Run(() =>
        {
            _device.Allocate(4096, MemoryKind.Host, "beside").Dispose();
            kept.Dispose();
            _device.CreateTimeline("beside").Dispose();
            _device.Lose("a command", new InvalidOperationException("broken"));
        });
        Assert.Same(others, await Task.WhenAny(others, Task.Delay(Patience)));
        await others;
        await Assert.ThrowsAsync<DeviceLostException>(() => waiting);
        Assert.False(slow.IsCompleted);
        _device.Go.Set();
        await slow;
    }

    [Fact]
    public async Task What_is_being_allocated_counts_and_what_fails_does_not_remain()
    {
        var slow = StartSlow(MaxBytes - 4096);
        var error = Assert.Throws<OutOfDeviceMemoryException>(() => _device.Allocate(8192, MemoryKind.Host, "more"));
        Assert.Contains($"{MaxBytes - 4096} of {MaxBytes} bytes are allocated", error.Message, StringComparison.Ordinal);
        _device.Allocate(4096, MemoryKind.Host, "the rest");
        Assert.Equal((0, 4096), (_device.DeviceBytes, _device.HostBytes));

        _device.Failure = new OutOfDeviceMemoryException("none");
        _device.Go.Set();
        await Assert.ThrowsAsync<OutOfDeviceMemoryException>(() => slow);
        Assert.Equal((0, 0), (_device.DeviceBytes, _device.DeviceBytesPeak));
        _device.Failure = null;
        _device.Allocate(MaxBytes - 4096, MemoryKind.Device, "now");
        Assert.Throws<OutOfDeviceMemoryException>(() => _device.Allocate(1, MemoryKind.Host, "more"));
    }

    [Fact]
    public void An_elastic_allocation_that_cannot_be_is_not_counted()
    {
        _device.Go.Set();
        _device.Failure = new OutOfDeviceMemoryException("none");
        Assert.Throws<OutOfDeviceMemoryException>(() => _device.AllocateElastic(MaxBytes, DeviceMemory.PageBytes, "elastic"));
        Assert.Throws<ArgumentOutOfRangeException>(() => _device.AllocateElastic(MaxBytes, 1, "elastic"));
        Assert.Equal((0, 0), (_device.DeviceBytes, _device.DeviceBytesPeak));

        _device.Failure = null;
        using var memory = _device.AllocateElastic(MaxBytes, DeviceMemory.PageBytes, "elastic");
        Assert.Equal(MaxBytes, _device.DeviceBytes);
    }

    [Fact]
    public async Task A_device_that_is_disposed_gives_back_what_was_being_made()
    {
        var slow = StartSlow(4096);
        var disposing = Task.Run(_device.Dispose);
        while (!IsDisposed())
        {
            await Task.Yield();
        }

        Assert.False(disposing.IsCompleted);
        _device.Go.Set();
        var memory = await slow;
        await disposing;
        Assert.Equal(0, _device.DeviceBytes);
        Assert.Throws<ObjectDisposedException>(() => memory.Address);

        bool IsDisposed()
        {
            try
            {
                _device.CreateTimeline("timeline").Dispose();
                return false;
            }
            catch (ObjectDisposedException)
            {
                return true;
            }
        }
    }

    /// <summary>Begins an allocation that ends once <see cref="SlowDevice.Go"/> is set.</summary>
    private Task<DeviceMemory> StartSlow(long bytes)
    {
        var task = Task.Factory.StartNew(() => _device.Allocate(bytes, MemoryKind.Device, "slow"), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Assert.True(_device.Entered.Wait(Patience));
        return task;
    }

    private sealed class SlowDevice() : MappedDevice("slow", MaxBytes)
    {
        internal ManualResetEventSlim Entered { get; } = new();

        internal ManualResetEventSlim Go { get; } = new();

        internal Exception? Failure { get; set; }

        private protected override HostQueue CreateQueueCore(string label) => throw new NotSupportedException();

        private protected override DeviceMemory AllocateCore(long bytes, MemoryKind kind, string label, SharedAccess access)
        {
            if (kind == MemoryKind.Device)
            {
                Entered.Set();
                Assert.True(Go.Wait(Patience));
                if (Failure != null)
                {
                    throw Failure;
                }
            }

            return base.AllocateCore(bytes, kind, label, access);
        }
    }
}
