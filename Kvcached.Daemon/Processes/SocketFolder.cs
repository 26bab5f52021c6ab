namespace Kvcached.Daemon.Processes;

/// <summary>A new folder for the socket of a daemon that may be killed: a killed one leaves its socket's name behind, and the folder takes it along.</summary>
internal sealed class SocketFolder : IDisposable
{
    private readonly string _path = Directory.CreateTempSubdirectory("kvcached-").FullName;

    public string Socket => Path.Combine(_path, "kvcached.sock");

    /// <summary>May be called again: who made it and the daemon in it both do.</summary>
    public void Dispose()
    {
        if (Directory.Exists(_path))
        {
            Directory.Delete(_path, recursive: true);
        }
    }
}
