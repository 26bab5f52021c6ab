namespace Kvcached.Devices.Sim;

// What hosts do: submit, observe, signal, touch memory.
public sealed partial class SimDevice
{
    internal void Submit(SimQueue queue, ReadOnlySpan<WaitPoint> waits, CommandList commands, TimelinePoint signal)
    {
        ThrowIfOver();
        ObjectDisposedException.ThrowIf(queue.IsDisposed, queue);
        ArgumentNullException.ThrowIfNull(commands);
        CheckPoints(waits, signal);
        var work = SimWork.Take(queue, (SimTimeline)signal.Timeline, signal.Value);
        Capture(work, commands);
        foreach (ref readonly var wait in waits)
        {
            if (wait.Value != 0)
            {
                work.AddWait((SimTimeline)wait.Timeline, wait.Value);
            }
        }

        work.Actor = queue.Forgetful?.NextActor(work.Signal) ?? queue.Actor;
        work.Tick = ++queue.LastTick;
        if (work.Tick > Epoch.MaxTick)
        {
            throw new InvalidOperationException($"{queue.Label} has had {Epoch.MaxTick} submissions, the most that are tracked.");
        }

        Release(_hosts[Host], out work.Submitted);
        queue.Enqueue(work);
        queue.NoteSignal(work.Signal);
        queue.Remember(work);
        _count.Submissions++;
        _count.Commands += work.CommandCount;
        HashSubmission(queue, work);
        if (Options.Trace is not null)
        {
            TraceSubmission(work);
        }

        _graph.Add(work);
        if (queue.Head == work)
        {
            Refresh(queue);
        }
    }

    /// <summary>The value as the acting host sees it, which then knows what that signal carried.</summary>
    internal ulong Observe(SimTimeline timeline)
    {
        var seen = timeline.ObservedBy(Host);
        var value = timeline.Reached;
        if (value == seen)
        {
            return value;
        }

        if (Options.LagObservation && _runnable != 0)
        {
            if (_lag.OneIn(2))
            {
                return seen;
            }

            value = timeline.ReachedAfter(seen, ref _lag);
        }

        timeline.SetObserved(Host, value);
        Know(_hosts[Host], in timeline.ClockOf(value), forgets: timeline.ForgetsObservation);
        return value;
    }

    internal void SignalFromHost(SimTimeline timeline, ulong value)
    {
        ThrowIfOver();
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, MaxValue);
        if (value <= timeline.Reached)
        {
            return;
        }

