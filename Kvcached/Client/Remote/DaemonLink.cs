using System.Diagnostics;
using Kvcached.Devices;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;
using Microsoft.Win32.SafeHandles;

namespace Kvcached;

/// <summary>
/// What a client shares with its daemon: the control connection, memory, and the rings. Tells when the daemon is gone or stopped. Guarded by the cache's lock, but for
/// <see cref="Ask"/>, which has its own.
/// </summary>
internal sealed class DaemonLink : IDisposable
{
    /// <summary>How often a caller looks whether the daemon lives.</summary>
    private static readonly TimeSpan _lookInterval = TimeSpan.FromMilliseconds(50);

    /// <summary>How long a daemon that was called may take for a turn before one looks whether it has been stopped; and before it is given up, stopped or not.</summary>
    private static readonly TimeSpan _stopSuspicion = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan _silenceLimit = TimeSpan.FromSeconds(20);

    /// <summary>How long the reason of a daemon that has closed the connection is waited for.</summary>
    private static readonly TimeSpan _reasonPatience = TimeSpan.FromMilliseconds(300);

    private readonly Lock _controlLock = new();
    private readonly ControlClient _control;
    private readonly ISharingDevice _device;
    private readonly ClientAreas _areas;
    private readonly List<IDisposable> _owned = [];
    private long _lookedAt;
    private ulong _beat;
    private long _calledAt;
    private string? _lost;
    private bool _disposed;

    private DaemonLink(ISharingDevice device, ControlClient control, WelcomeMessage welcome)
    {
        if (device.SharedMemory != welcome.Memory)
        {
            throw new KvException(
                KvError.InvalidArgument,
                $"The daemon's device is {welcome.Device}, whose memory {device.Name} cannot map: connect with {(welcome.Memory == SharedMemoryKind.Cuda ? "a cuda device of the same GPU" : "the cpu device, or an OpenCL device that uses the host's memory")}.");
        }

        (_device, _control, Welcome) = (device, control, welcome);
        var (client, daemon, entries, bell) = (control.TakeDescriptor(), control.TakeDescriptor(), control.TakeDescriptor(), control.TakeDescriptor());
        _areas = new ClientAreas(device, welcome, client, daemon, bell);
        Entries = Keep(Import(entries, welcome.EntriesBytes, SharedAccess.ReadOnlyForOthers, "entries"));
        var extent = control.Expect<MapMessage>();
        Pool = Keep(Import(control.TakeDescriptor(), extent.Bytes, SharedAccess.ReadWriteForOthers, "pool"));
        control.Ask<OkMessage>(new ReadyMessage());
    }

    public WelcomeMessage Welcome { get; }

    public DeviceMemory Entries { get; }

    public DeviceMemory Pool { get; }

    /// <summary>Attaches to a daemon.</summary>
    /// <exception cref="KvException">Nobody answers, or the daemon refuses.</exception>
    public static async Task<DaemonLink> ConnectAsync(ISharingDevice device, string socket, KvConnectOptions options, CancellationToken cancellation)
    {
        var control = await ControlClient.ConnectAsync(socket, options.Timeout, cancellation).ConfigureAwait(false);
        try
        {
            // The exchange waits for replies: not on the caller's thread.
            return await Task.Run(
                () =>
                {
                    var hello = new HelloMessage { Version = ControlFrame.Version, Tenant = options.Tenant, Name = options.Name, RingBytes = options.RingBytes };
                    return new DaemonLink(device, control, control.Ask<WelcomeMessage>(hello));
                },
                cancellation).ConfigureAwait(false);
        }
        catch
        {
            control.Dispose();
            throw;
        }
    }

    /// <summary>Has a request answered. Thread-safe.</summary>
    /// <exception cref="KvException">The daemon refuses it, or is lost.</exception>
    public TReply Ask<TReply>(ControlMessage request)
        where TReply : ControlMessage
    {
        lock (_controlLock)
        {
            return _control.Ask<TReply>(request);
        }
    }

    /// <summary>Opens a lane and maps what is its own.</summary>
    public (LaneMessage Reply, RemoteLaneMemory Memory) OpenLane(KvLaneOptions options)
    {
        lock (_controlLock)
        {
            var reply = _control.Ask<LaneMessage>(new OpenLaneMessage
            {
                Depth = options.Depth,
                MaxBatch = options.MaxBatch,
                MaxLayouts = options.MaxLayouts,
                MaxPages = options.MaxPages,
                PoolAddress = options.Windows ? (long)Pool.Address : 0,
            });
            var views = ImportOfLane(reply.ViewBytes, $"views of lane {reply.Lane}");
            var tables = options.MaxPages > 0 ? ImportOfLane(reply.PageTableBytes, $"page tables of lane {reply.Lane}") : null;
            var windows = options.Windows ? ImportOfLane(reply.WindowBytes, $"windows of lane {reply.Lane}") : null;
            var (begin, end) = _areas.ImportTimelines((int)reply.Lane);
            return (reply, new RemoteLaneMemory(Keep(begin), Keep(end), views, tables, windows));
        }
    }

    /// <summary>Makes room in the ring for a record.</summary>
    /// <returns>False where there is none yet.</returns>
    public bool TryReserve(SubmissionKind kind, int bytes, out Span<byte> body) => _areas.Submissions.TryReserve((uint)kind, bytes, out body) switch
    {
        RingStatus.Ok => true,
        RingStatus.Full => false,
        _ => throw Lose("what it has written into the rings cannot be"),
    };

    /// <summary>Shows the daemon the record that was reserved.</summary>
    public void Publish()
    {
        _areas.Submissions.Publish();
        _areas.RingForSubmissions();
    }

    /// <summary>Sends a record; where the ring is full, waits until the daemon has read some.</summary>
    public void Send(SubmissionKind kind, ReadOnlySpan<byte> record)
    {
        Span<byte> body;
        while (!TryReserve(kind, record.Length, out body))
        {
            _areas.Nudge();
            Pause();
        }

        record.CopyTo(body);
        Publish();
    }

    /// <summary>Reads what the daemon has told.</summary>
    /// <returns>False where there is nothing.</returns>
    public bool TryRead(Span<byte> copy, out CompletionKind kind, out int bytes)
    {
        var status = _areas.Completions.TryRead(copy, out var number, out bytes);
        kind = (CompletionKind)number;
        return status switch
        {
            RingStatus.Ok => true,
            RingStatus.Empty => false,
            _ => throw Lose("what it has written into the rings cannot be"),
        };
    }

    /// <summary>Waits for a while until the daemon tells something.</summary>
    /// <exception cref="KvException">The daemon is lost.</exception>
    public void Pause()
    {
        _areas.AwaitCompletions(_lookInterval);
        ThrowIfLost();
    }

    /// <summary>Looks, now and then, whether the daemon lives.</summary>
    /// <exception cref="KvException">It is gone, has been stopped, or has disconnected this client.</exception>
    public void ThrowIfLost()
    {
        if (_lost is not null || _areas.IsClosed)
        {
            throw Lose("it has closed the connection");
        }

        var now = Stopwatch.GetTimestamp();
        if (Stopwatch.GetElapsedTime(_lookedAt, now) >= _lookInterval)
        {
            _lookedAt = now;
            Look(now);
        }
    }

    /// <summary>Closes the connection as a process does that ends: for tests.</summary>
    internal void CloseWithoutGoodbye() => _control.CloseWithoutGoodbye();

    /// <summary>Gives everything back. The application's queues must not name it any more.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        lock (_controlLock)
        {
            _control.Dispose();
        }

        _owned.ForEach(owned => owned.Dispose());
        _areas.Dispose();
    }

