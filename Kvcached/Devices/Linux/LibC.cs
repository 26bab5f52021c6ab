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

    internal const int AtEmptyPath = 0x1000;
    internal const uint StatxBlocks = 0x400;
    internal const int StatBlockBytes = 512;

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
        [FieldOffset(48)]
        public ulong Blocks;
    }

    [LibraryImport(Library, EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Statx(SafeHandle descriptor, string path, int flags, uint mask, StatxResult* result);

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

    /// <summary>futex(2) through syscall(2). It can block, so the call must keep its GC transition.</summary>
    [LibraryImport(Library, EntryPoint = "syscall", SetLastError = true)]
    internal static partial nint Futex(nint number, uint* word, nint operation, nuint value, Timespec* timeout, nint unused2, nint unused3);
}
