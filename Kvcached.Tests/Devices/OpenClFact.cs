using Kvcached.Devices.OpenCl;
using Xunit;
using Xunit.Abstractions;
using Xunit.Sdk;

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

/// <summary>
/// Leaves out the tests of a class whose suite is another's, and so not <see cref="OpenClFactAttribute"/>, where there is no OpenCL device: those that are skipped stay, and say so.
/// </summary>
public sealed class OpenClSuite : ITestCaseOrderer
{
    internal const string Name = "Kvcached.Tests.Devices.OpenClSuite";
    internal const string Assembly = "Kvcached.Tests";

    public IEnumerable<TTestCase> OrderTestCases<TTestCase>(IEnumerable<TTestCase> testCases)
        where TTestCase : ITestCase =>
        OpenClTests.Missing is null ? testCases : testCases.Where(c => c.SkipReason is not null);
}
