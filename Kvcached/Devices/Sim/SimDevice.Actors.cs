namespace Kvcached.Devices.Sim;

// Who acts: hosts and queues. They come, are held, and end, and are as many as a clock counts.
public sealed partial class SimDevice
{
    /// <summary>
    /// The host that acts from now on: it observes values, touches memory and submits. Number 0 exists from the start; a process of its
    /// own gets a number from <see cref="AddHost"/>, so that what one process has observed is not credited to another.
    /// </summary>
    public int Host
    {
        get;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(value, _hosts.Count);
            field = value;
        }
    }

    /// <summary>Adds a host actor, and returns its number.</summary>
    public int AddHost(string label)
    {
        ArgumentNullException.ThrowIfNull(label);
        _hosts.Add(new SimHost(label, NextActor(label)));
        return _hosts.Count - 1;
    }

    /// <summary>Holds a queue: it runs nothing until <see cref="Resume"/>.</summary>
    public void Stall(DeviceQueue queue)
    {
        var own = Own(queue);
        own.IsStalled = true;
        Refresh(own);
    }

    /// <summary>Lets a queue run again.</summary>
    public void Resume(DeviceQueue queue)
    {
        var own = Own(queue);
        own.IsStalled = false;
        Refresh(own);
    }

    /// <summary>
    /// Ends a queue where it stands, in the middle of a command even: what it has not done it never does. The points that it was to signal
    /// are promised: whoever proves the death signals them in its place.
    /// </summary>
    public void Kill(DeviceQueue queue)
    {
        var own = Own(queue);
        while (own.Tail is { } work)
        {
            _graph.Add(SimWork.Take(queue: null, work.Signal, work.Value));
            own.RemoveLast();
            Forget(work);
        }

        own.IsKilled = true;
        End(own, finishStarted: false);
    }

    /// <summary>
    /// Tells the acting host that a queue which was killed or disposed does nothing any more: what it did counts as observed. For the
    /// proof of death that must come before anything of a dead client is reclaimed (I9).
    /// </summary>
    /// <exception cref="InvalidOperationException">The queue still has work.</exception>
    public void ObserveEnd(DeviceQueue queue)
    {
        var own = Own(queue);
        if (!own.IsDisposed || own.Head is not null)
        {
            throw new InvalidOperationException($"{own.Label} has not ended.");
        }

        var done = own.Clock;
        own.Forgetful?.AddAll(ref done);
        Know(_hosts[Host], in done, forgets: false);
        own.IsKilled = false;
    }

    /// <summary>The open queue of this label, also where its owner holds it through a decorator; null if there is none.</summary>
    public DeviceQueue? FindQueue(string label) => Array.Find(_queues, queue => queue is { IsDisposed: false } && queue.Label == label);

    /// <summary>Works of a queue that have not ended.</summary>
    public int Pending(DeviceQueue queue)
    {
        var count = 0;
        for (var work = Own(queue).Head; work is not null; work = work.Next)
        {
            count++;
        }

        return count;
    }

    private int OwnerOf(string label) => Options.OwnerOf?.Invoke(label) ?? Unowned;

    /// <summary>A further actor of a queue. They come from the end: so queues have the same first ones, and run alike, whether they have others or not.</summary>
    private int NextSpareActor(SimQueue queue)
    {
        var actor = _actors < _spareActors ? --_spareActors : TakeOverSpareActor(queue);
        _queues[actor] = queue;
        return actor;
    }

    private int NextActor(string label) => _actors < _spareActors
        ? _actors++
        : throw new SimFullException($"{label} would be one more than the {VectorClock.MaxActors} queues and hosts that a simulated device can have.");

    /// <summary>Once all actors are given out, a new queue goes on in the place of one that has ended, ordered after it.</summary>
    private SimQueue? TakeOver(string label)
    {
        if (_actors < _spareActors)
        {
            return null;
        }

        for (var actor = 0; actor < _actors; actor++)
        {
            if (_queues[actor] is { HasEnded: true } old)
            {
                return new SimQueue(this, label, actor, OwnerOf(label)) { Clock = old.Clock, LastTick = old.LastTick };
            }
        }

        return null;
    }

    /// <summary>The same for a further actor of a queue: that of one that has ended, whose ticks go on.</summary>
    private int TakeOverSpareActor(SimQueue queue)
    {
        for (var actor = _spareActors; actor < VectorClock.MaxActors; actor++)
        {
            if (_queues[actor] is { HasEnded: true } old)
            {
                queue.LastTick = Math.Max(queue.LastTick, old.LastTick + 1);
                return actor;
            }
        }

        return NextActor(queue.Label);
    }

    /// <summary>A process as an actor: what it knows, and whether someone may know what it has done up to now.</summary>
    private sealed class SimHost(string label, int actor)
    {
        public readonly string Label = label;
        public readonly int Actor = actor;
        public VectorClock Clock;

        /// <summary>What it hands on of what it knows, where the options make it forget some.</summary>
        public VectorClock Remembered;
        public bool IsReleased = true;
    }
}
