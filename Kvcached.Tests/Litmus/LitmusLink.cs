using System.Diagnostics;
using System.Net.Sockets;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Tests.Litmus;

/// <summary>
/// One end of what a client and the daemon have between them, made of the library's parts, in steps that a fault can replace. Party 0 is the daemon: it sleeps on
/// descriptors and is called through an eventfd; party 1, the client, sleeps on a futex. As a timeline: what is signalled is a record with that number, and the
/// value is the number of the last record that came.
/// </summary>
internal unsafe class LitmusLink : ILitmusTimeline, IDisposable
{
    private const int AreaBytes = 16 * 1024;
    private const int RingBytes = RingLayout.LeastRing;
    private const int Submissions = 1;
    private const int Line = 64;
    private const int Lines = 48;
    private const int LinesOffset = 48 * 1024;

    /// <summary>Up to some microseconds, as <see cref="LitmusParty.Pause"/> takes it.</summary>
    private const int PauseOfLook = 13;

    /// <summary>Of different lengths, so that records fill the ring in different ways.</summary>
    private const int MostBody = 200;

    private readonly LitmusParty _party;
    private readonly RingProducer _producer;
    private readonly RingConsumer _consumer;
    private readonly byte[] _copy = new byte[MostBody + RingLayout.Alignment];
    private readonly Epoll _epoll = new(1);
    private readonly SafeFileHandle? _event;
    private ulong _received;

    internal LitmusLink(LitmusParty party, nint address)
    {
        _party = party;
        var daemon = (byte*)address;
        var client = daemon + AreaBytes;
        _producer = IsDaemon
            ? new RingProducer(daemon + RingLayout.Ring, RingBytes, (ulong*)(daemon + RingLayout.CompletionTail), (ulong*)(client + RingLayout.CompletionHead))
            : new RingProducer(client + RingLayout.Ring, RingBytes, (ulong*)(client + RingLayout.SubmissionTail), (ulong*)(daemon + RingLayout.SubmissionHead));
        _consumer = IsDaemon
            ? new RingConsumer(client + RingLayout.Ring, RingBytes, (ulong*)(client + RingLayout.SubmissionTail), (ulong*)(daemon + RingLayout.SubmissionHead))
            : new RingConsumer(daemon + RingLayout.Ring, RingBytes, (ulong*)(daemon + RingLayout.CompletionTail), (ulong*)(client + RingLayout.CompletionHead));
        AttentionWord = (uint*)(daemon + RingLayout.Attention);
        SequenceWord = (uint*)(daemon + RingLayout.CompletionSequence);
        SleepsWord = (uint*)(client + RingLayout.ClientSleeps);
        _event = IsDaemon ? Offer() : Accept();
        IsConnected = _event is not null || party.GiveUp("the parties did not meet");
    }

    internal bool IsConnected { get; }

    public ulong Value
    {
        get
        {
            while (_consumer.TryRead(_copy, out var kind, out var bytes) is var status && status != RingStatus.Empty)
            {
                _received++;
                if (status != RingStatus.Ok || kind != (uint)_received || bytes != BodyOf(_received) || !IsWhole(_copy.AsSpan(0, bytes), _received))
                {
                    _party.Violate($"in place of record {_received} came one of kind {kind} with {bytes} bytes: {status}, {_consumer.Fault}");
                    return _received;
                }
            }

            return _received;
        }
    }

    protected uint* AttentionWord { get; }

    protected uint* SequenceWord { get; }

    protected uint* SleepsWord { get; }

    protected bool IsDaemon => _party.Index == 0;

    public void Signal(ulong value)
    {
        var bytes = BodyOf(value);
        if (_producer.TryReserve((uint)value, bytes, out var body) != RingStatus.Ok)
        {
            _party.Violate($"there is no room for record {value}: {_producer.Fault}");
            return;
        }

        body.Fill((byte)value);
        Touch();
        Hand();
    }

    public bool Wait(ulong value, TimeSpan timeout)
    {
        var started = Stopwatch.GetTimestamp();
        while (!HasCome(value))
        {
            var left = timeout - Stopwatch.GetElapsedTime(started);
            if (left <= TimeSpan.Zero || _party.IsStopped)
            {
                return false;
            }

            Touch();
            if (IsDaemon)
            {
                SleepOnDescriptors(value, left);
            }
            else
            {
                SleepOnFutex(value, left);
            }
        }

        return true;
    }

    public void Dispose()
    {
        _epoll.Dispose();
        _event?.Dispose();
    }

    /// <summary>The look before sleep. It takes a while, as it does where there are many rings to look at, so that the other may come between it and what follows.</summary>
    protected bool HasCome(ulong value)
    {
        if (Value >= value)
        {
            return true;
        }

        _party.Pause(PauseOfLook);
        return false;
    }

    /// <summary>Shows the other side what was written, and calls it.</summary>
    protected virtual void Hand()
    {
        Publish();
        Ring();
    }

    protected void Publish() => _producer.Publish();

    protected void Ring()
    {
        if (IsDaemon)
        {
            WakeClient();
        }
        else
        {
            CallDaemon();
        }
    }

    /// <summary>The client's.</summary>
    protected virtual void CallDaemon() => new EventBell(AttentionWord, Submissions, (int)_event!.DangerousGetHandle()).Ring();

    /// <summary>The daemon's.</summary>
    protected virtual void WakeClient() => new SplitBell(SequenceWord, SleepsWord).Ring();

