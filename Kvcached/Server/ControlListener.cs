using System.ComponentModel;
using System.Diagnostics;
using System.Net.Sockets;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Server;

/// <summary>
/// The daemon's Unix socket, mode 0600. A socket that nobody answers on is taken over; one that somebody does is not. Accepts processes of the daemon's own user, of root, and of
/// users that the options name.
/// </summary>
internal sealed class ControlListener : IDisposable
{
    private const int Backlog = 64;
    private const int Root = 0;

    /// <summary>How long another daemon may take to begin listening.</summary>
    private static readonly TimeSpan _folderTimeout = TimeSpan.FromSeconds(5);

    private readonly CacheServer _server;
    private readonly ServerOptions _options;
    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly CancellationTokenSource _stop = new();
    private int _connections;
    private bool _isBound;

    /// <summary>Binds the socket.</summary>
    /// <exception cref="KvException">Another daemon has it, or the path cannot be used; the message says which.</exception>
    public ControlListener(CacheServer server, ServerOptions options)
    {
        (_server, _options) = (server, options);
        var path = options.Socket;
        try
        {
            // Two daemons that start at once would both find that nobody answers, and the second delete the socket of the first.
            using var folder = TakeFolder(path);
            if (Answers(path))
            {
                throw new KvException(KvError.CapacityExceeded, $"Another daemon answers on {path}.");
            }

            DeleteSocket(path);
            _socket.Bind(new UnixDomainSocketEndPoint(path));
            _isBound = true;
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            }

            _socket.Listen(Backlog);
        }
        catch (Exception error) when (error is SocketException or Win32Exception or IOException or UnauthorizedAccessException or ArgumentOutOfRangeException)
        {
            Dispose();
            throw new KvException(KvError.InvalidArgument, $"Cannot listen on {path}: {error.Message}");
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Raised for a connection that ended before it was a client's, and why.</summary>
    public event Action<int, string>? Refused;

    /// <summary>Accepts connections until the listener is disposed.</summary>
    public async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            Socket accepted;
            try
            {
                accepted = await _socket.AcceptAsync(_stop.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (SocketException error)
            {
                // For want of descriptors, for one: those who are connected go on.
                Refused?.Invoke(0, error.Message);
                await Task.Delay(TimeSpan.FromMilliseconds(100)).ConfigureAwait(false);
                continue;
            }

            if (Interlocked.Increment(ref _connections) > _options.MaxClients + ServerOptions.MoreConnections)
            {
                Interlocked.Decrement(ref _connections);
                Refuse(accepted, 0, KvError.CapacityExceeded, "There are as many connections as there may be.");
                continue;
            }

            _ = ServeAsync(accepted);
        }
    }

    public void Dispose()
    {
        if (_stop.IsCancellationRequested)
        {
            return;
        }

        _stop.Cancel();
        if (_isBound)
        {
            try
            {
                File.Delete(_options.Socket);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                // Its folder is gone, or may not be written any more: a name that is left is taken over.
            }
        }

        _socket.Dispose();
    }

    private async Task ServeAsync(Socket socket)
    {
        var pid = 0;
        try
        {
            var peer = PeerCredentials.Of(socket);
            pid = peer.ProcessId;
            if (!IsAllowed(peer))
            {
                Refuse(socket, pid, KvError.NotAllowed, $"User {peer.UserId} may not use this daemon.");
                return;
            }

            using var connection = new ControlConnection(_server, socket, pid);
            await connection.RunAsync(_stop.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException or OperationCanceledException or ProtocolException)
        {
            Refused?.Invoke(pid, error.Message);
        }
        finally
        {
            Interlocked.Decrement(ref _connections);
        }
    }

    private void Refuse(Socket socket, int pid, KvError error, string message)
    {
        using (var connection = new ControlConnection(_server, socket, pid))
        {
            connection.Refuse(id: 0, error, message);
        }

        Refused?.Invoke(pid, message);
    }

    private bool IsAllowed(PeerCredentials peer) =>
        peer.UserId == LibC.EffectiveUser() || peer.UserId == Root || _options.AllowedUsers.Contains((int)peer.UserId);

    private static bool Answers(string path)
    {
        if (!File.Exists(path))
        {
            return false;
        }

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
            return true;
        }
        catch (SocketException error) when (error.SocketErrorCode is SocketError.ConnectionRefused or SocketError.AddressNotAvailable)
        {
            return false;
        }
    }

    private static SafeFileHandle TakeFolder(string path)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        var started = Stopwatch.GetTimestamp();
        SafeFileHandle? taken;
        while ((taken = DirectoryLock.TryTake(folder)) is null)
        {
            if (Stopwatch.GetElapsedTime(started) > _folderTimeout)
            {
                throw new KvException(KvError.CapacityExceeded, $"Another process has had {folder} locked for {_folderTimeout.TotalSeconds} s.");
            }

            Thread.Yield();
        }

        return taken;
    }

    /// <summary>Deletes a socket, and nothing else that may lie there.</summary>
    private static void DeleteSocket(string path)
    {
        if (File.Exists(path))
        {
            if (!FileKind.IsSocket(path))
            {
                throw new KvException(KvError.InvalidArgument, $"{path} exists and is no socket.");
            }

            File.Delete(path);
        }
    }
}
