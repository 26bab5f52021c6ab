using Kvcached.Devices.Host;

namespace Kvcached.Tests.Litmus;

/// <summary>A chain of submission records: see <see cref="SubmissionChain"/>.</summary>
internal unsafe interface IRecordChain
{
    /// <summary>Whether chunks may be freed while the chain is used. Where records are released early, that would end the process.</summary>
    bool FreesChunks { get; }

    SubmissionRecord* Reserve(int bytes);

    void Publish(int bytes);

    SubmissionRecord* Peek();

    void Advance();

    void Free();
}

/// <summary>The library's, in steps that a fault can replace.</summary>
internal unsafe class OwnChain : IRecordChain
{
    private readonly SubmissionChain _chain = new();

    public virtual bool FreesChunks => true;

    public virtual SubmissionRecord* Reserve(int bytes) => _chain.Reserve(bytes);

    public virtual void Publish(int bytes) => _chain.Publish(bytes);

    public virtual SubmissionRecord* Peek() => _chain.Peek();

    public virtual void Advance() => _chain.Advance();

    public void Free() => _chain.Free();
}

/// <summary>Hands a record over before it has been written.</summary>
internal sealed unsafe class PublishesEarly : OwnChain
{
    public override SubmissionRecord* Reserve(int bytes)
    {
        var record = base.Reserve(bytes);
        base.Publish(bytes);
        return record;
    }

    public override void Publish(int bytes)
    {
    }
}

/// <summary>Gives a record's memory back before it has been run.</summary>
internal sealed unsafe class ReleasesEarly : OwnChain
{
    private SubmissionRecord* _running;

    public override bool FreesChunks => false;

    public override SubmissionRecord* Peek()
    {
        if (_running == null && base.Peek() is var next && next != null)
        {
            _running = next;
            base.Advance();
            base.Peek();
        }

        return _running;
    }

    public override void Advance() => _running = null;
}

/// <summary>Takes a record before the one in front of it, where there are two.</summary>
internal sealed unsafe class Overtakes : OwnChain
{
    private readonly Queue<nint> _taken = new();

    public override bool FreesChunks => false;

    public override SubmissionRecord* Peek()
    {
        if (_taken.Count == 0 && base.Peek() is var first && first != null)
        {
            base.Advance();
            if (base.Peek() is var second && second != null)
            {
                base.Advance();
                _taken.Enqueue((nint)second);
            }

            _taken.Enqueue((nint)first);
        }

        return _taken.TryPeek(out var next) ? (SubmissionRecord*)next : null;
    }

    public override void Advance() => _taken.Dequeue();
}

/// <summary>
/// The ring of submission records between the thread that submits (party 0) and the one that runs them: each is seen whole, in order, and
/// stays until it has been run, while its memory is used again and again. The ring lies in one process.
/// </summary>
internal sealed unsafe class RecordsInOrder() : LitmusTest<IRecordChain>(
    "records in order",
    2,
    (_, _) => new OwnChain(),
    new Fault<IRecordChain>(nameof(PublishesEarly), (_, _) => new PublishesEarly()),
    new Fault<IRecordChain>(nameof(ReleasesEarly), (_, _) => new ReleasesEarly()),
    new Fault<IRecordChain>(nameof(Overtakes), (_, _) => new Overtakes()))
{
    private const int RecordsOfRound = 24;
    private const int SmallWords = 40;

    /// <summary>A record that takes most of a chunk, and one that no chunk of the usual size takes.</summary>
    private const int ChunkWords = 7000;
    private const int LargeWords = 9000;

    /// <summary>Of this round and of the one before, which party 1 may not be done with. A fresh chain has no chunk to spare, and so takes what is given back.</summary>
    private readonly IRecordChain?[] _made = new IRecordChain?[2];

    internal override bool IsShared => false;

    internal override long LeastRounds => 1000;

    protected override void Run(LitmusParty party, Func<int, IRecordChain> make)
    {
        for (var round = 1L; Prepare(party, round, make) && party.Begins(round); round++)
        {
            var chain = _made[round % 2]!;
            for (var number = 0ul; number < RecordsOfRound; number++)
            {
                if (party.Index == 0)
                {
                    Write(party, chain, number);
                }
                else if (!IsNext(party, chain, number))
                {
                    return;
                }
            }
        }
    }

    internal override void End()
    {
        Array.ForEach(_made, m => m?.Free());
        Array.Clear(_made);
    }

    /// <summary>Party 0 makes the chain while the other waits for the round to begin.</summary>
    private bool Prepare(LitmusParty party, long round, Func<int, IRecordChain> make)
    {
        if (party.Index == 0)
        {
            ref var made = ref _made[round % 2];
            made?.Free();
            made = make(0);
        }

        return true;
    }

    private static void Write(LitmusParty party, IRecordChain chain, ulong number)
    {
        var words = party.Next(party.Next(2) == 0 ? SmallWords : chain.FreesChunks && party.Next(50) == 0 ? LargeWords : ChunkWords);
        var bytes = SubmissionRecord.Measure(0, 0, words * sizeof(ulong));
        var record = chain.Reserve(bytes);
        record->Waits = record->Commands = 0;
        record->SignalValue = number;
        for (var i = 0; i < words; i++)
        {
            Word(record, i) = number + (ulong)i;
        }

        // The record is as long as it says, with what rounds it up.
        if (words % 2 != 0)
        {
            Word(record, words) = number + (ulong)words;
        }

        chain.Publish(bytes);
    }

    private static bool IsNext(LitmusParty party, IRecordChain chain, ulong number)
    {
        SubmissionRecord* record;
        while ((record = chain.Peek()) == null)
        {
            if (party.IsStopped)
            {
                return false;
            }
        }

        // Where the record has been overwritten, this can be anything.
        var words = (record->Bytes - SubmissionRecord.HeaderBytes) / sizeof(ulong);
        if (words is < 0 or > LargeWords)
        {
            return party.Violate($"record {number} says that it has {words} words");
        }

        var pausesAt = party.Next(4) == 0 ? party.Next(words + 1) : -1;
        for (var i = 0; i < words; i++)
        {
            if (i == pausesAt)
            {
                party.Pause(LitmusParty.LongPause);
            }

            if (record->SignalValue != number || Word(record, i) != number + (ulong)i)
            {
                return party.Violate($"record {number} says {record->SignalValue}, and its word {i} {Word(record, i) - (ulong)i}");
            }
        }

        chain.Advance();
        return true;
    }

    private static ref ulong Word(SubmissionRecord* record, int index) => ref ((ulong*)(record + 1))[index];
}