    /// <summary>The daemon's. May return for any reason.</summary>
    protected virtual void SleepOnDescriptors(ulong value, TimeSpan timeout)
    {
        var attention = new Attention(AttentionWord);
        attention.Ask(Submissions);
        if (!HasCome(value))
        {
            SleepOnDescriptors(timeout);
        }

        attention.Cease();
    }

    protected void SleepOnDescriptors(TimeSpan timeout) => _epoll.Wait(timeout);

    /// <summary>The client's. May return for any reason.</summary>
    protected virtual void SleepOnFutex(ulong value, TimeSpan timeout)
    {
        var came = new Came(this, value);
        new SplitBell(SequenceWord, SleepsWord).Await(ref came, 0, timeout);
    }

    protected void WriteEvent() => EventFd.Write(_event!);

    /// <summary>Stores into lines that the other party has stored into: what is stored next waits behind them in the store buffer.</summary>
    private void Touch()
    {
        for (var line = _party.Next(Lines); line > 0; line--)
        {
            *(long*)_party.At(LinesOffset + (line * Line)) = line;
        }
    }

    private static int BodyOf(ulong number) => (int)(number % (MostBody / RingLayout.Alignment)) * RingLayout.Alignment;

    private static bool IsWhole(Span<byte> body, ulong number) => !body.ContainsAnyExcept((byte)number);

    private SafeFileHandle? Offer()
    {
        File.Delete(_party.MeetingPath);
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(_party.MeetingPath));
        listener.Listen();
        if (!listener.Poll(LitmusCatalog.Patience, SelectMode.SelectRead))
        {
            return null;
        }

        using var socket = listener.Accept();
        File.Delete(_party.MeetingPath);
        var called = EventFd.Create();
        _epoll.Add(called, 0);
        DescriptorSocket.Send(socket, [1], [called]);
        return called;
    }

    private SafeFileHandle? Accept()
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        var started = Stopwatch.GetTimestamp();
        var called = new SafeFileHandle?[1];
        while (Stopwatch.GetElapsedTime(started) < LitmusCatalog.Patience)
        {
            try
            {
                socket.Connect(new UnixDomainSocketEndPoint(_party.MeetingPath));
                return socket.Poll(LitmusCatalog.Patience, SelectMode.SelectRead) && DescriptorSocket.Receive(socket, new byte[1], called).Descriptors == 1 ? called[0] : null;
            }
            catch (SocketException)
            {
                // The other does not listen yet.
                Thread.Sleep(1);
            }
        }

        return null;
    }

    private readonly struct Came(LitmusLink link, ulong value) : ICondition
    {
        public bool Holds() => link.HasCome(value);
    }
}

/// <summary>The daemon looks for news, and then asks to be called.</summary>
internal sealed unsafe class AsksLate(LitmusParty party, nint address) : LitmusLink(party, address)
{
    protected override void SleepOnDescriptors(ulong value, TimeSpan timeout)
    {
        if (!HasCome(value))
        {
            new Attention(AttentionWord).Ask(1);
            SleepOnDescriptors(timeout);
            new Attention(AttentionWord).Cease();
        }
    }
}

/// <summary>The daemon's request may still lie in the store buffer when it looks for news.</summary>
internal sealed unsafe class AsksUnfenced(LitmusParty party, nint address) : LitmusLink(party, address)
{
    protected override void SleepOnDescriptors(ulong value, TimeSpan timeout)
    {
        Volatile.Write(ref *AttentionWord, 1);
        if (!HasCome(value))
        {
            SleepOnDescriptors(timeout);
        }

        new Attention(AttentionWord).Cease();
    }
}

/// <summary>The client's tail may still lie in the store buffer when it looks whether the daemon wants to be called.</summary>
internal sealed unsafe class CallsUnfenced(LitmusParty party, nint address) : LitmusLink(party, address)
{
    protected override void CallDaemon()
    {
        if (Volatile.Read(ref *AttentionWord) != 0)
        {
            WriteEvent();
        }
    }
}

/// <summary>Calls, and then shows what it calls for.</summary>
internal sealed class CallsBeforePublishing(LitmusParty party, nint address) : LitmusLink(party, address)
{
    protected override void Hand()
    {
        Ring();
        Publish();
    }
}

/// <summary>The client's word that it sleeps may still lie in the store buffer when it looks for news.</summary>
internal sealed unsafe class SleepsUnfenced(LitmusParty party, nint address) : LitmusLink(party, address)
{
    protected override void SleepOnFutex(ulong value, TimeSpan timeout)
    {
        Volatile.Write(ref *SleepsWord, 1);
        var heard = Volatile.Read(ref *SequenceWord);
        if (!HasCome(value))
        {
            Futex.Wait(SequenceWord, heard, timeout);
        }

        Volatile.Write(ref *SleepsWord, 0);
    }
}

/// <summary>The client hears the sequence after its look: a call in between is taken for an old one.</summary>
internal sealed unsafe class HearsAfterLooking(LitmusParty party, nint address) : LitmusLink(party, address)
{
    protected override void SleepOnFutex(ulong value, TimeSpan timeout)
    {
        Interlocked.Exchange(ref *SleepsWord, 1);
        if (!HasCome(value))
        {
            Futex.Wait(SequenceWord, Volatile.Read(ref *SequenceWord), timeout);
        }

        Volatile.Write(ref *SleepsWord, 0);
    }
}

/// <summary>The daemon's tail may still lie in the store buffer when it looks whether the client sleeps.</summary>
internal sealed unsafe class WakesUnfenced(LitmusParty party, nint address) : LitmusLink(party, address)
{
    protected override void WakeClient()
    {
        if (Volatile.Read(ref *SleepsWord) != 0)
        {
            base.WakeClient();
        }
    }
}
