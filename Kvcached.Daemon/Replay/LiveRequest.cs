namespace Kvcached.Daemon.Replay;

/// <summary>A slot for a request that has a sequence: how far it has come, and where it is truncated, if it is one of those.</summary>
internal sealed class LiveRequest
{
    /// <summary>One request in this many is truncated once while it decodes.</summary>
    private const int TruncatedOneIn = 16;

    /// <summary>Most tokens that a truncation takes back: more than a block of the default layout, so that full blocks are dropped too.</summary>
    private const int MaxTruncatedTokens = 24;

    /// <summary>Whether there is a request here.</summary>
    public bool IsLive { get; private set; }

    /// <summary>Its number in the workload.</summary>
    public int Number { get; private set; }

    /// <summary>Its sequence.</summary>
    public KvSequence Sequence { get; private set; }

    /// <summary>Number of the sequence, as views carry it.</summary>
    public uint SequenceId { get; private set; }

    /// <summary>Tokens of its prompt.</summary>
    public int Input { get; private set; }

    /// <summary>Tokens at which it is complete.</summary>
    public int Target { get; private set; }

    /// <summary>Tokens of all steps begun so far.</summary>
    public int Tokens { get; private set; }

    /// <summary>First position that carries <see cref="Version"/>.</summary>
    public uint ChangedFrom { get; private set; }

    /// <summary>0 before the truncation, 1 after.</summary>
    public uint Version { get; private set; }

    /// <summary>Token count at which it is truncated; 0 if it never is, or has been.</summary>
    public int TruncateAt { get; private set; }

    private int TruncateTo { get; set; }

    /// <summary>Whether all its steps have been begun.</summary>
    public bool IsComplete => Tokens == Target;

    /// <summary>Lets a request in.</summary>
    public void Start(int number, in TraceRequest request, KvSequence sequence, Random random)
    {
        IsLive = true;
        Number = number;
        Sequence = sequence;
        SequenceId = sequence.Id;
        Input = request.InputTokens;
        Target = request.TotalTokens;
        Tokens = 0;
        ChangedFrom = uint.MaxValue;
        Version = 0;
        TruncateAt = 0;
        if (request.OutputTokens > 1 && random.Next(TruncatedOneIn) == 0)
        {
            TruncateAt = request.InputTokens + random.Next(1, request.OutputTokens);
            TruncateTo = Math.Max(TruncateAt - random.Next(1, MaxTruncatedTokens + 1), 1);
        }
    }

    /// <summary>Frees the sequence and the slot. Steps in flight still read it, and the engine sees to it that they can.</summary>
    public void Retire()
    {
        Sequence.Free();
        IsLive = false;
    }

    /// <summary>Tokens that its next step appends.</summary>
    public int NextTokens(int chunkTokens) => Tokens < Input ? Math.Min(chunkTokens, Input - Tokens) : 1;

    /// <summary>Tokens that it will have after so many steps.</summary>
    public int TokensAfter(int steps, int chunkTokens)
    {
        var prefillSteps = (Math.Max(Input - Tokens, 0) + chunkTokens - 1) / chunkTokens;
        return steps <= prefillSteps
            ? (int)Math.Min(Input, Tokens + ((long)steps * chunkTokens))
            : Math.Min(Target, Math.Max(Input, Tokens) + steps - prefillSteps);
    }

    /// <summary>Counts a step that has been begun.</summary>
    public void Advance(int chunkTokens) => Tokens += NextTokens(chunkTokens);

    /// <summary>Takes back its last tokens, where this is the place to.</summary>
    public void TruncateIfDue()
    {
        if (TruncateAt == 0 || Tokens != TruncateAt)
        {
            return;
        }

        Sequence.Truncate(TruncateTo);
        Tokens = TruncateTo;
        ChangedFrom = (uint)TruncateTo;
        Version = 1;
        TruncateAt = 0;
    }
}
