using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Kvcached.Devices.Linux;

/// <summary>
/// The calls of the C library that devices make. Pointers and flags as in the manual pages (section 2); failures are −1 and
/// <c>errno</c>, read with <see cref="Marshal.GetLastPInvokeError"/>.
/// </summary>
internal static unsafe partial class LibC
{
    private const string Library = "libc";

    internal const int ProtRead = 1;
    internal const int ProtWrite = 2;
    internal const int MapShared = 1;
    internal const uint MfdCloexec = 1;
    internal const uint MfdAllowSealing = 2;

    internal const int FallocKeepSize = 1;
    internal const int FallocPunchHole = 2;

    internal const int FcntlDuplicateCloexec = 1030;
    internal const int FcntlAddSeals = 1033;
    internal const int FcntlGetSeals = 1034;
    internal const int SealSeal = 1;
    internal const int SealShrink = 2;
    internal const int SealGrow = 4;
    internal const int SealFutureWrite = 16;

    internal const int EfdCloexec = 0x80000;
    internal const int EfdNonblock = 0x800;

    internal const int AtEmptyPath = 0x1000;
    internal const int AtNoFollow = 0x100;
    internal const int CurrentDirectory = -100;
    internal const uint StatxType = 0x1;
    internal const uint StatxSize = 0x200;
    internal const uint StatxBlocks = 0x400;
    internal const int StatBlockBytes = 512;

    internal const int OpenCloexec = 0x80000;
    internal const int LockExclusive = 2;
    internal const int LockNonblocking = 4;

    internal const int FutexWaitOperation = 0;
    internal const int FutexWakeOperation = 1;

    internal const int Eintr = 4;
    internal const int Eagain = 11;
    internal const int Etimedout = 110;

    /// <summary>The number of futex(2), which the C library does not wrap.</summary>
    internal static readonly nint FutexNumber = RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => 202,
        Architecture.Arm64 or Architecture.RiscV64 or Architecture.LoongArch64 => 98,
        var other => throw new PlatformNotSupportedException($"The number of the futex call is not known for {other}."),
    };

    /// <summary>struct timespec of 64-bit Linux.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct Timespec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    /// <summary>The part of struct statx that is read: it is the same on every architecture.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    internal struct StatxResult
    {
        [FieldOffset(28)]
        public ushort Mode;

        [FieldOffset(40)]
        public ulong Size;

        [FieldOffset(48)]
        public ulong Blocks;
    }

    [LibraryImport(Library, EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Statx(SafeHandle descriptor, string path, int flags, uint mask, StatxResult* result);

    [LibraryImport(Library, EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Statx(int directory, string path, int flags, uint mask, StatxResult* result);

    [LibraryImport(Library, EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Open(string path, int flags);

    [LibraryImport(Library, EntryPoint = "flock", SetLastError = true)]
    internal static partial int Flock(SafeHandle descriptor, int operation);

    [LibraryImport(Library, EntryPoint = "geteuid")]
    internal static partial uint EffectiveUser();

    [LibraryImport(Library, EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int MemfdCreate(string name, uint flags);

    [LibraryImport(Library, EntryPoint = "ftruncate", SetLastError = true)]
    internal static partial int Ftruncate(SafeHandle descriptor, long bytes);

    [LibraryImport(Library, EntryPoint = "fallocate", SetLastError = true)]
    internal static partial int Fallocate(SafeHandle descriptor, int mode, long offset, long bytes);

    [LibraryImport(Library, EntryPoint = "mmap", SetLastError = true)]
    internal static partial nint Mmap(nint address, nuint bytes, int protection, int flags, SafeHandle descriptor, long offset);

    [LibraryImport(Library, EntryPoint = "munmap", SetLastError = true)]
    internal static partial int Munmap(nint address, nuint bytes);

    /// <summary>fcntl(2), which takes its argument by register on every architecture of Linux.</summary>
    [LibraryImport(Library, EntryPoint = "fcntl", SetLastError = true)]
    internal static partial int Fcntl(SafeHandle descriptor, int command, int argument);

    [LibraryImport(Library, EntryPoint = "eventfd", SetLastError = true)]
    internal static partial int Eventfd(uint count, int flags);

    [LibraryImport(Library, EntryPoint = "write", SetLastError = true)]
    internal static partial nint Write(int descriptor, void* from, nuint bytes);

    /// <summary>futex(2) through syscall(2). It can block, so the call must keep its GC transition.</summary>
    [LibraryImport(Library, EntryPoint = "syscall", SetLastError = true)]
    internal static partial nint Futex(nint number, uint* word, nint operation, nuint value, Timespec* timeout, nint unused2, nint unused3);

    /// <summary>What to throw where a call has just failed.</summary>
    internal static Win32Exception Failure(string call, string what = "")
    {
        var error = Marshal.GetLastPInvokeError();
        return new Win32Exception(error, $"{call} failed{what} with errno {error} ({Marshal.GetPInvokeErrorMessage(error)}).");
    }
}
