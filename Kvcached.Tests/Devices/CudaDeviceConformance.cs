using Kvcached.Devices;
using Kvcached.Devices.Cuda;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>Whether there is a GPU for tests. None is demanded anywhere: who has none is told what was not run.</summary>
internal static class CudaTests
{
    /// <summary>Why tests that need a GPU are not run; null where they are.</summary>
    internal static string? Missing { get; } = WhyMissing();

    private static string? WhyMissing()
    {
        try
        {
            var devices = CudaDevice.List();
            return devices.Any(device => device.Unusable is null) ? null : "Not run: " + string.Join("; ", devices.Select(device => device.Unusable));
        }
        catch (DeviceUnavailableException error)
        {
            return "Not run: " + error.Message;
        }
    }
}

/// <summary>A test that needs a GPU, and is skipped where there is none.</summary>
public sealed class CudaFactAttribute : FactAttribute
{
    public CudaFactAttribute() => Skip = CudaTests.Missing;
}

/// <summary>The suites of others on a GPU.</summary>
public sealed class CudaSuite() : DeviceSuite(CudaTests.Missing)
{
    internal const string Name = "Kvcached.Tests.Devices.CudaSuite";
    internal const string Assembly = "Kvcached.Tests";
}

internal sealed class CudaDeviceFixture : DeviceFixture
{
    public override CudaDevice Device { get; } = new(new CudaDeviceOptions { Kernels = GpuTestKernels.All, ExtentBytes = 2 << 20 });

    public override bool Reach(TimelinePoint point, TimeSpan timeout) => point.Timeline.WaitOnHost(point.Value, timeout);
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaDeviceConformance : DeviceConformance
{
    [CudaFact]
    public void The_suite_runs_on_a_GPU()
    {
        using var fixture = CreateFixture();
        Assert.StartsWith("cuda:0", fixture.Device.Name, StringComparison.Ordinal);
    }

    protected override DeviceFixture CreateFixture() => new CudaDeviceFixture();
}
