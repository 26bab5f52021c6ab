namespace Kvcached.Devices.Sim;

// Memory that is given later: by a queue of the device's own, whose submissions fill what they populate.
public sealed partial class SimDevice
{
    private readonly CommandList _populating = new();
    private SimRandom _refusals;

    /// <summary>One of so many requests for memory that comes later is refused, by chance; 0 for none.</summary>
    public int RefusesMemory { get; set; }

    /// <summary>Makes what a memory needs that is given later.</summary>
    internal SimArrivals CreateArrivals(string label)
    {
        var queue = new SimQueue(this, $"memory of {label}", NextActor(label), Background) { IsDevices = true };
        _queues[queue.Actor] = queue;
        return new SimArrivals(queue, (SimTimeline)CreateTimeline($"arrivals of {label}"));
    }

    /// <summary>Asks for memory for a range. Returns its arrival.</summary>
    internal ulong SubmitPopulate(SimArrivals arrivals, SimMemory memory, long offset, long bytes)
    {
        _populating.Clear();
        _populating.Fill(memory, offset, bytes, value: 0);
        Submit(arrivals.Queue, [], _populating, new TimelinePoint(arrivals.Timeline, ++arrivals.Asked));
        arrivals.Queue.Tail!.Commands[0].Populates = true;
        return arrivals.Asked;
    }

    /// <summary>Gives a range memory before it is filled. False if it is refused.</summary>
    private bool TryPopulate(SimWork work, in SimCommand command, SimMemory memory)
    {
        if (RefusesMemory > 0 && _refusals.OneIn(RefusesMemory))
        {
            memory.Later!.Refused.Add(work.Value);
            return false;
        }

        MakePresent(memory, Epoch.Of(work.Actor, work.Tick), command.TargetOffset, command.Bytes);
        return true;
    }
}

/// <summary>What has been asked for of a memory that is given later.</summary>
internal sealed class SimArrivals(SimQueue queue, SimTimeline timeline)
{
    public readonly SimQueue Queue = queue;
    public readonly SimTimeline Timeline = timeline;

    /// <summary>Arrivals that are refusals, and have not been asked about.</summary>
    public readonly HashSet<ulong> Refused = [];

    public ulong Asked;
}
