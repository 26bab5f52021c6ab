using System.Diagnostics.CodeAnalysis;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Kvcached.Devices.Sim;

// What queues do: slices, accesses, signals.
public sealed partial class SimDevice
{
    private const int MaxCellsOfASlice = 16;

    /// <summary>Lets one queue run one slice: a command, a part of one, a slice of a kernel, or the signal.</summary>
    /// <returns>False if nothing can run.</returns>
    /// <exception cref="SimViolationException">The slice showed a violation, or an earlier call did.</exception>
    public bool RunSlice()
    {
        ThrowIfOver();
        if (_runnable == 0)
        {
            return false;
        }

        var queue = _queues[_scheduler.Pick(_runnable)]!;
        var work = queue.Head!;
        _count.Slices++;
        if (!work.Started)
        {
            Start(queue, work);
        }

        _hash.Add(((ulong)queue.Actor << 58) ^ ((ulong)work.Tick << 32) ^ ((ulong)(uint)work.Command << 20) ^ (ulong)work.Progress);
        if (work.Command == work.CommandCount)
        {
            Finish(queue, work);
        }
        else if (RunPart(queue, work, ref work.Commands[work.Command]))
        {
            work.Command++;
            work.Progress = 0;
            work.KernelSlice = 0;
            work.KernelState = 0;
        }

        return true;
    }

    /// <summary>Runs up to <paramref name="count"/> slices. Returns how many ran: fewer if nothing can run any more.</summary>
    public int RunSlices(int count)
    {
        var ran = 0;
        while (ran < count && RunSlice())
        {
            ran++;
        }

        return ran;
    }

    /// <summary>Runs until nothing can run. Returns the number of slices.</summary>
    public long RunUntilIdle()
    {
        var before = _count.Slices;
        while (RunSlice())
        {
        }

        return _count.Slices - before;
    }

