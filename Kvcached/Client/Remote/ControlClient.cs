using System.Diagnostics;
using System.Net.Sockets;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;
using Microsoft.Win32.SafeHandles;

namespace Kvcached;

/// <summary>
/// A client's end of the control connection: one request at a time, its reply awaited. Every wait has a limit, and ends early where the daemon ends.
/// Not thread-safe.
/// </summary>
internal sealed class ControlClient : IDisposable
{
    private readonly Socket _socket;
    private readonly TimeSpan _timeout;
    private readonly SafeFileHandle?[] _descriptors = new SafeFileHandle?[DescriptorSocket.MostDescriptors];
    private byte[] _bytes = new byte[4096];
    private int _descriptorCount;
    private long _requests;

    private ControlClient(Socket socket, TimeSpan timeout) => (_socket, _timeout) = (socket, timeout);

    /// <summary>Why the daemon has disconnected this client, once it has said so.</summary>
    public string? Reason { get; private set; }

    /// <summary>The daemon's process; null if it is gone.</summary>
    public PidFd? OpenDaemon() => PidFd.TryOpenPeer(_socket);

    /// <summary>Connects to a socket.</summary>
    /// <exception cref="KvException">Nobody answers on it, or there can be no socket of that path.</exception>
    public static async Task<ControlClient> ConnectAsync(string path, TimeSpan timeout, CancellationToken cancellation)
    {
        if (!SocketPath.IsValid(path))
        {
            throw new KvException(KvError.InvalidArgument, $"The socket's path is '{path}'; it must have 1 to {SocketPath.MostBytes} bytes.");
        }

        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellation).ConfigureAwait(false);
            return new ControlClient(socket, timeout);
        }
        catch (SocketException error)
        {
            socket.Dispose();
            throw new KvException(KvError.DaemonLost, $"No daemon answers on {path}: {Why(error)}.");
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Sends a request and returns the reply.</summary>
    /// <exception cref="KvException">The daemon refused it, is gone, or does not answer.</exception>
    public TReply Ask<TReply>(ControlMessage request)
        where TReply : ControlMessage
    {
        var id = ++_requests;
        try
        {
            Send(request with { Id = id });
        }
        catch (KvException) when (_socket.Poll(TimeSpan.Zero, SelectMode.SelectRead))
        {
            // The daemon has ended the connection, and may have said why before.
        }

        while (true)
        {
            switch (Receive())
            {
                case ErrorMessage error when error.Id == id || error.Id == 0:
                    throw new KvException(error.Error, error.Message);
                case TReply reply when reply.Id == id:
                    return reply;
                case GoodbyeMessage:
                    throw Lost();
            }
        }
    }

    /// <summary>Reads a message that the daemon sends by itself.</summary>
    public TMessage Expect<TMessage>()
        where TMessage : ControlMessage =>
        Receive() as TMessage ?? throw new KvException(KvError.DaemonLost, $"The daemon has not sent the {typeof(TMessage).Name} that was to come.");

    /// <summary>The next descriptor that came along, the caller's from then on.</summary>
    public SafeFileHandle TakeDescriptor()
    {
        if (_descriptorCount == 0)
        {
            throw new KvException(KvError.DaemonLost, "The daemon has sent fewer descriptors than it should have.");
        }

        var descriptor = _descriptors[0]!;
        _descriptorCount--;
        _descriptors.AsSpan(1, _descriptorCount).CopyTo(_descriptors);
        _descriptors[_descriptorCount] = null;
        return descriptor;
    }

    /// <summary>Looks whether the daemon has closed the connection or said goodbye.</summary>
    /// <param name="patience">How long to wait for either, at most.</param>
    public bool IsClosed(TimeSpan patience)
    {
        try
        {
            while (Reason is null && _socket.Poll(patience, SelectMode.SelectRead))
            {
                if (Receive() is GoodbyeMessage)
                {
                    return true;
                }
            }
        }
        catch (KvException)
        {
            return true;
        }

        return Reason is not null;
    }

    /// <summary>Closes the connection and says nothing.</summary>
    public void CloseWithoutGoodbye()
    {
        Reason = "it has been closed";
        _socket.Dispose();
    }

    public void Dispose()
    {
        try
        {
            if (Reason is null)
            {
                Send(new GoodbyeMessage());
            }
        }
        catch (KvException)
        {
            // It is gone; so are we.
        }

        _socket.Dispose();
        foreach (var descriptor in _descriptors)
        {
            descriptor?.Dispose();
        }
    }

    private static string Why(SocketException error) => error.SocketErrorCode switch
    {
        // What the runtime makes of ENOENT.
        SocketError.AddressNotAvailable => "there is no such file",
        SocketError.ConnectionRefused => "nobody listens there",
        _ => error.Message,
    };

    private KvException Lost(string? how = null) =>
        new(KvError.DaemonLost, Reason is null ? $"The daemon is gone{how}." : $"The daemon has disconnected this client: {Reason}.");

    private void Send(ControlMessage message)
    {
        ReadOnlySpan<byte> frame = ControlFrame.Write(message);
        try
        {
            while (frame.Length > 0)
            {
                var sent = DescriptorSocket.Send(_socket, frame, []);
                if (sent == 0)
                {
                    Await(SelectMode.SelectWrite, Stopwatch.GetTimestamp());
                }

                frame = frame[sent..];
            }
        }
        catch (SocketException error)
        {
            throw Lost($": {error.Message}");
        }
    }

    private ControlMessage Receive()
    {
        var started = Stopwatch.GetTimestamp();
        Fill(_bytes.AsSpan(0, ControlFrame.HeaderBytes), started);
        try
        {
            var length = ControlFrame.ReadLength(_bytes, ControlFrame.MaxReplyBytes);
            if (length > _bytes.Length)
            {
                _bytes = new byte[length];
            }

            var json = _bytes.AsSpan(0, length);
            Fill(json, started);
            var message = ControlFrame.Read(json);
            Reason = message is GoodbyeMessage goodbye ? goodbye.Reason : Reason;
            return message;
        }
        catch (ProtocolException error)
        {
            throw new KvException(KvError.DaemonLost, $"What answers is no daemon of this protocol: {error.Message}");
        }
    }

    private void Fill(Span<byte> bytes, long started)
    {
        while (bytes.Length > 0)
        {
            Received received;
            try
            {
                received = DescriptorSocket.Receive(_socket, bytes, _descriptors.AsSpan(_descriptorCount));
            }
            catch (SocketException error)
            {
                throw Lost($": {error.Message}");
            }

            switch (received.Status)
            {
                case ReceiveStatus.Ok:
                    bytes = bytes[received.Bytes..];
                    _descriptorCount += received.Descriptors;
                    break;
                case ReceiveStatus.WouldBlock:
                    Await(SelectMode.SelectRead, started);
                    break;
                default:
                    throw Lost();
            }
        }
    }

    private void Await(SelectMode mode, long started)
    {
        var left = _timeout - Stopwatch.GetElapsedTime(started);
        if (left <= TimeSpan.Zero || !_socket.Poll(left, mode))
        {
            throw new KvException(KvError.DaemonLost, $"The daemon has not answered for {_timeout.TotalSeconds} s.");
        }
    }
}
