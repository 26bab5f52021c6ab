using Kvcached.Devices;
using Kvcached.Devices.OpenCl;
using Xunit;

namespace Kvcached.Tests.Devices;

internal sealed class OpenClDeviceFixture(bool ownMemory) : DeviceFixture
{
    public override OpenClDevice Device { get; } = new(new OpenClDeviceOptions { Kernels = GpuTestKernels.All, OwnMemory = ownMemory });

    public override bool Reach(TimelinePoint point, TimeSpan timeout) => point.Timeline.WaitOnHost(point.Value, timeout);
}

/// <summary>The suite on an OpenCL device that uses the host's memory.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClDeviceConformance : DeviceConformance
{
    [OpenClFact]
    public void The_suite_runs_on_memory_of_the_host()
    {
        using var fixture = CreateFixture();
        Assert.True(((OpenClDevice)fixture.Device).UsesHostMemory);
    }

    protected override DeviceFixture CreateFixture() => new OpenClDeviceFixture(ownMemory: false);
}

/// <summary>The suite on an OpenCL device that has memory of its own, or is taken for one.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OwnMemoryOpenClDeviceConformance : DeviceConformance
{
    [OpenClFact]
    public void The_suite_runs_on_memory_of_the_device()
    {
        using var fixture = CreateFixture();
        Assert.False(((OpenClDevice)fixture.Device).UsesHostMemory);
    }

    protected override DeviceFixture CreateFixture() => new OpenClDeviceFixture(ownMemory: true);
}
