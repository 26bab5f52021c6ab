using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;

namespace Kvcached.Server;

/// <summary>
/// One connection: reads requests, has them done on the server's thread, replies. Its end is the cheapest sign that a client is gone.
/// </summary>
internal sealed class ControlConnection(CacheServer server, Socket socket, int pid) : IDisposable
{
    /// <summary>How long a connection may take to say what it is.</summary>
    private static readonly TimeSpan _helloTimeout = TimeSpan.FromSeconds(10);

    private readonly byte[] _header = new byte[ControlFrame.HeaderBytes];
    private readonly byte[] _json = new byte[ControlFrame.MaxRequestBytes];
    private readonly Lock _sending = new();
    private byte[]? _farewell;
    private bool _isReplying;
    private bool _isCut;
    private ClientSession? _session;

    /// <summary>How long a client may take to read a reply that does not fit in the socket's buffer.</summary>
    public TimeSpan ReplyTimeout { get; init; } = TimeSpan.FromSeconds(10);

    public void Dispose() => socket.Dispose();

    /// <summary>Serves the connection until it ends.</summary>
    /// <exception cref="ProtocolException">It is no client, and never becomes one.</exception>
    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            using (var limit = CancellationTokenSource.CreateLinkedTokenSource(stop))
            {
                limit.CancelAfter(_helloTimeout);
                switch (await ReadAsync(limit.Token).ConfigureAwait(false))
                {
                    case null:
                        // Somebody has looked whether anybody answers.
                        return;
                    case HelloMessage hello:
                        await GreetAsync(hello).ConfigureAwait(false);
                        break;
                    default:
                        throw new ProtocolException("The first message must be a hello.");
                }
            }

            while (await ReadRequestAsync(stop).ConfigureAwait(false) is { } request)
            {
                if (request is GoodbyeMessage)
                {
                    await EndAsync("it has said goodbye", saidGoodbye: true).ConfigureAwait(false);
                    return;
                }

                await ReplyAsync(request).ConfigureAwait(false);
            }

