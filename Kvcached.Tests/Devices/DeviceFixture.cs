using Kvcached.Devices;

namespace Kvcached.Tests.Devices;

/// <summary>
/// A device under the conformance suite. It has the kernels of <see cref="TestKernels"/>. Owns the device.
/// </summary>
public abstract class DeviceFixture : IDisposable
{
    public abstract IDevice Device { get; }

    /// <summary>
    /// Lets the device work until it has reached the point; false if it does not get there. A device in real time waits no longer than
    /// <paramref name="timeout"/>; one that is driven runs until it reaches the point or nothing is left that can run.
    /// </summary>
    public abstract bool Reach(TimelinePoint point, TimeSpan timeout);

    public void Dispose()
    {
        Device.Dispose();
        GC.SuppressFinalize(this);
    }
}
