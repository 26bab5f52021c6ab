using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Bench.Fuzz;

/// <summary>
/// A connection of a client that keeps to no rules: frames of any bytes go out, and what the daemon shares is written at will. One thread, but for the areas' words.
/// </summary>
internal sealed unsafe class HostileConnection : IDisposable
{
    /// <summary>Longer than the daemon may take for anything.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    /// <summary>There are few tenants and clients at a time: their status is far shorter.</summary>
    private const int MostReplyBytes = 1 << 20;

    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly List<SharedMapping> _mappings = [];
    private readonly Queue<SafeFileHandle> _descriptors = new();
    private readonly SafeFileHandle?[] _received = new SafeFileHandle?[DescriptorSocket.MostDescriptors];
    private readonly byte[] _bytes = new byte[ControlFrame.HeaderBytes + MostReplyBytes];
    private int _filled;
    private SafeFileHandle? _bell;
    private long _requests;

    public HostileConnection(string socket) => _socket.Connect(new UnixDomainSocketEndPoint(socket));

    /// <summary>What the daemon gave as the reason why it ended the connection, or refused to begin it.</summary>
    public string? Reason { get; private set; }

    /// <summary>Whether the daemon has ended the connection.</summary>
    public bool IsClosed { get; private set; }

    public WelcomeMessage? Welcome { get; private set; }

    public byte* ClientArea { get; private set; }

    public byte* DaemonArea { get; private set; }

    public uint* Entries { get; private set; }

    public int RingBytes => Welcome!.RingBytes;

    public ulong SubmissionHead => Volatile.Read(ref *(ulong*)(DaemonArea + RingLayout.SubmissionHead));

    /// <summary>Whether the daemon says, in memory, that it reads no more.</summary>
    public bool IsCondemned => Volatile.Read(ref *(uint*)(DaemonArea + RingLayout.DaemonState)) != 0;

    /// <summary>Attaches as a well-behaved client does.</summary>
    /// <returns>False if the daemon did not want it.</returns>
    public bool TryAttach(HelloMessage hello)
    {
        Welcome = Ask(hello) as WelcomeMessage;
        if (Welcome is null || Receive(Patience) is not MapMessage || _descriptors.Count != 5)
        {
            return false;
        }

        var bytes = RingLayout.AreaBytes(Welcome.RingBytes, Welcome.MaxLanes);
        ClientArea = (byte*)Map(bytes, writable: true);
        DaemonArea = (byte*)Map(bytes, writable: false);
        Entries = (uint*)Map(Welcome.EntriesBytes, writable: false);
        _bell = _descriptors.Dequeue();

        // The pool is cooperative: nothing hostile is written there.
        _descriptors.Dequeue().Dispose();
        return Ask(new ReadyMessage()) is OkMessage;
    }

    /// <summary>Opens a lane; null if the daemon refuses.</summary>
    public (LaneMessage Lane, nint Views, nint Windows)? OpenLane(OpenLaneMessage request) =>
        Ask(request) is LaneMessage lane ? (lane, Map(lane.ViewBytes, writable: false), lane.WindowBytes == 0 ? 0 : Map(lane.WindowBytes, writable: false)) : null;

    /// <summary>Sends a request and returns its reply; null if the daemon ended the connection instead.</summary>
    public ControlMessage? Ask(ControlMessage request)
    {
        var id = ++_requests;
        if (!Send(ControlFrame.Write(request with { Id = id }), []))
        {
            return null;
        }

        ControlMessage? reply;
        while ((reply = Receive(Patience)) is not null && reply.Id != id && reply is not ErrorMessage { Id: 0 })
        {
        }

        return reply;
    }

    /// <summary>Sends bytes, whatever they are.</summary>
    /// <returns>False if not all of them went: the daemon does not read, or has ended the connection.</returns>
    public bool Send(ReadOnlySpan<byte> bytes, ReadOnlySpan<SafeHandle> descriptors)
    {
        var started = Stopwatch.GetTimestamp();
        try
        {
            while (bytes.Length > 0)
            {
                var sent = DescriptorSocket.Send(_socket, bytes, descriptors);
                descriptors = sent > 0 ? [] : descriptors;
                bytes = bytes[sent..];
                if (sent == 0 && !_socket.Poll(TimeSpan.FromMilliseconds(100), SelectMode.SelectWrite) && Stopwatch.GetElapsedTime(started) > TimeSpan.FromSeconds(1))
                {
                    return false;
                }
            }

            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>Closes this end for writing: the daemon finds the connection ended.</summary>
    public void EndWriting()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
        }
        catch (SocketException)
        {
            // The daemon was first.
        }
    }

    /// <summary>Wakes the daemon.</summary>
    public void Call() => EventFd.Write(_bell!);

    /// <summary>Reads what has come, and waits no longer than that for more.</summary>
    /// <returns>Whether the daemon has ended the connection.</returns>
    public bool LooksClosed(TimeSpan limit)
    {
        while (!IsClosed && Receive(limit) is not null)
        {
        }

        return IsClosed;
    }

    /// <summary>The next message; null if none came in time, or none will.</summary>
    public ControlMessage? Receive(TimeSpan limit)
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            if (_filled >= ControlFrame.HeaderBytes && ControlFrame.ReadLength(_bytes, MostReplyBytes) + ControlFrame.HeaderBytes is var frame && _filled >= frame)
            {
                var message = ControlFrame.Read(_bytes.AsSpan(ControlFrame.HeaderBytes, frame - ControlFrame.HeaderBytes));
                _bytes.AsSpan(frame, _filled - frame).CopyTo(_bytes);
                _filled -= frame;
                Reason = message switch
                {
                    GoodbyeMessage goodbye => goodbye.Reason,
                    ErrorMessage { Id: 0 } error => error.Message,
                    _ => Reason,
                };
                return message;
            }

            if (IsClosed || !TryFill(limit - Stopwatch.GetElapsedTime(started)))
            {
                return null;
            }
        }
    }

    public void Dispose()
    {
        _socket.Dispose();
        _bell?.Dispose();
        _mappings.ForEach(mapping => mapping.Dispose());
        while (_descriptors.TryDequeue(out var descriptor))
        {
            descriptor.Dispose();
        }
    }

    private bool TryFill(TimeSpan limit)
    {
        try
        {
            if (!_socket.Poll(limit > TimeSpan.Zero ? limit : TimeSpan.Zero, SelectMode.SelectRead))
            {
                return false;
            }

            var received = DescriptorSocket.Receive(_socket, _bytes.AsSpan(_filled), _received);
            _filled += received.Bytes;
            foreach (var descriptor in _received.AsSpan(0, received.Descriptors))
            {
                _descriptors.Enqueue(descriptor!);
            }

            IsClosed = received.Status is ReceiveStatus.Ended or ReceiveStatus.TooManyDescriptors;
        }
        catch (SocketException)
        {
            IsClosed = true;
        }

        return !IsClosed;
    }

    private nint Map(long bytes, bool writable)
    {
        var mapping = SharedMapping.Import(_descriptors.Dequeue(), bytes, writable);
        _mappings.Add(mapping);
        return mapping.Address;
    }
}
