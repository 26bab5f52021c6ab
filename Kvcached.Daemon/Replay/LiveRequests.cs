namespace Kvcached.Daemon.Replay;

/// <summary>
/// The slots of the requests that live together, and how they take turns. A turn's group is the next requests round the slots whose tokens
/// fit <see cref="ReplayPlan.TurnTokens"/>; it is served for <see cref="ReplayPlan.TurnSteps"/> steps. Where a member completes,
/// the next arrival takes its slot and, if it fits, its place in the group (continuous batching).
/// </summary>
internal sealed class LiveRequests(ReplayPlan plan, KvModel model, int seed)
{
    private readonly LiveRequest[] _slots = [.. Enumerable.Range(0, plan.Active).Select(_ => new LiveRequest())];
    private readonly int[] _group = new int[ReplayPlan.MaxBatch];
    private readonly long[] _groupTokens = new long[ReplayPlan.MaxBatch];
    private readonly Random _random = new(seed);
    private int _cursor;
    private int _arrived;
    private int _live;
    private int _stepsLeft;
    private long _turnTokens;

    /// <summary>Requests of the current group.</summary>
    public int GroupSize { get; private set; }

    /// <summary>Whether every request has come and gone.</summary>
    public bool IsDone => _live == 0 && _arrived == plan.Requests.Length;

    /// <summary>Whether the current turn is over.</summary>
    public bool TurnIsOver => _stepsLeft == 0 || GroupSize == 0;

    /// <summary>The slot of a member of the group.</summary>
    public int SlotOf(int member) => _group[member];

    /// <summary>A slot.</summary>
    public LiveRequest Slot(int slot) => _slots[slot];

    /// <summary>Lets arrivals into free slots and picks the next group. The group is empty if nothing is live.</summary>
    /// <param name="traceMicros">Time of the trace: what was due by then has arrived.</param>
    public void StartTurn(double traceMicros)
    {
        GroupSize = 0;
        _turnTokens = 0;
        _stepsLeft = ReplayPlan.TurnSteps;
        var first = _cursor;
        for (var i = 0; i < _slots.Length && GroupSize < ReplayPlan.MaxBatch; i++)
        {
            var slot = (first + i) % _slots.Length;
            if (!_slots[slot].IsLive && !TryAdmit(slot, traceMicros))
            {
                continue;
            }

            if (!TryJoin(GroupSize, slot))
            {
                break;
            }

            GroupSize++;
            _cursor = (slot + 1) % _slots.Length;
        }
    }

    /// <summary>
    /// Fills the places of members that are gone and closes those that nobody takes. Called before each step of the turn.
    /// </summary>
    public void RefillGroup(double traceMicros)
    {
        for (var member = 0; member < GroupSize;)
        {
            var slot = _group[member];
            if (_slots[slot].IsLive)
            {
                member++;
                continue;
            }

            _turnTokens -= _groupTokens[member];
            if (TryAdmit(slot, traceMicros) && TryJoin(member, slot))
            {
                member++;
                continue;
            }

            GroupSize--;
            _group[member] = _group[GroupSize];
            _groupTokens[member] = _groupTokens[GroupSize];
        }
    }

    /// <summary>Counts a step of the turn over the whole group; its members that are complete go.</summary>
    public void StepBegun()
    {
        _stepsLeft--;
        for (var member = 0; member < GroupSize; member++)
        {
            var request = _slots[_group[member]];
            request.Advance(plan.ChunkTokens);
            if (request.IsComplete)
            {
                Retire(_group[member]);
            }
        }
    }

    /// <summary>Ends a request.</summary>
    public void Retire(int slot)
    {
        _slots[slot].Retire();
        _live--;
    }

    private bool TryAdmit(int slot, double traceMicros)
    {
        if (_arrived == plan.Requests.Length || plan.Requests[_arrived].ArrivalMicros > traceMicros)
        {
            return false;
        }

        _slots[slot].Start(_arrived, plan.Requests[_arrived], model.CreateSequence(), _random);
        _arrived++;
        _live++;
        return true;
    }

    /// <summary>Gives a place in the group to a request that fits, by the tokens that it will have when the turn ends. One that is larger than a turn goes alone.</summary>
    private bool TryJoin(int member, int slot)
    {
        var tokens = plan.Layout.Blocks(_slots[slot].TokensAfter(_stepsLeft, plan.ChunkTokens)) * plan.Layout.TokensPerBlock;
        if (_turnTokens > 0 && _turnTokens + tokens > plan.TurnTokens)
        {
            return false;
        }

        _group[member] = slot;
        _groupTokens[member] = tokens;
        _turnTokens += tokens;
        return true;
    }
}
