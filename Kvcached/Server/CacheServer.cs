using System.Collections.Concurrent;
using System.Diagnostics;
using Kvcached.Devices;
using Kvcached.Devices.Linux;
using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Protocol;

namespace Kvcached.Server;

/// <summary>
/// The engine of a daemon and its clients, on one thread. All that clients share is made here; sockets are others' business, who post what they want done.
/// <code>
///   turn   what was posted · observe, serve · records of each client, some at a time · answers · background · deaths
///   idle   attention set → one turn more → nothing → sleep until an eventfd or the next deadline
/// </code>
/// What a client or a lane needs of the device is made, and given back, on a second thread: the driver may take its time for that, and nobody's steps wait for it.
/// <code>
///   engine's thread    admit ──┐                       ┌──→ place ──→ … ──→ reclaimed ──┐                  ┌──→ told
///   service thread             └──→ allocate, register ┘                               └──→ end, free ────┘
/// </code>
/// No wake-up is lost: whoever gives work writes it first and looks at the attention word afterwards; the server sets the word first and looks for work
/// afterwards. Thread-safe but for what says that it runs on the server's thread.
/// </summary>
internal sealed partial class CacheServer : IDisposable
{
    /// <summary>Records of one client that a turn reads: others have theirs read in between.</summary>
    private const int RecordsPerTurn = 64;

    /// <summary>How long the thread looks for more before it sleeps: being woken costs about as much.</summary>
    private static readonly TimeSpan _spin = TimeSpan.FromMicroseconds(2);

    private const int PausesPerLook = 8;

    /// <summary>The longest sleep while something is under way: leases, deaths and what no bell is rung for are looked at as often.</summary>
    private static readonly TimeSpan _watchInterval = TimeSpan.FromMilliseconds(50);

    /// <summary>How often the device is asked whether it still works.</summary>
    private static readonly TimeSpan _lookInterval = TimeSpan.FromMilliseconds(250);

    private readonly ServerOptions _options;
    private readonly ISharingDevice _device;
    private readonly EngineHost _host;
    private readonly ConcurrentQueue<Action> _posted = new();
    private readonly List<ClientSession> _sessions = [];
    private readonly Waker _waker;
    private readonly ServiceThread _service;
    private readonly TenantRegistry _tenants;
    private readonly Thread _thread;
    private readonly long _started = Stopwatch.GetTimestamp();
    private volatile bool _stop;
    private bool _hasFailed;
    private long _watchedAt;

    /// <summary>What clients and the daemon's own queues have been asked to ring for.</summary>
    private uint _asked;
    private int _nextNumber = 1;

    /// <summary>Clients that are there, come or go.</summary>
    private int _places;

