using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Devices.Linux;

/// <summary>An eventfd: a descriptor that one process writes to call another, who watches it by <see cref="Epoll"/>.</summary>
internal static unsafe class EventFd
{
    /// <summary>Creates one, non-blocking and close-on-exec.</summary>
    /// <exception cref="System.ComponentModel.Win32Exception">The kernel refuses.</exception>
    internal static SafeFileHandle Create()
    {
        var number = LibC.Eventfd(0, LibC.EfdCloexec | LibC.EfdNonblock);
        return number == -1 ? throw LibC.Failure("eventfd") : new SafeFileHandle(number, ownsHandle: true);
    }

    /// <summary>A further descriptor of the same eventfd, close-on-exec, for who closes it by himself.</summary>
    /// <exception cref="System.ComponentModel.Win32Exception">The kernel refuses.</exception>
    internal static SafeFileHandle Copy(SafeFileHandle descriptor)
    {
        var number = LibC.Fcntl(descriptor, LibC.FcntlDuplicateCloexec, 0);
        return number == -1 ? throw LibC.Failure("fcntl") : new SafeFileHandle(number, ownsHandle: true);
    }

    /// <summary>Adds 1: an edge, whatever the count was. A count that is full stays as it is, and is an edge all the same for who has not looked since.</summary>
    internal static void Write(SafeFileHandle descriptor)
    {
        using var hold = new HandleHold(descriptor);
        if (hold.IsHeld)
        {
            Write((int)descriptor.DangerousGetHandle());
        }
    }

    /// <summary>As <see cref="Write(SafeFileHandle)"/>, by number, for who knows that it is open.</summary>
    internal static void Write(int descriptor)
    {
        var one = 1ul;
        while (LibC.Write(descriptor, &one, sizeof(ulong)) == -1 && Marshal.GetLastPInvokeError() == LibC.Eintr)
        {
        }
    }
}
