using Kvcached.Devices;
using Kvcached.Devices.Cpu;

namespace Kvcached.Tests.Devices;

internal sealed class CpuDeviceFixture(int workers) : DeviceFixture
{
    public override CpuDevice Device { get; } = new(new CpuDeviceOptions { Workers = workers, Kernels = CpuTestKernels.All });

    public override bool Reach(TimelinePoint point, TimeSpan timeout) => point.Timeline.WaitOnHost(point.Value, timeout);
}

/// <summary>The suite on the cpu device with a team.</summary>
public sealed class CpuDeviceConformance : DeviceConformance
{
    protected override DeviceFixture CreateFixture() => new CpuDeviceFixture(workers: 3);
}

/// <summary>The suite on the cpu device where each queue's thread runs its kernels alone.</summary>
public sealed class SingleWorkerCpuDeviceConformance : DeviceConformance
{
    protected override DeviceFixture CreateFixture() => new CpuDeviceFixture(workers: 1);
}

/// <summary>The suite on the decorator, which drops nothing here and so has to change nothing.</summary>
public sealed class DecoratedDeviceConformance : DeviceConformance
{
    protected override DeviceFixture CreateFixture() => new Decorated(new CpuDeviceFixture(workers: 2));

    private sealed class Decorated(CpuDeviceFixture inner) : DeviceFixture
    {
        public override IDevice Device { get; } = new WaitDroppingDevice(inner.Device, mask: 0);

        public override bool Reach(TimelinePoint point, TimeSpan timeout) => inner.Reach(point, timeout);
    }
}
