namespace Kvcached.Devices.Sim;

/// <summary>An order that a queue gives: what signals one timeline runs before what comes later on the queue and signals another, or the same.</summary>
/// <param name="Queue">Label of the queue.</param>
/// <param name="Earlier">Label of the timeline that the earlier submission signals.</param>
/// <param name="Later">Label of the timeline that the later submission signals.</param>
public readonly record struct QueueOrder(string Queue, string Earlier, string Later);

/// <summary>
/// What a queue's submissions know of those before them, where some of that is to be forgotten. Those that signal one timeline are a kind, with
/// actors of its own: an actor's ticks are ordered. A kind that forgets itself has several, in turn; so those a multiple of
/// <see cref="Turns"/> apart stay ordered.
/// </summary>
internal sealed class ForgetfulOrder(string queue, Func<QueueOrder, bool> forgets, Func<int> newActor)
{
    public const int Turns = 4;

    private readonly List<Kind> _kinds = [];

    /// <summary>The actor of the next submission that signals a timeline.</summary>
    public int NextActor(SimTimeline signal)
    {
        var kind = KindOf(signal) ?? Add(signal);
        return kind.Actors[kind.Turn++ % kind.Actors.Length];
    }

    /// <summary>Makes <paramref name="clock"/> what a submission knows of those before it.</summary>
    public void Begin(SimTimeline signal, ref VectorClock clock)
    {
        clock = default;
        foreach (var kind in _kinds)
        {
            if (!forgets(new QueueOrder(queue, kind.Signal.Label, signal.Label)))
            {
                clock.Join(in kind.Known);
            }
        }
    }

    /// <summary>Takes over what a submission that ends knew.</summary>
    public void End(SimTimeline signal, ref readonly VectorClock clock) => KindOf(signal)!.Known.Join(in clock);

    /// <summary>Adds all that submissions have known and done, which a queue that has ended need not forget.</summary>
    public void AddAll(ref VectorClock clock)
    {
        foreach (var kind in _kinds)
        {
            clock.Join(in kind.Known);
        }
    }

    private Kind? KindOf(SimTimeline signal) => _kinds.Find(kind => kind.Signal == signal);

    private Kind Add(SimTimeline signal)
    {
        var actors = new int[forgets(new QueueOrder(queue, signal.Label, signal.Label)) ? Turns : 1];
        for (var i = 0; i < actors.Length; i++)
        {
            actors[i] = newActor();
        }

        var kind = new Kind(signal, actors);
        _kinds.Add(kind);
        return kind;
    }

    private sealed class Kind(SimTimeline signal, int[] actors)
    {
        public readonly SimTimeline Signal = signal;
        public readonly int[] Actors = actors;
        public int Turn;
        public VectorClock Known;
    }
}
