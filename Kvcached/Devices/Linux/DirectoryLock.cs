using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Devices.Linux;

/// <summary>A folder that one process at a time has to itself, among those that ask (flock). The kernel gives it up with the process, and nothing is left in the folder.</summary>
internal static class DirectoryLock
{
    /// <summary>Takes the lock. Dispose it to give it up.</summary>
    /// <returns>Null while another process has it.</returns>
    /// <exception cref="Win32Exception">There is no such folder, or it cannot be read.</exception>
    internal static SafeFileHandle? TryTake(string folder)
    {
        var number = LibC.Open(folder, LibC.OpenCloexec);
        if (number == -1)
        {
            throw LibC.Failure("open");
        }

        var handle = new SafeFileHandle(number, ownsHandle: true);
        if (LibC.Flock(handle, LibC.LockExclusive | LibC.LockNonblocking) == 0)
        {
            return handle;
        }

        var error = Marshal.GetLastPInvokeError();
        handle.Dispose();
        return error is LibC.Eagain or LibC.Eintr ? null : throw new Win32Exception(error, $"flock failed with errno {error} ({Marshal.GetPInvokeErrorMessage(error)}).");
    }
}
