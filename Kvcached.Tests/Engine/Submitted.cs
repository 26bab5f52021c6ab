using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Memory;

namespace Kvcached.Tests.Engine;

/// <summary>A command as it was submitted: a copy or a fill as it stands, a table update with its entries.</summary>
internal sealed record SubmittedCommand(Command Command, TableEntry[] Entries)
{
    public CommandKind Kind => Command.Kind;

    public bool IsCopy(DeviceMemory target, DeviceMemory source) => Kind == CommandKind.Copy && Command.Target == target && Command.Source == source;
}

/// <summary>A submission as the engine made it.</summary>
internal sealed record Submitted(int Queue, EngineWait[] Waits, SubmittedCommand[] Commands, Point Signal)
{
    public WaitReason[] Reasons => [.. Waits.Select(wait => wait.Reason).Order()];

    public IEnumerable<SubmittedCommand> Of(CommandKind kind) => Commands.Where(command => command.Kind == kind);

    /// <summary>Blocks that the submission copies: those that go on at both ends go in one command.</summary>
    public long CopiedBlocks => Of(CommandKind.Copy).Sum(command => command.Command.Bytes) / EngineRig.BlockBytes;

    /// <summary>Table entries that the submission writes.</summary>
    public TableEntry[] Entries => [.. Of(CommandKind.UpdateTable).SelectMany(command => command.Entries)];

    public Point WaitFor(WaitReason reason) => Waits.Single(wait => wait.Reason == reason).Point;
}

/// <summary>Takes submissions down and runs nothing.</summary>
internal sealed class Recorder : ISubmitter
{
    private readonly List<Submitted> _submitted = [];

    /// <summary>Last value that each timeline has been told to signal.</summary>
    public Dictionary<int, ulong> Signals { get; } = [];

    /// <summary>Ranges of the pool whose memory was given back.</summary>
    public List<(long Offset, long Bytes)> Discarded { get; } = [];

    /// <summary>Ranges of the pool that were given memory.</summary>
    public List<(long Offset, long Bytes)> Populated { get; } = [];

    public void Discard(long offset, long bytes) => Discarded.Add((offset, bytes));

    /// <summary>Whether memory comes later, and which arrivals are refused.</summary>
    public bool GivesLater { get; set; }

    public HashSet<ulong> Refused { get; } = [];

    public Point Populate(long offset, long bytes)
    {
        Populated.Add((offset, bytes));
        return GivesLater ? new Point(Point.ArrivalTimeline, (ulong)Populated.Count) : default;
    }

    public bool IsRefused(Point arrival) => Refused.Remove(arrival.Value);

    /// <summary>Lanes that have been closed.</summary>
    public List<int> Closed { get; } = [];

    public void Close(int lane) => Closed.Add(lane);

    public void Submit(int queue, ReadOnlySpan<EngineWait> waits, CommandList commands, Point signal)
    {
        var taken = new List<SubmittedCommand>();
        foreach (var command in commands.Commands)
        {
            var payload = commands.Payload.Slice(command.PayloadOffset, command.PayloadBytes);
            taken.Add(new SubmittedCommand(command, command.Kind == CommandKind.UpdateTable ? MemoryMarshal.Cast<byte, TableEntry>(payload).ToArray() : []));
        }

        _submitted.Add(new Submitted(queue, waits.ToArray(), [.. taken], signal));
        Signals[signal.Timeline] = signal.Value;
    }

    /// <summary>What has been submitted since the last call.</summary>
    public Submitted[] Take()
    {
        var taken = _submitted.ToArray();
        _submitted.Clear();
        return taken;
    }
}
