using System.Runtime.InteropServices;

namespace Kvcached.Devices.Linux;

/// <summary>Keeps what a handle names from being released for the length of a scope. Not held if it has been already.</summary>
internal readonly ref struct HandleHold
{
    private readonly SafeHandle _handle;

    internal HandleHold(SafeHandle handle)
    {
        _handle = handle;
        var held = false;
        try
        {
            handle.DangerousAddRef(ref held);
        }
        catch (ObjectDisposedException)
        {
            // Told by IsHeld.
        }

        IsHeld = held;
    }

    internal bool IsHeld { get; }

    public void Dispose()
    {
        if (IsHeld)
        {
            _handle.DangerousRelease();
        }
    }
}
