using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Devices;

/// <summary>
/// Calls a thread that sleeps on descriptors, once a timeline has been signalled: after the signal, the word of attention is read, and if it asks for it, 1 is
/// written to an eventfd. See <see cref="Attention"/> for why no call is lost. Owns the eventfd. Thread-safe.
/// </summary>
public sealed unsafe class SignalBell : IDisposable
{
    private readonly MappedMemory _memory;
    private readonly long _offset;
    private readonly uint _bits;
    private readonly SafeFileHandle _event;
    private volatile bool _disposed;

    internal SignalBell(MappedMemory memory, long offset, uint bits, SafeFileHandle eventDescriptor)
    {
        _memory = memory;
        _offset = offset;
        _bits = bits;
        _event = eventDescriptor;
    }

    /// <summary>Rings, if the word of attention asks for it. Does nothing once disposed.</summary>
    public void Ring()
    {
        using var memory = new HandleHold(_memory.Mapping);
        using var descriptor = new HandleHold(_event);
        if (memory.IsHeld && descriptor.IsHeld)
        {
            Capture().Ring();
        }
    }

    /// <summary>Ends it: nothing that is submitted from now on rings it.</summary>
    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            _memory.Device.Retire(_event);
        }
    }

    /// <summary>The bell as submissions capture it.</summary>
    internal EventBell Capture() => _disposed || _memory.IsDisposed
        ? default
        : new EventBell((uint*)(_memory.Mapping.Address + _offset), _bits, (int)_event.DangerousGetHandle());
}
