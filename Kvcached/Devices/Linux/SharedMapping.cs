using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Devices.Linux;

/// <summary>
/// Memory that processes can share: a memfd and this process's mapping of it, page-aligned. Owns both. The descriptor is close-on-exec.
/// </summary>
internal sealed class SharedMapping : SafeHandleZeroOrMinusOneIsInvalid
{
    internal const int PageBytes = 4096;

    /// <summary>The kernel's limit for a memfd's name is 249 bytes.</summary>
    private const int MaxNameBytes = 200;

    private SharedMapping(SafeFileHandle descriptor, nint address, long bytes)
        : base(ownsHandle: true)
    {
        Descriptor = descriptor;
        Bytes = bytes;
        SetHandle(address);
    }

    /// <summary>The memfd.</summary>
    internal SafeFileHandle Descriptor { get; }

    /// <summary>Size: a multiple of the page size.</summary>
    internal long Bytes { get; }

    /// <summary>Address of byte 0.</summary>
    internal nint Address => handle;

    /// <summary>Bytes of the pages that the system has given: those touched, less those punched out.</summary>
    /// <exception cref="Win32Exception">The kernel refuses.</exception>
    internal long PhysicalBytes => (long)Stat(Descriptor, LibC.StatxBlocks).Blocks * LibC.StatBlockBytes;

    /// <summary>Rounds up to whole pages.</summary>
    internal static long RoundToPages(long bytes) => checked(bytes + PageBytes - 1) & ~(PageBytes - 1L);

    /// <summary>Creates and maps zeroed memory.</summary>
    /// <exception cref="Win32Exception">The kernel refuses, for want of memory or descriptors.</exception>
    internal static SharedMapping Create(long bytes, string label)
    {
        var size = RoundToPages(bytes);
        var number = LibC.MemfdCreate(NameOf(label), LibC.MfdCloexec | LibC.MfdAllowSealing);
        if (number == -1)
        {
            throw Failure("memfd_create", size);
        }

        var descriptor = new SafeFileHandle(number, ownsHandle: true);
        try
        {
            return LibC.Ftruncate(descriptor, size) == -1 ? throw Failure("ftruncate", size) : Map(descriptor, size, LibC.ProtRead | LibC.ProtWrite);
        }
        catch
        {
            descriptor.Dispose();
            throw;
        }
    }

    /// <summary>Maps memory that another process has made. Takes the descriptor over, also when it throws.</summary>
    /// <exception cref="ArgumentException">It is no memfd, is smaller than that, or could be made so: reading it would end the process.</exception>
    /// <exception cref="Win32Exception">The kernel refuses: no memory, or a descriptor sealed to reading that is to be mapped for writing.</exception>
    internal static SharedMapping Import(SafeFileHandle descriptor, long bytes, bool writable)
    {
        try
        {
            var seals = LibC.Fcntl(descriptor, LibC.FcntlGetSeals, 0);
            if (seals == -1 || (seals & LibC.SealShrink) == 0)
            {
                throw new ArgumentException("The descriptor is not that of memory which is sealed against shrinking.", nameof(descriptor));
            }

            var size = RoundToPages(bytes);
            var real = Stat(descriptor, LibC.StatxSize).Size;
            return real < (ulong)size
                ? throw new ArgumentException($"The descriptor's memory has {real} bytes instead of {size}.", nameof(descriptor))
                : Map(descriptor, size, writable ? LibC.ProtRead | LibC.ProtWrite : LibC.ProtRead);
        }
        catch
        {
            descriptor.Dispose();
            throw;
        }
    }

    /// <summary>Forbids, for good and to everyone, to change the size, and perhaps to write by any mapping or call but the mappings that there are.</summary>
    /// <exception cref="Win32Exception">The kernel refuses.</exception>
    internal void Seal(bool againstWriting)
    {
        var seals = LibC.SealShrink | LibC.SealGrow | LibC.SealSeal | (againstWriting ? LibC.SealFutureWrite : 0);
        if (LibC.Fcntl(Descriptor, LibC.FcntlAddSeals, seals) == -1)
        {
            throw Failure("fcntl", Bytes);
        }
    }

    /// <summary>Gives the pages of a range back to the system: every mapping reads zeros there, and a write takes a new page.</summary>
    /// <exception cref="Win32Exception">The kernel refuses.</exception>
    internal void PunchHole(long offset, long bytes)
    {
        if (bytes > 0 && LibC.Fallocate(Descriptor, LibC.FallocKeepSize | LibC.FallocPunchHole, offset, bytes) == -1)
        {
            throw Failure("fallocate", bytes);
        }
    }

    protected override bool ReleaseHandle()
    {
        Descriptor.Dispose();
        return LibC.Munmap(handle, (nuint)Bytes) == 0;
    }

    private static SharedMapping Map(SafeFileHandle descriptor, long bytes, int protection)
    {
        var address = LibC.Mmap(0, (nuint)bytes, protection, LibC.MapShared, descriptor, 0);
        return address == -1 ? throw Failure("mmap", bytes) : new SharedMapping(descriptor, address, bytes);
    }

    private static string NameOf(string label)
    {
        var name = "kvcached " + label.Replace('\0', ' ');
        while (Encoding.UTF8.GetByteCount(name) > MaxNameBytes)
        {
            name = name[..^1];
        }

        return name;
    }

    private static Win32Exception Failure(string call, long bytes) => LibC.Failure(call, $" for {bytes} bytes");

    private static unsafe LibC.StatxResult Stat(SafeFileHandle descriptor, uint mask)
    {
        LibC.StatxResult result;
        return LibC.Statx(descriptor, string.Empty, LibC.AtEmptyPath, mask, &result) == -1 ? throw LibC.Failure("statx") : result;
    }
}