    /// <summary>Makes the pool and starts the thread.</summary>
    /// <exception cref="KvException">An option is out of range.</exception>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    public CacheServer(ISharingDevice device, ServerOptions options)
    {
        options.Validate();
        (_device, _options) = (device, options);
        _waker = new Waker(device);
        var sizes = new EngineSizes
        {
            PoolBytes = options.PoolBytes,
            PoolFloorBytes = options.PoolFloorBytes,
            ColdBytes = options.ColdBytes,
            TableBytes = options.TableBytes,
            MaxSequences = (int)Math.Min((long)options.MaxClients * options.MaxSequences, int.MaxValue),
        };
        _host = new EngineHost(new HostDevice(device, _waker.Bell), sizes, made => _service!.Post(made.Dispose));
        _service = new ServiceThread(_lookInterval, device.ThrowIfLost, Fail);
        _tenants = new TenantRegistry(_host.Engine, options.Tenants);
        _thread = new Thread(Run) { Name = "kvcached engine", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Raised on the server's thread when a client has come.</summary>
    public event Action<ClientIdentity>? Connected;

    /// <summary>Raised on the server's thread when a client is served no more: its number, and why.</summary>
    public event Action<ClientIdentity, string>? Condemned;

    /// <summary>Raised on the server's thread when nothing of a client is left.</summary>
    public event Action<ClientIdentity>? Reclaimed;

    /// <summary>Raised when the thread has failed, or the device is lost: the daemon is of no use any more.</summary>
    public event Action<Exception>? Failed;

    /// <summary>Has something done on the server's thread, where the engine may be touched.</summary>
    public Task<T> PostAsync<T>(Func<T> work)
    {
        ObjectDisposedException.ThrowIf(_stop, this);
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() => Complete(done, work));
        return done.Task;
    }

    /// <summary>Ends the thread, and gives everything back. Clients find the daemon gone.</summary>
    public void Dispose()
    {
        _stop = true;
        _waker.Wake();
#pragma warning disable RS0030 // Teardown: the thread ends with the turn that it is in.
        _thread.Join();
#pragma warning restore RS0030

        // Whoever waits for an answer gets one.
        _service.Dispose();
        while (RunPosted())
        {
        }

        foreach (var session in _sessions)
        {
            session.Areas.Close();
        }

        _host.Dispose();
        foreach (var session in _sessions)
        {
            session.Dispose();
        }

        _waker.Dispose();
    }

    private static void Complete<T>(TaskCompletionSource<T> done, Func<T> work)
    {
        try
        {
            done.SetResult(work());
        }
        catch (Exception error)
        {
            done.SetException(error);
        }
    }

    /// <summary>Has something made where it may take long, and then put in its place on the server's thread.</summary>
    /// <param name="make">Any thread. What it makes is <paramref name="place"/>'s from there on, also when that throws.</param>
    /// <param name="place">On the server's thread.</param>
    private Task<TPlaced> MakeAsync<TMade, TPlaced>(Func<TMade> make, Func<TMade, TPlaced> place)
    {
        ObjectDisposedException.ThrowIf(_stop, this);
        var done = new TaskCompletionSource<TPlaced>(TaskCreationOptions.RunContinuationsAsynchronously);
        var isPosted = _service.TryPost(() =>
        {
            try
            {
                var made = make();
                Post(() => Complete(done, () => place(made)));
            }
            catch (Exception error)
            {
                done.SetException(error);
            }
        });
        ObjectDisposedException.ThrowIf(!isPosted, this);
        return done.Task;
    }

    private void Post(Action work)
    {
        _posted.Enqueue(work);
        _waker.Wake();
    }

    /// <summary>The service thread cannot do what it should: a device that is lost while nothing is submitted says so to nobody else.</summary>
    private void Fail(Exception error)
    {
        if (!_hasFailed)
        {
            _hasFailed = true;
            Failed?.Invoke(error);
        }
    }

    private void Run()
    {
        try
        {
            var idleSince = 0L;
            while (!_stop)
            {
                if (Turn())
                {
                    // Awake: who has something for it need make no system call.
                    Ask(0);
                    idleSince = 0;
                }
                else if (idleSince == 0)
                {
                    idleSince = Stopwatch.GetTimestamp();
                }
                else if (_asked == 0 && Stopwatch.GetElapsedTime(idleSince) < _spin)
                {
                    Thread.SpinWait(PausesPerLook);
                }
                else if (_asked != Wanted)
                {
                    Ask(Wanted);
                }
                else
                {
                    _waker.Sleep(_sessions.Count > 0 ? _watchInterval : null);
                    Ask(0);
                    idleSince = 0;
                }
            }
        }
        catch (Exception error)
        {
            Failed?.Invoke(error);
        }
    }

    /// <summary>Does what there is to do.</summary>
    /// <returns>Whether there was anything.</returns>
    private bool Turn()
    {
        var worked = RunPosted();
        _host.Observe();
        _host.Engine.Serve();
        for (var i = 0; i < _sessions.Count; i++)
        {
            worked |= Serve(_sessions[i]);
        }

        for (var i = 0; i < _sessions.Count; i++)
        {
            Answer(_sessions[i]);
        }

        _host.Engine.WorkInBackground();
        Watch();
        return worked;
    }

    private bool RunPosted()
    {
        // What comes meanwhile has its turn with the next: whoever asks without end keeps nobody's records waiting.
        var ran = false;
        for (var left = _posted.Count; left > 0 && _posted.TryDequeue(out var work); left--)
        {
            work();
            ran = true;
        }

        return ran;
    }

    private bool Serve(ClientSession session)
    {
        try
        {
            return session.Serve(RecordsPerTurn);
        }
        catch (ProtocolException offence)
        {
            Condemn(session, offence.Message);
            return true;
        }
    }

    private void Answer(ClientSession session)
    {
        try
        {
            if (session.Reason is null)
            {
                session.Areas.Beat();
                session.Answer();
            }
        }
        catch (ProtocolException offence)
        {
            Condemn(session, offence.Message);
        }
    }

    /// <summary>What a sleeping server is to be woken for. A turn may change it, which is then asked for, and followed by one turn more.</summary>
    private uint Wanted => RingLayout.AttendSubmissions | (_host.Engine.AwaitsPoints ? RingLayout.AttendSignals : 0);

    /// <summary>Asks clients, and the daemon's own queues, to ring from now on for this; 0 for nothing.</summary>
    private void Ask(uint bits)
    {
        if (_asked == bits)
        {
            return;
        }

        _asked = bits;
        foreach (var session in _sessions)
        {
            session.Areas.Attention.Ask(bits);
        }

        _waker.Attention.Ask(bits);
    }

    private long Now => (long)Stopwatch.GetElapsedTime(_started).TotalMilliseconds;
}
