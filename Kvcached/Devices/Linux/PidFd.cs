using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Devices.Linux;

/// <summary>
/// A process, by a descriptor that stays with it: its number may be another's once it has ended. Readable for <see cref="Epoll"/> from its end on, when all its
/// threads are gone and none writes any memory any more. Thread-safe.
/// </summary>
internal sealed unsafe class PidFd : IDisposable
{
    /// <summary>The signal that ends a process whatever it does.</summary>
    internal const int Kill = 9;

    private PidFd(nint number) => Descriptor = new SafeFileHandle(number, ownsHandle: true);

    /// <summary>For <see cref="Epoll"/>.</summary>
    internal SafeFileHandle Descriptor { get; }

    /// <summary>Whether the process has ended. Never blocks.</summary>
    internal bool HasExited
    {
        get
        {
            using var hold = new HandleHold(Descriptor);
            ObjectDisposedException.ThrowIf(!hold.IsHeld, this);
            var poll = new LibC.PollDescriptor { Descriptor = (int)Descriptor.DangerousGetHandle(), Events = LibC.PollIn };
            int ready;
            while ((ready = LibC.Poll(&poll, 1, 0)) == -1)
            {
                if (Marshal.GetLastPInvokeError() != LibC.Eintr)
                {
                    throw LibC.Failure("poll");
                }
            }

            return ready != 0;
        }
    }

    /// <summary>The process that has this number now; null if none has.</summary>
    /// <exception cref="System.ComponentModel.Win32Exception">The kernel refuses.</exception>
    internal static PidFd? TryOpen(int processId)
    {
        var number = LibC.PidfdOpen(LibC.PidfdOpenNumber, processId, 0);
        if (number != -1)
        {
            return new PidFd(number);
        }

        return Marshal.GetLastPInvokeError() == LibC.Esrch ? null : throw LibC.Failure("pidfd_open");
    }

    /// <summary>The process that has connected a Unix socket, or listens on it; null if it is gone. Where the kernel cannot name it (before Linux 6.5), by its number.</summary>
    internal static PidFd? TryOpenPeer(Socket socket)
    {
        Span<byte> number = stackalloc byte[sizeof(int)];
        try
        {
            socket.GetRawSocketOption(LibC.SocketLevel, LibC.PeerPidFdOption, number);
            return new PidFd(MemoryMarshal.Read<int>(number));
        }
        catch (SocketException e) when (e.NativeErrorCode == LibC.Enoprotoopt || e.SocketErrorCode == SocketError.ProtocolOption)
        {
            return TryOpen(PeerCredentials.Of(socket).ProcessId);
        }
        catch (SocketException)
        {
            return null;
        }
    }

    /// <summary>Sends a signal; 0 sends none. False if the process has ended.</summary>
    /// <exception cref="System.ComponentModel.Win32Exception">The kernel refuses.</exception>
    internal bool Send(int signal)
    {
        if (LibC.PidfdSendSignal(LibC.PidfdSendSignalNumber, Descriptor, signal, null, 0) != -1)
        {
            return true;
        }

        return Marshal.GetLastPInvokeError() == LibC.Esrch ? false : throw LibC.Failure("pidfd_send_signal");
    }

    /// <summary>Closes the descriptor; the process goes on.</summary>
    public void Dispose() => Descriptor.Dispose();
}

/// <summary>Who is at the other end of a Unix socket, as the kernel saw it when the socket was connected.</summary>
/// <param name="ProcessId">Its process, which may have ended.</param>
/// <param name="UserId">Its effective user.</param>
/// <param name="GroupId">Its effective group.</param>
internal readonly record struct PeerCredentials(int ProcessId, uint UserId, uint GroupId)
{
    /// <summary>Asks the kernel.</summary>
    /// <exception cref="SocketException">It is no connected Unix socket.</exception>
    internal static unsafe PeerCredentials Of(Socket socket)
    {
        Span<byte> bytes = stackalloc byte[sizeof(LibC.UserCredentials)];
        socket.GetRawSocketOption(LibC.SocketLevel, LibC.PeerCredentialsOption, bytes);
        var user = MemoryMarshal.Read<LibC.UserCredentials>(bytes);
        return new PeerCredentials(user.ProcessId, user.UserId, user.GroupId);
    }
}
