using Kvcached.Devices.OpenCl;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>
/// Whether there is an OpenCL device for tests. Where <c>CI</c> is <c>true</c> they run in any case, and fail without one.
/// </summary>
internal static class OpenClTests
{
    /// <summary>Why tests that need a device are not run; null where they are.</summary>
    internal static string? Missing { get; } = Environment.GetEnvironmentVariable("CI") == "true" ? null : WhyMissing();

    private static string? WhyMissing()
    {
        var devices = OpenClDevice.List();
        return devices.Any(d => d.Unusable is null) ? null : "Not run: " + string.Join("; ", devices.Select(d => d.Unusable));
    }
}

/// <summary>A test that needs an OpenCL device, and is skipped where there is none.</summary>
public sealed class OpenClFactAttribute : FactAttribute
{
    public OpenClFactAttribute() => Skip = OpenClTests.Missing;
}

/// <summary>The suites of others on an OpenCL device.</summary>
public sealed class OpenClSuite() : DeviceSuite(OpenClTests.Missing)
{
    internal const string Name = "Kvcached.Tests.Devices.OpenClSuite";
    internal const string Assembly = "Kvcached.Tests";
}
