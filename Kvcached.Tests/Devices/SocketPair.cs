using System.Net.Sockets;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Tests.Devices;

/// <summary>Two connected Unix sockets of this process.</summary>
internal sealed class SocketPair : IDisposable
{
    internal SocketPair()
    {
        var path = Path.Combine(Path.GetTempPath(), $"kvcached-{Guid.NewGuid():N}.socket");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        One = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        One.Connect(new UnixDomainSocketEndPoint(path));
        Other = listener.Accept();
        File.Delete(path);
    }

    internal Socket One { get; }

    internal Socket Other { get; }

    public void Dispose()
    {
        One.Dispose();
        Other.Dispose();
    }

    /// <summary>Descriptors of this process whose name contains <paramref name="name"/>.</summary>
    internal static int OpenDescriptors(string name) => Directory.GetFiles("/proc/self/fd").Count(path =>
    {
        try
        {
            return new FileInfo(path).LinkTarget?.Contains(name, StringComparison.Ordinal) == true;
        }
        catch (IOException)
        {
            return false;
        }
    });

    /// <summary>Makes a copy of a descriptor.</summary>
    internal static SafeFileHandle Copy(SafeFileHandle descriptor)
    {
        const int DuplicateCloseOnExec = 1030;
        return new SafeFileHandle(Kvcached.Devices.Linux.LibC.Fcntl(descriptor, DuplicateCloseOnExec, 0), ownsHandle: true);
    }
}
