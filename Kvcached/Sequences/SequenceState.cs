using Kvcached.Memory;

namespace Kvcached.Sequences;

/// <summary>Names a sequence; stale once the sequence has been freed.</summary>
internal readonly record struct SequenceHandle(int Index, uint Generation);

/// <summary>A growing run of tokens of one model. Objects are reused; the generation tells incarnations apart.</summary>
internal sealed class SequenceState(int index)
{
    public readonly int Index = index;
    public uint Generation;

    /// <summary>Number that views carry, never given twice.</summary>
    public uint Id;
    public int Client;
    public int Model;
    public bool InUse;

    /// <summary>Tokens after the steps that have been committed.</summary>
    public int Tokens;

    /// <summary>Tokens as the client sees them: after the steps that still wait, too.</summary>
    public int BegunTokens;

    /// <summary>Tokens whose ids the client has told.</summary>
    public int CommittedTokens;

    /// <summary>A step was refused: later steps find a refused view until the client truncates or frees.</summary>
    public bool Refused;

    /// <summary>End of the last step that read or wrote the sequence: the stamp of all its reads (I6).</summary>
    public Point LastStep;

    /// <summary>Whether the last step has not been observed as ended: its bytes count as pinned.</summary>
    public bool IsLive;

    /// <summary>Transfers that no step of the sequence has waited for yet: the next one does.</summary>
    public Frontier Transfers;

    public SequenceRow[] Rows = [];
    public long ResidentBytes;
    public long RowBytes;

    /// <summary>Bytes of <see cref="ResidentBytes"/> that windows have.</summary>
    public long WindowBytes;

    /// <summary>Layouts, one bit for each, whose windows the client has open: steps begun from now on use them.</summary>
    public ulong OpenWindows;

    /// <summary>Steps begun that wait to be planned, and the last of them: number and place in its batch.</summary>
    public int WaitingSteps;
    public int WaitingLane;
    public ulong WaitingStep;
    public int WaitingItem;

    /// <summary>The plan that last named the sequence: its blocks are no victims of that plan.</summary>
    public ulong Plan;

    /// <summary>Neighbours in the recency list.</summary>
    public int Older = -1;
    public int Newer = -1;
    public bool IsListed;

    /// <summary>When it was last used, counted in uses of all.</summary>
    public ulong UsedAt;

    public SequenceHandle Handle => new(Index, Generation);
}

/// <summary>All sequences, by index.</summary>
internal sealed class SequenceTable(int capacity)
{
    private readonly Stack<int> _free = new();
    private readonly BlockLists _lists = new();
    private SequenceState[] _sequences = [];
    private int _count;
    private uint _nextId = 1;

    public int Capacity => capacity;

    public int InUse => _count - _free.Count;

    public SequenceState this[int index] => _sequences[index];

    /// <summary>Those in use, and those that have been freed and not used again.</summary>
    public ReadOnlySpan<SequenceState> All => _sequences.AsSpan(0, _count);

    /// <summary>The sequence that a handle names, or null if the handle is stale or was never given.</summary>
    public SequenceState? Find(SequenceHandle handle)
    {
        if ((uint)handle.Index >= (uint)_count)
        {
            return null;
        }

        var sequence = _sequences[handle.Index];
        return sequence.InUse && (sequence.Generation == handle.Generation || RuleFaults.Is(RuleFault.GenerationNotChecked)) ? sequence : null;
    }

    /// <summary>Creates an empty sequence, or returns null at capacity.</summary>
    public SequenceState? Create(int client, int model, int layouts)
    {
        if (!_free.TryPop(out var index))
        {
            if (_count == capacity)
            {
                return null;
            }

            if (_count == _sequences.Length)
            {
                Array.Resize(ref _sequences, Math.Min(capacity, Math.Max(64, _count * 2)));

                // Whoever is freed finds a place.
                _free.EnsureCapacity(_sequences.Length);
            }

            index = _count++;
            _sequences[index] = new SequenceState(index);
        }

        var sequence = _sequences[index];
        sequence.InUse = true;
        sequence.Generation++;
        sequence.Id = _nextId++;
        sequence.Client = client;
        sequence.Model = model;
        sequence.Tokens = sequence.BegunTokens = sequence.CommittedTokens = sequence.WaitingSteps = 0;
        sequence.Refused = sequence.IsLive = false;
        sequence.LastStep = default;
        sequence.Transfers = default;
        sequence.ResidentBytes = sequence.RowBytes = sequence.WindowBytes = 0;
        sequence.OpenWindows = 0;
        sequence.Plan = 0;
        if (sequence.Rows.Length < layouts)
        {
            var old = sequence.Rows.Length;
            Array.Resize(ref sequence.Rows, layouts);
            for (var i = old; i < layouts; i++)
            {
                sequence.Rows[i] = new SequenceRow(_lists);
            }
        }

        return sequence;
    }

    public void Delete(SequenceState sequence)
    {
        sequence.InUse = false;
        foreach (var row in sequence.Rows)
        {
            row.Reset();
        }

        _free.Push(sequence.Index);
    }
}
