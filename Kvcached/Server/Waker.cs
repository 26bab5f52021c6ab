using Kvcached.Devices;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Server;

/// <summary>
/// What the server's thread sleeps on: an eventfd for each client, and one of the daemon's own, for what is posted and for its own queues. One thread sleeps; anyone wakes.
/// </summary>
internal sealed unsafe class Waker : IDisposable
{
    /// <summary>Events told at a time; more are told by the next sleep.</summary>
    private const int Events = 64;

    private readonly Epoll _epoll = new(Events);
    private readonly SafeFileHandle _event = EventFd.Create();
    private readonly DeviceMemory _attention;

    public Waker(ISharingDevice device)
    {
        _attention = device.Allocate(sizeof(uint), MemoryKind.Host, "attention of the daemon", SharedAccess.ReadOnlyForOthers);
        Bell = device.CreateBell(_attention, 0, RingLayout.AttendSignals, EventFd.Copy(_event));
        _epoll.Add(_event, 0);
    }

    /// <summary>Rung by the daemon's own queues.</summary>
    public SignalBell Bell { get; }

    /// <summary>What the daemon's own queues are to ring for.</summary>
    public Attention Attention => new((uint*)_attention.Address);

    public void Watch(SafeFileHandle descriptor) => _epoll.Add(descriptor, 1);

    public void Forget(SafeFileHandle descriptor) => _epoll.Remove(descriptor);

    public void Wake() => EventFd.Write(_event);

    public void Sleep(TimeSpan? limit) => _epoll.Wait(limit);

    public void Dispose()
    {
        Bell.Dispose();
        _epoll.Dispose();
        _event.Dispose();
        _attention.Dispose();
    }
}
