using System.Net.Sockets;
using System.Text;

namespace Kvcached.Daemon.Serve;

/// <summary>Tells systemd what the daemon is at, where systemd has started it (sd_notify: a datagram to <c>$NOTIFY_SOCKET</c>). Elsewhere, nothing.</summary>
internal sealed class SystemdNotifier
{
    private readonly string? _socket = Environment.GetEnvironmentVariable("NOTIFY_SOCKET");

    public void Ready() => Send("READY=1");

    public void Stopping() => Send("STOPPING=1");

    private void Send(string state)
    {
        if (string.IsNullOrEmpty(_socket))
        {
            return;
        }

        // A name that begins with @ is abstract: its first byte is 0.
        var path = _socket[0] == '@' ? '\0' + _socket[1..] : _socket;
        using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        try
        {
            socket.SendTo(Encoding.UTF8.GetBytes(state), new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException)
        {
            // Nobody listens: whoever started the daemon is told nothing, and clients are served all the same.
        }
    }
}
