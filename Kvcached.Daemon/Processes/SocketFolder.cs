namespace Kvcached.Daemon.Processes;

/// <summary>A new folder for the socket of a daemon that may be killed: a killed one leaves its socket's name behind, and the folder takes it along.</summary>
internal sealed class SocketFolder : IDisposable
{
    private readonly string _path = Directory.CreateTempSubdirectory("kvcached-").FullName;

    public string Socket => Path.Combine(_path, "kvcached.sock");

    public void Dispose() => Directory.Delete(_path, recursive: true);
}
