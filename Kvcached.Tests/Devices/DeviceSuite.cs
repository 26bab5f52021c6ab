using Xunit.Abstractions;
using Xunit.Sdk;

namespace Kvcached.Tests.Devices;

/// <summary>
/// Leaves out the tests of a class whose suite is another's, and so cannot be skipped one by one, where the device is missing: those that are skipped stay, and say so.
/// </summary>
/// <param name="missing">Why the device's tests are not run; null where they are.</param>
public abstract class DeviceSuite(string? missing) : ITestCaseOrderer
{
    public IEnumerable<TTestCase> OrderTestCases<TTestCase>(IEnumerable<TTestCase> testCases)
        where TTestCase : ITestCase =>
        missing is null ? testCases : testCases.Where(c => c.SkipReason is not null);
}
