using Kvcached.Sequences;

namespace Kvcached;

/// <summary>
/// What a client knows of its sequences without asking the daemon: which there are, and how many tokens each has after every command sent so far. A step that the
/// daemon has not answered yet counts as accepted. Guarded by the cache's lock; steady state allocates nothing.
/// </summary>
internal sealed class RemoteSequences(int capacity, uint firstId)
{
    private readonly Stack<int> _free = new();
    private RemoteSequence[] _sequences = [];
    private int _count;
    private uint _nextId = firstId;

    public RemoteSequence Create(int model)
    {
        if (!_free.TryPop(out var slot))
        {
            if (_count == capacity)
            {
                throw new KvException(KvError.CapacityExceeded, $"The client holds {capacity} sequences, which is its limit.");
            }

            if (_count == _sequences.Length)
            {
                Array.Resize(ref _sequences, Math.Min(capacity, Math.Max(64, _count * 2)));
                _free.EnsureCapacity(_sequences.Length);
            }

            slot = _count++;
            _sequences[slot] = new RemoteSequence(slot);
        }

        var sequence = _sequences[slot];
        sequence.Open(model, _nextId++);
        return sequence;
    }

    public RemoteSequence this[int slot] => _sequences[slot];

    public RemoteSequence Find(SequenceHandle handle) =>
        (uint)handle.Index < (uint)_count && _sequences[handle.Index] is var sequence && sequence.IsOpen && sequence.Generation == handle.Generation
            ? sequence
            : throw new KvException(KvError.StaleHandle, $"Sequence handle {handle.Index}:{handle.Generation} is stale: its sequence has been freed.");

    public void Free(RemoteSequence sequence)
    {
        sequence.Close();
        _free.Push(sequence.Slot);
    }
}

/// <summary>A sequence as its client sees it. Objects are reused; the generation tells incarnations apart.</summary>
internal sealed class RemoteSequence(int slot)
{
    public readonly int Slot = slot;
    private Act[] _acts = new Act[4];
    private int _first;
    private int _actCount;

    /// <summary>As the daemon had them after the last step that it has answered.</summary>
    private int _tokens;
    private bool _isRefused;

    public uint Generation { get; private set; }

    public uint Id { get; private set; }

    public int Model { get; private set; }

    public bool IsOpen { get; private set; }

    /// <summary>Tokens after all that has been sent.</summary>
    public int Tokens { get; private set; }

    /// <summary>Tokens whose ids have been told.</summary>
    public int Committed { get; set; }

    /// <summary>Whether a refused step marks the sequence, as far as the daemon has answered.</summary>
    public bool IsRefused { get; private set; }

    /// <summary>Layouts whose window is open.</summary>
    public ulong OpenWindows { get; set; }

    /// <summary>The batch that last named the sequence: none names it twice.</summary>
    public ulong Batch { get; set; }

    public SequenceHandle Handle => new(Slot, Generation);

    public void Open(int model, uint id)
    {
        Generation++;
        (Id, Model, IsOpen) = (id, model, true);
        _tokens = Tokens = Committed = _first = _actCount = 0;
        _isRefused = IsRefused = false;
        Batch = OpenWindows = 0;
    }

    public void Close() => IsOpen = false;

    /// <summary>A step has been sent.</summary>
    public void Begin(int newTokens)
    {
        Add(new Act(IsStep: true, newTokens));
        Tokens += IsRefused ? 0 : newTokens;
    }

    /// <summary>A truncate has been sent.</summary>
    public void Truncate(int tokens)
    {
        Add(new Act(IsStep: false, tokens));
        ApplyLeadingTruncates();
        Count();
    }

    /// <summary>The daemon has answered the oldest step that it had not.</summary>
    public void Answer(bool accepted)
    {
        var step = Take();
        _isRefused |= !accepted;
        _tokens += _isRefused ? 0 : step.Tokens;
        ApplyLeadingTruncates();
        if (!accepted || _isRefused)
        {
            Count();
        }
    }

    private void ApplyLeadingTruncates()
    {
        while (_actCount > 0 && !_acts[_first].IsStep)
        {
            _tokens = Math.Min(_tokens, Take().Tokens);
            _isRefused = false;
        }
    }

    /// <summary>Counts from what the daemon has answered, over what it has not.</summary>
    private void Count()
    {
        (Tokens, IsRefused) = (_tokens, _isRefused);
        for (var i = 0; i < _actCount; i++)
        {
            var act = _acts[(_first + i) % _acts.Length];
            if (act.IsStep)
            {
                Tokens += IsRefused ? 0 : act.Tokens;
            }
            else
            {
                (Tokens, IsRefused) = (Math.Min(Tokens, act.Tokens), false);
            }
        }

        Committed = Math.Min(Committed, Tokens);
    }

    private void Add(Act act)
    {
        if (_actCount == _acts.Length)
        {
            var grown = new Act[_acts.Length * 2];
            for (var i = 0; i < _actCount; i++)
            {
                grown[i] = _acts[(_first + i) % _acts.Length];
            }

            (_acts, _first) = (grown, 0);
        }

        _acts[(_first + _actCount++) % _acts.Length] = act;
    }

    private Act Take()
    {
        var act = _acts[_first];
        _first = (_first + 1) % _acts.Length;
        _actCount--;
        return act;
    }

    /// <summary>A step's new tokens, or the tokens that a truncate keeps.</summary>
    private readonly record struct Act(bool IsStep, int Tokens);
}