            await EndAsync("it has closed its connection").ConfigureAwait(false);
        }
        catch (ProtocolException offence)
        {
            await EndAsync(offence.Message).ConfigureAwait(false);
            if (_session is null)
            {
                throw;
            }
        }
        catch (OperationCanceledException)
        {
            await EndAsync(stop.IsCancellationRequested ? "the daemon stops" : $"it has not said hello within {_helloTimeout.TotalSeconds} s").ConfigureAwait(false);
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            await EndAsync("its connection has ended").ConfigureAwait(false);
        }
        catch (Exception error)
        {
            // The client must not be left as if it were served; why goes to the log.
            await EndAsync($"the daemon cannot serve it: {error.Message}").ConfigureAwait(false);
            throw new ProtocolException($"The daemon cannot serve the connection: {error.Message}", error);
        }
    }

    /// <summary>Sends a message. One that does not fit in the socket's buffer is for a client that reads nothing.</summary>
    /// <exception cref="ProtocolException">The client does not read.</exception>
    /// <exception cref="SocketException">The connection has ended.</exception>
    public void Send(ControlMessage message, params ReadOnlySpan<SafeHandle> descriptors)
    {
        ReadOnlySpan<byte> frame = ControlFrame.Write(message);
        lock (_sending)
        {
            if (SendSome(frame, descriptors) < frame.Length)
            {
                throw DoesNotRead();
            }
        }
    }

    /// <summary>Tells the client that it is served no more, and why. What it has sent and nobody has read takes nothing from that: it reads the reason before it finds the connection ended.</summary>
    public void End(string reason)
    {
        var frame = ControlFrame.Write(new GoodbyeMessage { Reason = reason });
        lock (_sending)
        {
            if (_isReplying)
            {
                // The client reads the rest of a reply first.
                _farewell ??= frame;
            }
            else
            {
                End(frame);
            }
        }
    }

    /// <summary>Answers a request, or a connection before there was any, with an error, and ends the connection.</summary>
    public void Refuse(long id, KvError error, string message)
    {
        try
        {
            Send(new ErrorMessage { Id = id, Error = error, Message = message });
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException or ProtocolException)
        {
            return;
        }

        End(message);
    }

    private static ProtocolException DoesNotRead() => new("The client does not read what it is told.");

    /// <summary>Sends as much as the socket's buffer takes.</summary>
    private int SendSome(ReadOnlySpan<byte> frame, ReadOnlySpan<SafeHandle> descriptors)
    {
        var sent = 0;
        for (int more; sent < frame.Length && (more = DescriptorSocket.Send(socket, frame[sent..], descriptors)) > 0; descriptors = [])
        {
            sent += more;
        }

        return sent;
    }

    private void End(byte[] goodbye)
    {
        try
        {
            if (!_isCut)
            {
                SendSome(goodbye, []);
            }

            socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // It has heard nothing, and finds the connection closed.
        }
    }

    /// <summary>Sends a reply, which may be longer than the socket's buffer. A client is given time to read it; the server's thread never waits for that.</summary>
    /// <exception cref="ProtocolException">The client does not read.</exception>
    private async Task SendReplyAsync(ControlMessage message)
    {
        var frame = ControlFrame.Write(message);
        int sent;
        lock (_sending)
        {
            sent = SendSome(frame, []);
            if (sent == frame.Length)
            {
                return;
            }

            _isReplying = true;
        }

        using var limit = new CancellationTokenSource(ReplyTimeout);
        try
        {
            while (sent < frame.Length)
            {
                sent += await socket.SendAsync(frame.AsMemory(sent), limit.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // Whatever came now would be read as the rest of the reply.
            _isCut = true;
            throw DoesNotRead();
        }
        finally
        {
            lock (_sending)
            {
                _isReplying = false;
                if (_farewell is { } goodbye)
                {
                    End(goodbye);
                }
            }
        }
    }

    private async Task GreetAsync(HelloMessage hello)
    {
        if (hello.Version != ControlFrame.Version)
        {
            throw Refused(hello, new KvException(KvError.InvalidArgument, $"Version {hello.Version} of the protocol; this daemon speaks {ControlFrame.Version}."));
        }

        if (!hello.Attach)
        {
            Send(new OkMessage { Id = hello.Id });
            return;
        }

        try
        {
            KvCacheOptions.Check("bytes of the client's name", Encoding.UTF8.GetByteCount(hello.Name), 0, ServerOptions.MaxNameBytes, 1);
        }
        catch (KvException error)
        {
            throw Refused(hello, error);
        }

        var process = PidFd.TryOpenPeer(socket) ?? throw new ProtocolException("The process has ended.");
        try
        {
            _session = await server.ConnectAsync(hello, pid, process, this).ConfigureAwait(false);
        }
        catch (KvException error)
        {
            process.Dispose();
            throw Refused(hello, error);
        }
        catch
        {
            process.Dispose();
            throw;
        }

        var areas = _session.Areas;
        Send(server.Welcome(_session, hello.Id), areas.ClientDescriptor, areas.DaemonDescriptor, server.EntriesDescriptor, areas.EventDescriptor);
        Send(new MapMessage { Extent = 0, Offset = 0, Bytes = server.PoolBytes }, server.PoolDescriptor);
    }

    private ProtocolException Refused(HelloMessage hello, KvException error)
    {
        Refuse(hello.Id, error.Error, error.Message);
        return new ProtocolException(error.Message, error);
    }

    private async Task ReplyAsync(ControlMessage request)
    {
        try
        {
            switch (request)
            {
                case OpenLaneMessage openLane:
                    var (lane, descriptors) = await server.OpenLaneAsync(Session, openLane).ConfigureAwait(false);
                    Send(lane, descriptors);
                    break;
                default:
                    await SendReplyAsync(await server.PostAsync(() => Do(request)).ConfigureAwait(false)).ConfigureAwait(false);
                    break;
            }
        }
        catch (KvException error)
        {
            Send(new ErrorMessage { Id = request.Id, Error = error.Error, Message = error.Message });
        }
        catch (Devices.OutOfDeviceMemoryException error)
        {
            Send(new ErrorMessage { Id = request.Id, Error = KvError.CapacityExceeded, Message = error.Message });
        }
    }

    /// <summary>On the server's thread.</summary>
    private ControlMessage Do(ControlMessage request)
    {
        switch (request)
        {
            case ReadyMessage:
                Session().IsReady = true;
                break;
            case RegisterModelMessage model:
                return server.RegisterModel(Session(), model);
            case GetStatisticsMessage:
                return server.Statistics(request.Id);
            case GetStatusMessage:
                return server.Status(request.Id);
            case CompactMessage:
                server.Compact();
                break;
            case TrimMessage:
                server.Trim();
                break;
            case LimitMessage limit:
                server.Limit(limit);
                break;
            default:
                throw new ProtocolException($"A client does not send {request.GetType().Name}.");
        }

        return new OkMessage { Id = request.Id };
    }

    private ClientSession Session() => _session is { Reason: null } session
        ? session
        : throw new KvException(KvError.Disconnected, _session is null ? "The connection has attached no client." : $"The client has been disconnected: {_session.Reason}.");

    private async Task EndAsync(string reason, bool saidGoodbye = false)
    {
        if (_session is { } session)
        {
            await server.PostAsync(() =>
            {
                session.SaidGoodbye |= saidGoodbye;
                server.Condemn(session, reason);
                return true;
            }).ConfigureAwait(false);
        }
        else
        {
            End(reason);
        }
    }

    /// <summary>Reads a request. What is none, but could be answered, is.</summary>
    private async ValueTask<ControlMessage?> ReadRequestAsync(CancellationToken stop)
    {
        while (true)
        {
            try
            {
                return await ReadAsync(stop).ConfigureAwait(false);
            }
            catch (InvalidRequestException invalid)
            {
                Send(new ErrorMessage { Id = invalid.Id, Error = KvError.InvalidArgument, Message = invalid.Message });
            }
        }
    }

    private async ValueTask<ControlMessage?> ReadAsync(CancellationToken stop)
    {
        if (!await FillAsync(_header, stop).ConfigureAwait(false))
        {
            return null;
        }

        var json = _json.AsMemory(0, ControlFrame.ReadLength(_header, ControlFrame.MaxRequestBytes));
        return await FillAsync(json, stop).ConfigureAwait(false) ? ControlFrame.Read(json.Span) : throw new ProtocolException("The connection ended in the middle of a message.");
    }

    /// <summary>Reads as many bytes as there is place for.</summary>
    /// <returns>False if the connection ended before the first byte.</returns>
    private async ValueTask<bool> FillAsync(Memory<byte> bytes, CancellationToken stop)
    {
        for (var filled = 0; filled < bytes.Length;)
        {
            var count = await socket.ReceiveAsync(bytes[filled..], stop).ConfigureAwait(false);
            if (count == 0)
            {
                return filled == 0 ? false : throw new ProtocolException("The connection ended in the middle of a message.");
            }

            filled += count;
        }

        return true;
    }
}
