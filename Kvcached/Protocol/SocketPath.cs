using System.Net.Sockets;

namespace Kvcached.Protocol;

/// <summary>Paths that a Unix socket can have.</summary>
internal static class SocketPath
{
    /// <summary>Bytes of UTF-8: an address has room for 108, the last one a zero.</summary>
    public const int MostBytes = 107;

    /// <summary>Whether there can be a socket of that path.</summary>
    public static bool IsValid(string path)
    {
        try
        {
            _ = new UnixDomainSocketEndPoint(path);
            return true;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }
}
