namespace Kvcached.Devices;

/// <summary>
/// An in-order stream of submissions on a device. <see cref="Submit"/> may be called by one thread at a time.
/// <code>
///   submission k:    wait all → command 0 → command 1 → … → signal
///   submission k+1:                                            wait all → …
/// </code>
/// </summary>
public abstract class DeviceQueue : IDisposable
{
    /// <summary>Names the queue.</summary>
    protected DeviceQueue(string label) => Label = label;

    /// <summary>What the queue is for, in messages.</summary>
    public string Label { get; }

    /// <summary>The device's own handle of the queue (a stream), for kernel authors who launch their own; 0 where there is none.</summary>
    public virtual nint NativeHandle => 0;

    /// <summary>
    /// Enqueues a submission and returns at once, whatever the device is doing. Waits may name points whose signal has not been enqueued
    /// yet. Commands, their values and kernel arguments are captured: the caller may clear and reuse <paramref name="commands"/> as soon
    /// as the call returns. Commands of one submission run one after another, each seeing what the ones before it wrote.
    /// </summary>
    /// <param name="waits">Points that must be reached before the first command starts; may be empty, and may name a timeline twice.</param>
    /// <param name="commands">What to do; may be empty.</param>
    /// <param name="signal">The point to signal after the last command.</param>
    public abstract void Submit(ReadOnlySpan<WaitPoint> waits, CommandList commands, TimelinePoint signal);

    /// <summary>Ends the queue. Submissions that have not started are given up.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Ends the queue.</summary>
    protected abstract void Dispose(bool disposing);
}

/// <summary>A kernel that a device has loaded. Lives as long as its device.</summary>
public abstract class DeviceKernel
{
    /// <summary>Names the kernel.</summary>
    protected DeviceKernel(string name) => Name = name;

    /// <summary>The name it was loaded by.</summary>
    public string Name { get; }
}