    private DeviceMemory ImportOfLane(long bytes, string label) => Keep(Import(_control.TakeDescriptor(), bytes, SharedAccess.ReadOnlyForOthers, label));

    private DeviceMemory Import(SafeFileHandle descriptor, long bytes, SharedAccess access, string label)
    {
        try
        {
            return _device.Import(descriptor, bytes, MemoryKind.Device, access, label);
        }
        catch (ArgumentException error)
        {
            throw new KvException(KvError.InvalidArgument, $"{_device.Name} cannot map the {label} of the daemon's device, {Welcome.Device}: {error.Message}");
        }
    }

    private void Look(long now)
    {
        if (IsControlClosed(TimeSpan.Zero))
        {
            throw Lose("its process has ended, or it has closed the connection");
        }

        var beat = _areas.Heartbeat;
        if (beat != _beat)
        {
            (_beat, _calledAt) = (beat, 0);
            return;
        }

        // A daemon that sleeps does not beat: it is called, and has until the next looks.
        _areas.Nudge();
        _calledAt = _calledAt == 0 ? now : _calledAt;
        var silence = Stopwatch.GetElapsedTime(_calledAt, now);
        if (silence > _stopSuspicion && ProcessState.IsStopped(Welcome.Pid))
        {
            throw Lose("its process has been stopped");
        }

        if (silence > _silenceLimit)
        {
            throw Lose($"it has not answered for {_silenceLimit.TotalSeconds} s");
        }
    }

    private bool IsControlClosed(TimeSpan patience)
    {
        // Somebody who waits for a reply finds out by himself.
        if (!_controlLock.TryEnter())
        {
            return false;
        }

        try
        {
            return _control.IsClosed(patience);
        }
        finally
        {
            _controlLock.Exit();
        }
    }

    private KvException Lose(string how)
    {
        if (_lost is null)
        {
            // Its memory says so before the socket does, by which the reason comes.
            _ = IsControlClosed(_areas.IsClosed ? _reasonPatience : TimeSpan.Zero);
            _lost = _control.Reason is { } reason ? $"The daemon has disconnected this client: {reason}." : $"The daemon is lost: {how}.";
        }

        return new KvException(KvError.DaemonLost, _lost);
    }

    private TOwned Keep<TOwned>(TOwned owned)
        where TOwned : IDisposable
    {
        _owned.Add(owned);
        return owned;
    }
}
