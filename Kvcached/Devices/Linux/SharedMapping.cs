using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Devices.Linux;

/// <summary>
/// Zeroed memory that other processes can map: a memfd and this process's mapping of it, page-aligned. Owns both. The descriptor is
/// close-on-exec.
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
    internal unsafe long PhysicalBytes
    {
        get
        {
            LibC.StatxResult result;
            return LibC.Statx(Descriptor, string.Empty, LibC.AtEmptyPath, LibC.StatxBlocks, &result) == -1
                ? throw Failure("statx", Bytes)
                : (long)result.Blocks * LibC.StatBlockBytes;
        }
    }

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
            if (LibC.Ftruncate(descriptor, size) == -1)
            {
                throw Failure("ftruncate", size);
            }

            var address = LibC.Mmap(0, (nuint)size, LibC.ProtRead | LibC.ProtWrite, LibC.MapShared, descriptor, 0);
            return address == -1 ? throw Failure("mmap", size) : new SharedMapping(descriptor, address, size);
        }
        catch
        {
            descriptor.Dispose();
            throw;
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

    private static string NameOf(string label)
    {
        var name = "kvcached " + label.Replace('\0', ' ');
        while (Encoding.UTF8.GetByteCount(name) > MaxNameBytes)
        {
            name = name[..^1];
        }

        return name;
    }

    private static Win32Exception Failure(string call, long bytes)
    {
        var error = Marshal.GetLastPInvokeError();
        return new Win32Exception(error, $"{call} failed for {bytes} bytes with errno {error} ({Marshal.GetPInvokeErrorMessage(error)}).");
    }
}