    /// <summary>Runs until a point is truly reached. Returns false if nothing can run any more before that.</summary>
    public bool RunUntil(TimelinePoint point)
    {
        var timeline = Own(point.Timeline);
        while (timeline.Reached < point.Value)
        {
            if (!RunSlice())
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Gives a kernel a range of memory, and checks the access.</summary>
    internal Span<byte> Access(SimQueue queue, ulong address, int bytes, bool write)
    {
        var number = (int)(address >> SimMemory.AddressShift) - 1;
        var offset = (long)(address & ((1ul << SimMemory.AddressShift) - 1));
        if ((uint)number >= (uint)_memories.Count || _memories[number] is not { IsDisposed: false } memory || bytes < 0 || bytes > memory.Bytes - offset)
        {
            var near = (uint)number < (uint)_memories.Count ? $", {_memories[number].Label}+0x{offset:x}" : string.Empty;
            Fail(
                SimViolationKind.OutOfRange,
                $"{queue.Head} {(write ? "writes" : "reads")} {bytes} bytes at address 0x{address:x}{near}, which do not lie in one memory",
                second: queue.Head!.ToString());
            return default;
        }

        if (bytes != 0)
        {
            Check(memory, in queue.Clock, Epoch.Of(queue.Head!.Actor, queue.Head.Tick), offset, bytes, write);
        }

        return memory.Raw.Slice((int)offset, bytes);
    }

    [DoesNotReturn]
    internal void FailContent(SimQueue queue, SimWork work, string message) =>
        Fail(SimViolationKind.Content, $"{queue.Describe(work.Tick)}: {message}", second: queue.Describe(work.Tick));

    /// <summary>Ends the run.</summary>
    [DoesNotReturn]
    internal void Fail(SimViolationKind kind, string message, string first = "", string second = "", string memory = "", long offset = 0)
    {
        Record(kind, message, first, second, memory, offset);
        throw new SimViolationException(Violation!);
    }

    /// <summary>Gives up what a queue has not started, and at once what it has, unless that may finish.</summary>
    internal void End(SimQueue queue, bool finishStarted)
    {
        queue.IsDisposed = true;
        while (queue.Tail is { } work && !(finishStarted && work.Started))
        {
            queue.RemoveLast();
            Forget(work);
        }

        if (queue.Head is null)
        {
            _runnable &= ~queue.Bit;
        }
    }

    private void Start(SimQueue queue, SimWork work)
    {
        work.Started = true;
        ref var clock = ref queue.Clock;
        queue.Forgetful?.Begin(work.Signal, ref clock);
        clock.Join(in work.Submitted);
        foreach (ref readonly var wait in work.WaitSpan)
        {
            clock.Join(in wait.Timeline.ClockOf(wait.Value));
        }

        clock[work.Actor] = work.Tick;
    }

    /// <summary>Runs a command, or a part of it. Returns whether that was its end.</summary>
    private bool RunPart(SimQueue queue, SimWork work, ref SimCommand command)
    {
        Options.Trace?.WriteLine($"run {queue.Label}#{work.Tick} {Describe(work, work.Command)} from {work.Progress}");
        if (command.Kind == CommandKind.Launch)
        {
            var context = new SimKernelContext(this, queue, work, work.Payload.AsSpan(command.PayloadOffset, command.PayloadBytes));
            return _kernels[command.Kernel].Kernel.Run(ref context, work.KernelSlice++);
        }

        var epoch = Epoch.Of(work.Actor, work.Tick);
        var target = _memories[command.Target];
        if (command.Populates && work.Progress == 0 && !TryPopulate(work, in command, target))
        {
            return true;
        }

        if (command.Kind == CommandKind.UpdateTable)
        {
            return RunUpdate(queue, work, ref command, target, epoch);
        }

        var part = Cut(command.Bytes - work.Progress, target.Cells.CellBytes);
        var to = command.TargetOffset + work.Progress;
        if (command.Kind == CommandKind.Fill)
        {
            Check(target, in queue.Clock, epoch, to, part, write: true);
            target.Raw.Slice((int)to, (int)part).Fill(command.FillValue);
        }
        else
        {
            var source = _memories[command.Source];
            var from = command.SourceOffset + work.Progress;
            Check(source, in queue.Clock, epoch, from, part, write: false);
            Check(target, in queue.Clock, epoch, to, part, write: true);
            source.Raw.Slice((int)from, (int)part).CopyTo(target.Raw.Slice((int)to, (int)part));
        }

        work.Progress += part;
        return work.Progress == command.Bytes;
    }

    private bool RunUpdate(SimQueue queue, SimWork work, ref SimCommand command, SimMemory table, uint epoch)
    {
        var part = (int)Cut(command.PayloadBytes - work.Progress, Unsafe.SizeOf<TableEntry>());
        var entries = MemoryMarshal.Cast<byte, TableEntry>(work.Payload.AsSpan(command.PayloadOffset + (int)work.Progress, part));
        var values = MemoryMarshal.Cast<byte, uint>(table.Raw);
        foreach (var entry in entries)
        {
            Check(table, in queue.Clock, epoch, (long)entry.Index * sizeof(uint), sizeof(uint), write: true);
            values[(int)entry.Index] = entry.Value;
        }

        work.Progress += part;
        return work.Progress == command.PayloadBytes;
    }

    /// <summary>How much of what is left runs now: mostly all, sometimes a random number of cells; never much, so that a long copy is as many slices as short ones.</summary>
    private long Cut(long bytes, int cellBytes)
    {
        bytes = Math.Min(bytes, MaxCellsOfASlice * cellBytes);
        if (bytes <= cellBytes)
        {
            return bytes;
        }

        var random = _scheduler.Random.Next();
        return (random & 3) != 0 ? bytes : cellBytes * (1 + (long)((random >> 8) % (ulong)((bytes - 1) / cellBytes)));
    }

    private void Finish(SimQueue queue, SimWork work)
    {
        queue.Dequeue();
        var signal = work.Signal;
        var value = work.Value;
        var actor = work.Actor;
        queue.Forgetful?.End(signal, in queue.Clock);
        Options.Trace?.WriteLine($"signal {work}");
        Forget(work);
        if (value > signal.Reached)
        {
            Advance(signal, value, actor, in queue.Clock);
        }

        Refresh(queue);
    }

    private void Forget(SimWork work)
    {
        work.Signal.RemoveSubmission(work);
        CountUse(work, -1);
        work.Return();
    }

    private void Advance(SimTimeline timeline, ulong value, int actor, ref readonly VectorClock clock)
    {
        timeline.Advance(value, actor, in clock);
        var blocked = timeline.Blocked;
        timeline.Blocked = 0;
        for (; blocked != 0; blocked &= blocked - 1)
        {
            if (_queues[BitOperations.TrailingZeroCount(blocked)] is { } queue)
            {
                Refresh(queue);
            }
        }
    }

    /// <summary>Finds out whether a queue can run; if not for a wait, leaves word with the timeline.</summary>
    private void Refresh(SimQueue queue)
    {
        if (_queues[queue.Actor] != queue)
        {
            // It has ended, and another has its place.
            return;
        }

        _runnable &= ~queue.Bit;
        if (queue.IsStalled || queue.Head is not { } work)
        {
            return;
        }

        if (!work.Started)
        {
            foreach (ref readonly var wait in work.WaitSpan)
            {
                if (!wait.IsReached)
                {
                    wait.Timeline.Blocked |= queue.Bit;
                    return;
                }
            }
        }

        _runnable |= queue.Bit;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Check(SimMemory memory, ref readonly VectorClock clock, uint epoch, long offset, long bytes, bool write)
    {
        if (memory.Presence is not null && memory.Presence.TryFindMissing(in clock, offset, bytes, out var missing))
        {
            FailAbsent(memory, epoch, missing, write);
        }

        Conflict conflict;
        var cells = write
            ? memory.Cells.Write(in clock, epoch, offset, bytes, out conflict)
            : memory.Cells.Read(in clock, epoch, offset, bytes, out conflict);
        if (cells < 0)
        {
            FailRace(memory, epoch, conflict, write);
        }

        _count.CellsChecked += cells;
    }

    [DoesNotReturn]
    private void FailAbsent(SimMemory memory, uint epoch, long page, bool write) => Fail(
        SimViolationKind.Absent,
        $"{Describe(epoch)} {(write ? "writes" : "reads")} {memory.Label}+0x{page:x}, {(memory.IsPresent(page) ? "and is not ordered after that came back" : "which has been discarded")}",
        second: Describe(epoch),
        memory: memory.Label,
        offset: page);

    [DoesNotReturn]
    private void FailRace(SimMemory memory, uint epoch, Conflict conflict, bool write)
    {
        var first = Describe(conflict.Epoch);
        var second = Describe(epoch);
        var offset = (long)conflict.Cell * memory.Cells.CellBytes;
        Fail(
            SimViolationKind.Race,
            $"race in {memory.Label}+0x{offset:x} ({memory.Cells.CellBytes} bytes): the {(conflict.WasWrite ? "write" : "read")} by {first} is not ordered before the {(write ? "write" : "read")} by {second}",
            first,
            second,
            memory.Label,
            offset);
    }

    private void Record(SimViolationKind kind, string message, string first = "", string second = "", string memory = "", long offset = 0)
    {
        var replay = Options.Replay is null ? string.Empty : $"; replay: {Options.Replay}";
        Violation ??= new SimViolation(kind, $"{message}; seed {Options.Seed}{replay}", Options.Seed, first, second, memory, offset);
        Options.Trace?.WriteLine($"violation: {Violation.Message}");
    }

    private void ThrowIfOver()
    {
        if (Violation is not null)
        {
            throw new SimViolationException(Violation);
        }

        ObjectDisposedException.ThrowIf(_isDisposed, this);
    }

    private string Describe(uint epoch)
    {
        var actor = Epoch.Actor(epoch);
        return _queues[actor]?.Describe(Epoch.Tick(epoch)) ?? $"host {_hosts.First(host => host.Actor == actor).Label}";
    }

    private string Describe(SimWork work, int index)
    {
        ref readonly var command = ref work.Commands[index];
        string Place(int memory, long offset) => $"{_memories[memory].Label}+0x{offset:x}";
        return command.Kind switch
        {
            CommandKind.Copy => $"copy {Place(command.Target, command.TargetOffset)} ← {Place(command.Source, command.SourceOffset)}, {command.Bytes} bytes",
            CommandKind.Fill => $"fill {Place(command.Target, command.TargetOffset)} with {command.FillValue}, {command.Bytes} bytes",
            CommandKind.UpdateTable => $"update {Place(command.Target, 0)}: {string.Join(", ", MemoryMarshal.Cast<byte, TableEntry>(work.Payload.AsSpan(command.PayloadOffset, command.PayloadBytes)).ToArray().Take(16).Select(entry => $"[{entry.Index}]={entry.Value}"))}",
            _ => $"launch {_kernels[command.Kernel].Name}",
        };
    }
}