        var host = _hosts[Host];
        Release(host, out var clock);
        clock.Join(in host.Clock);
        _hash.Add(((ulong)timeline.Number << 48) ^ value);
        Options.Trace?.WriteLine($"host {host.Label} signals {timeline.Label}:{value}");
        Advance(timeline, value, host.Actor, in clock);
    }

    internal void NoteHostAccess(SimMemory memory, long offset, long bytes, bool write)
    {
        ThrowIfOver();
        if (bytes == 0)
        {
            return;
        }

        var host = _hosts[Host];
        Check(memory, in host.Clock, EpochOf(host), offset, bytes, write);
    }

    internal void NotePopulated(SimMemory memory, long offset, long bytes)
    {
        ThrowIfOver();
        MakePresent(memory, EpochOf(_hosts[Host]), offset, bytes);
    }

    private void MakePresent(SimMemory memory, uint epoch, long offset, long bytes)
    {
        if (bytes > 0 && memory.Presence?.TryPopulate(epoch, offset, bytes) != true)
        {
            Fail(SimViolationKind.Absent, $"{memory.Label}+0x{offset:x}, {bytes} bytes, is to be given memory that some of it has", memory: memory.Label, offset: offset);
        }
    }

    /// <summary>The epoch of what the host does now.</summary>
    private static uint EpochOf(SimHost host)
    {
        if (host.IsReleased)
        {
            host.IsReleased = false;
            host.Clock[host.Actor]++;
        }

        return Epoch.Of(host.Actor, host.Clock[host.Actor]);
    }

    /// <summary>Who gave the signal that reached a point.</summary>
    internal int OwnerOfSignal(SimTimeline timeline, ulong value)
    {
        var owner = _queues[timeline.ActorOf(value)]?.Owner ?? Unowned;
        return owner == Unowned ? timeline.Owner : owner;
    }

    /// <summary>The lowest value of a timeline for which a work that has not started waits.</summary>
    internal ulong LowestWait(SimTimeline timeline)
    {
        var lowest = ulong.MaxValue;
        for (var actor = 0; actor < _actors; actor++)
        {
            for (var work = _queues[actor]?.Head; work is not null; work = work.Next)
            {
                foreach (var wait in work.Started ? [] : work.WaitSpan)
                {
                    lowest = wait.Timeline == timeline ? Math.Min(lowest, wait.Value) : lowest;
                }
            }
        }

        return lowest;
    }

    /// <summary>Whether an actor's tick is ordered before whatever any host submits from now on.</summary>
    internal bool HostsHandOn(int actor, uint tick)
    {
        foreach (var host in _hosts)
        {
            if (HandedOn(host)[actor] < tick)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Hands on what the host has done so far; what it does from now on is not part of that.</summary>
    private void Release(SimHost host, out VectorClock clock)
    {
        clock = HandedOn(host);
        clock[host.Actor] = host.Clock[host.Actor];
        host.IsReleased = true;
    }

    /// <summary>A host has observed something, and hands it on with what it submits unless that is to be forgotten.</summary>
    private void Know(SimHost host, ref readonly VectorClock clock, bool forgets)
    {
        host.Clock.Join(in clock);
        if (Options.ForgetsObservation is not null && !forgets)
        {
            host.Remembered.Join(in clock);
        }
    }

    private ref VectorClock HandedOn(SimHost host) => ref Options.ForgetsObservation is null ? ref host.Clock : ref host.Remembered;

    private void CheckPoints(ReadOnlySpan<WaitPoint> waits, TimelinePoint signal)
    {
        Own(signal.Timeline);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(signal.Value, MaxValue);
        foreach (ref readonly var wait in waits)
        {
            Own(wait.Timeline);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(wait.Value, MaxValue);
        }
    }

    private void Capture(SimWork work, CommandList list)
    {
        var commands = list.Commands;
        if (work.Commands.Length < commands.Length)
        {
            work.Commands = new SimCommand[Math.Max(commands.Length, work.Commands.Length * 2)];
        }

        for (var i = 0; i < commands.Length; i++)
        {
            ref readonly var from = ref commands[i];
            ref var to = ref work.Commands[i];
            to.Kind = from.Kind;
            to.FillValue = from.FillValue;
            to.Populates = false;
            to.Kernel = from.Kind == CommandKind.Launch ? OwnKernel(from.Kernel) : (short)-1;
            to.Target = from.Target is null ? -1 : Own(from.Target).Number;
            to.Source = from.Source is null ? -1 : Own(from.Source).Number;
            to.TargetOffset = from.TargetOffset;
            to.SourceOffset = from.SourceOffset;
            to.Bytes = from.Bytes;
            to.PayloadOffset = from.PayloadOffset;
            to.PayloadBytes = from.PayloadBytes;
        }

        work.CommandCount = commands.Length;
        CountUse(work, 1);
        var payload = list.Payload;
        if (work.Payload.Length < payload.Length)
        {
            work.Payload = new byte[Math.Max(payload.Length, work.Payload.Length * 2)];
        }

        payload.CopyTo(work.Payload);
        _hash.Add(payload);
    }

    private short OwnKernel(DeviceKernel? kernel) => kernel is SimLoadedKernel own && own.Device == this
        ? own.Number
        : throw new ArgumentException($"The kernel {kernel?.Name ?? "null"} is not of this device.", nameof(kernel));

    private void CountUse(SimWork work, int change)
    {
        for (var i = 0; i < work.CommandCount; i++)
        {
            ref readonly var command = ref work.Commands[i];
            if (command.Target >= 0)
            {
                _memories[command.Target].InUse += change;
            }

            if (command.Source >= 0)
            {
                _memories[command.Source].InUse += change;
            }
        }
    }

    private void HashSubmission(SimQueue queue, SimWork work)
    {
        _hash.Add(((ulong)queue.Actor << 56) | ((ulong)work.Tick << 16) | (uint)work.Signal.Number);
        _hash.Add(work.Value);
        foreach (var wait in work.WaitSpan)
        {
            _hash.Add(((ulong)wait.Timeline.Number << 48) ^ wait.Value);
        }

        for (var i = 0; i < work.CommandCount; i++)
        {
            ref readonly var command = ref work.Commands[i];
            _hash.Add(((ulong)command.Kind << 56) ^ ((ulong)command.FillValue << 48) ^ ((ulong)(uint)command.Target << 24) ^ (uint)command.Source);
            _hash.Add(((ulong)command.TargetOffset << 32) ^ (ulong)command.SourceOffset ^ ((ulong)command.Bytes << 16));
        }
    }

    private void TraceSubmission(SimWork work)
    {
        var waits = string.Join(", ", work.WaitSpan.ToArray().Select(wait => $"{wait.Timeline.Label}:{wait.Value}{(wait.IsReached ? " (reached)" : "")}"));
        Options.Trace!.WriteLine($"submit {work} waits [{waits}]");
        for (var i = 0; i < work.CommandCount; i++)
        {
            Options.Trace.WriteLine($"    {Describe(work, i)}");
        }
    }
}
