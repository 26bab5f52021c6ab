using Kvcached.Devices;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;
using Microsoft.Win32.SafeHandles;

namespace Kvcached;

/// <summary>The client's view of what it shares with the daemon (<see cref="RingLayout"/>): rings, timelines, and the words by which each side calls the other.</summary>
internal sealed unsafe class ClientAreas : IDisposable
{
    /// <summary>Looking again for this long costs less than falling asleep.</summary>
    private static readonly long _spinTicks = SpinBudget.TicksOf(2);

    private readonly ISharingDevice _device;
    private readonly DeviceMemory _client;
    private readonly DeviceMemory _daemon;
    private readonly SafeFileHandle _event;
    private readonly SignalBell _endBell;
    private readonly EventBell _submissionBell;
    private readonly SplitBell _completionBell;
    private readonly int _ringBytes;

    /// <summary>Maps the areas. The descriptors are the areas' from here on.</summary>
    public ClientAreas(ISharingDevice device, WelcomeMessage welcome, SafeFileHandle client, SafeFileHandle daemon, SafeFileHandle eventDescriptor)
    {
        (_device, _ringBytes, _event) = (device, welcome.RingBytes, eventDescriptor);
        var bytes = RingLayout.AreaBytes(_ringBytes, welcome.MaxLanes);
        _client = device.Import(client, bytes, MemoryKind.Host, SharedAccess.ReadWriteForOthers, "client area");
        _daemon = device.Import(daemon, bytes, MemoryKind.Host, SharedAccess.ReadOnlyForOthers, "daemon area");
        var own = (byte*)_client.Address;
        var theirs = (byte*)_daemon.Address;
        Submissions = new RingProducer(own + RingLayout.Ring, _ringBytes, (ulong*)(own + RingLayout.SubmissionTail), (ulong*)(theirs + RingLayout.SubmissionHead));
        Completions = new RingConsumer(theirs + RingLayout.Ring, _ringBytes, (ulong*)(theirs + RingLayout.CompletionTail), (ulong*)(own + RingLayout.CompletionHead));
        _submissionBell = new EventBell((uint*)(theirs + RingLayout.Attention), RingLayout.AttendSubmissions, (int)_event.DangerousGetHandle());
        _completionBell = new SplitBell((uint*)(theirs + RingLayout.CompletionSequence), (uint*)(own + RingLayout.ClientSleeps));
        _endBell = device.CreateBell(_daemon, RingLayout.Attention, RingLayout.AttendSignals, EventFd.Copy(_event));
    }

    public RingProducer Submissions { get; }

    public RingConsumer Completions { get; }

    /// <summary>Grows with every turn of the daemon that this client can see.</summary>
    public ulong Heartbeat => Volatile.Read(ref *(ulong*)(_daemon.Address + RingLayout.Heartbeat));

    /// <summary>Whether the daemon has closed the connection.</summary>
    public bool IsClosed => Volatile.Read(ref *(uint*)(_daemon.Address + RingLayout.DaemonState)) != 0;

    /// <summary>The timelines of a lane.</summary>
    public (DeviceTimeline Begin, DeviceTimeline End) ImportTimelines(int lane)
    {
        var offset = RingLayout.TimelineAt(_ringBytes, lane);
        var end = _device.ImportTimeline(_client, offset, $"lane {lane} end");
        _device.Attach(end, _endBell);
        return (_device.ImportTimeline(_daemon, offset, $"lane {lane} begin"), end);
    }

    /// <summary>Calls the daemon if it sleeps: there are submissions.</summary>
    public void RingForSubmissions() => _submissionBell.Ring();

    /// <summary>Calls the daemon, whatever it does.</summary>
    public void Nudge() => EventFd.Write(_event);

    /// <summary>Waits until there are completions, for a time.</summary>
    public void AwaitCompletions(TimeSpan limit)
    {
        var written = new CompletionsWritten((ulong*)(_daemon.Address + RingLayout.CompletionTail), (ulong*)(_client.Address + RingLayout.CompletionHead));
        _completionBell.Await(ref written, _spinTicks, limit);
    }

    public void Dispose()
    {
        _endBell.Dispose();
        _event.Dispose();
        _client.Dispose();
        _daemon.Dispose();
    }

    private readonly struct CompletionsWritten(ulong* tail, ulong* head) : ICondition
    {
        public bool Holds() => Volatile.Read(ref *tail) != *head;
    }
}
