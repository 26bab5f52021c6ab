namespace Kvcached.Devices.Linux;

/// <summary>What lies at a path.</summary>
internal static unsafe class FileKind
{
    private const ushort TypeMask = 0xF000;
    private const ushort SocketType = 0xC000;

    /// <summary>Whether a Unix socket does.</summary>
    internal static bool IsSocket(string path)
    {
        LibC.StatxResult result;
        return LibC.Statx(LibC.CurrentDirectory, path, LibC.AtNoFollow, LibC.StatxType, &result) == 0 && (result.Mode & TypeMask) == SocketType;
    }
}
