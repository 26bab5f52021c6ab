using Kvcached.Devices.Cuda;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.StandIn;

/// <summary>A test of a process that has the stand-in for the CUDA driver; <see cref="StandInSuiteTests"/> starts it. Skipped everywhere else, on a GPU too.</summary>
public sealed class OnStandInFactAttribute : FactAttribute
{
    public OnStandInFactAttribute() =>
        Skip = CudaTests.Missing ?? (CudaDevice.List()[0].Name.StartsWith("stand-in", StringComparison.Ordinal) ? null : "Not run: this is a test for the stand-in driver.");
}
