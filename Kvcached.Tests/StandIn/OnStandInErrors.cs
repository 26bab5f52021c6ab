using Kvcached.Devices;
using Kvcached.Devices.Cuda;
using Kvcached.Kernels.Gpu;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.StandIn;

/// <summary>What a program is told that opens a device whose kernels the driver cannot compile.</summary>
public sealed class OnStandInErrors
{
    [OnStandInFact]
    public void Kernels_that_the_driver_cannot_compile_are_named_with_its_log()
    {
        var broken = new GpuKernel("test.broken", new GpuSource("broken", typeof(OnStandInErrors).Assembly, "broken.cl"), ["test_broken"], static (_, _) => default);
        var e = Assert.Throws<DeviceUnavailableException>(() => new CudaDevice(new CudaDeviceOptions { Kernels = [broken] }));
        Assert.Contains("'broken'", e.Message, StringComparison.Ordinal);
        Assert.Contains("CUDA_ERROR_INVALID_PTX", e.Message, StringComparison.Ordinal);
        Assert.Contains("undeclared_in_broken", e.Message, StringComparison.Ordinal);
    }

    [OnStandInFact]
    public void What_the_device_has_no_room_for_is_refused_with_size_and_purpose_and_the_device_goes_on()
    {
        using var device = new CudaDevice();
        var e = Assert.Throws<OutOfDeviceMemoryException>(() => device.Allocate(1L << 40, MemoryKind.Device, "far too much", SharedAccess.ReadWriteForOthers));
        Assert.Contains("far too much", e.Message, StringComparison.Ordinal);
        Assert.Contains($"{1L << 40}", e.Message, StringComparison.Ordinal);
        device.Allocate(4096, MemoryKind.Device, "little").Dispose();
    }
}

/// <summary>A process whose first command that runs fails (ILL_COMMAND=1): one test, since nothing works after it.</summary>
public sealed class OnLostStandIn
{
    [OnStandInFact]
    public void A_device_that_is_lost_says_so_to_everyone_and_is_disposed()
    {
        var device = new CudaDevice(new CudaDeviceOptions { Kernels = GpuTestKernels.All });
        var (queue, other, done) = (device.CreateQueue("queue"), device.CreateQueue("other"), device.CreateTimeline("done"));
        var (host, never) = (device.Allocate(4096, MemoryKind.Host, "host"), device.CreateTimeline("never"));
        other.Submit([new WaitPoint(never, 1)], new CommandList(), new TimelinePoint(never, 2));
        queue.Submit([], new CommandList(), new TimelinePoint(done, 1));
        var e = Assert.Throws<DeviceLostException>(() => done.WaitOnHost(1, TimeSpan.FromSeconds(20)));
        Assert.StartsWith($"{device.Name} is lost", e.Message, StringComparison.Ordinal);
        Assert.Contains("CUDA_ERROR_ILLEGAL_ADDRESS", e.Message, StringComparison.Ordinal);
        Assert.Contains("start it again", e.Message, StringComparison.Ordinal);
        Assert.Throws<DeviceLostException>(() => other.Submit([], new CommandList(), new TimelinePoint(done, 2)));
        Assert.Throws<DeviceLostException>(() => device.CreateQueue("late"));
        Assert.Throws<DeviceLostException>(() => device.Allocate(4096, MemoryKind.Device, "late"));
        Assert.Throws<DeviceLostException>(() => never.WaitOnHost(1, TimeSpan.FromSeconds(20)));
        host.Dispose();
        device.Dispose();
        Assert.Throws<DeviceLostException>(() => new CudaDevice());
    }
}
