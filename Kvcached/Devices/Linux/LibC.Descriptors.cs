using System.Runtime.InteropServices;

namespace Kvcached.Devices.Linux;

/// <summary>Calls that watch, name and pass descriptors.</summary>
internal static unsafe partial class LibC
{
    internal const int EpollCloexec = 0x80000;
    internal const int EpollAdd = 1;
    internal const int EpollDelete = 2;

    internal const short PollIn = 1;

    internal const int SocketLevel = 1;
    internal const int PeerCredentialsOption = 17;
    internal const int PeerPidFdOption = 77;
    internal const int ScmRights = 1;

    internal const int MsgTruncatedControl = 8;
    internal const int MsgDontWait = 0x40;
    internal const int MsgNoSignal = 0x4000;
    internal const int MsgCmsgCloexec = 0x40000000;

    internal const int Esrch = 3;
    internal const int Enoprotoopt = 92;
    internal const int Epipe = 32;
    internal const int Econnreset = 104;

    /// <summary>Numbers of calls that the C library may not wrap; they are the same on every architecture.</summary>
    internal const nint PidfdSendSignalNumber = 424;
    internal const nint PidfdOpenNumber = 434;

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct IoVector
    {
        public void* Base;
        public nuint Bytes;
    }

    /// <summary>struct msghdr of 64-bit Linux.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct MessageHeader
    {
        public void* Name;
        public uint NameBytes;
        public IoVector* Vectors;
        public nuint VectorCount;
        public void* Control;
        public nuint ControlBytes;
        public int Flags;
    }

    /// <summary>struct cmsghdr of 64-bit Linux; what it carries follows it.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct ControlHeader
    {
        /// <summary>This header's bytes included; the next header follows at a multiple of 8.</summary>
        public nuint Bytes;
        public int Level;
        public int Type;
    }

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    /// <summary>struct ucred.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct UserCredentials
    {
        public int ProcessId;
        public uint UserId;
        public uint GroupId;
    }

    [LibraryImport(Library, EntryPoint = "epoll_create1", SetLastError = true)]
    internal static partial int EpollCreate(int flags);

    [LibraryImport(Library, EntryPoint = "epoll_ctl", SetLastError = true)]
    internal static partial int EpollControl(SafeHandle epoll, int operation, SafeHandle descriptor, void* @event);

    /// <summary>It can block, so the call must keep its GC transition.</summary>
    [LibraryImport(Library, EntryPoint = "epoll_wait", SetLastError = true)]
    internal static partial int EpollWait(SafeHandle epoll, void* events, int most, int milliseconds);

    [LibraryImport(Library, EntryPoint = "poll", SetLastError = true)]
    internal static partial int Poll(PollDescriptor* descriptors, nuint count, int milliseconds);

    [LibraryImport(Library, EntryPoint = "syscall", SetLastError = true)]
    internal static partial nint PidfdOpen(nint number, int processId, uint flags);

    [LibraryImport(Library, EntryPoint = "syscall", SetLastError = true)]
    internal static partial nint PidfdSendSignal(nint number, SafeHandle process, int signal, void* info, uint flags);

    [LibraryImport(Library, EntryPoint = "sendmsg", SetLastError = true)]
    internal static partial nint SendMessage(SafeHandle socket, MessageHeader* message, int flags);

    [LibraryImport(Library, EntryPoint = "recvmsg", SetLastError = true)]
    internal static partial nint ReceiveMessage(SafeHandle socket, MessageHeader* message, int flags);
}
