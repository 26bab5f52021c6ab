using System.Runtime.InteropServices;

namespace Kvcached.Daemon.Processes;

/// <summary>
/// A new folder for the socket of a daemon that may be killed: a killed one leaves its socket's name behind, and the folder takes it along. It goes too where a signal ends the process that made it.
/// </summary>
internal sealed class SocketFolder : IDisposable
{
    private static readonly PosixSignal[] _ends = [PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGHUP];

    private readonly string _path = Directory.CreateTempSubdirectory("kvcached-").FullName;
    private readonly PosixSignalRegistration[] _registrations;

    public SocketFolder() => _registrations = Array.ConvertAll(_ends, signal => PosixSignalRegistration.Create(signal, _ => Delete()));

    public string Socket => Path.Combine(_path, "kvcached.sock");

    /// <summary>May be called again: who made it and the daemon in it both do.</summary>
    public void Dispose()
    {
        Array.ForEach(_registrations, registration => registration.Dispose());
        Delete();
    }

    private void Delete()
    {
        try
        {
            Directory.Delete(_path, recursive: true);
        }
        catch (IOException)
        {
            // It is gone, or a daemon that lives makes its socket in it.
        }
    }
}
