using BenchmarkDotNet.Attributes;
using Kvcached.Bench.Ratios;
using Kvcached.Engine;
using Kvcached.Sequences;

namespace Kvcached.Bench.Micro;

/// <summary>
/// The next 64 blocks to evict, of 65,536 with a cold copy: a walk through the sequences, least recently used first, which looks at every
/// block's frontier. Lost: a scan of all blocks for the oldest stamps, and a list through the blocks. The list finds its victims at once, but each step pays
/// for that (<see cref="ResidentStep"/>), and neither looks at frontiers.
/// </summary>
public class VictimChoice
{
    private const int Blocks = 1 << 16;
    private const int Sequences = 64;
    private const int BlocksEach = Blocks / Sequences;
    private const int Victims = 64;
    private const int TokensPerBlock = 16;
    private readonly PriorityQueue<int, ulong> _oldest = new();
    private VictimSearch _search = null!;
    private CacheEngine _engine = null!;
    private LaneState _lane = null!;
    private int _layout;
    private ulong[] _stamps = [];
    private int[] _newer = [];
    private int _first;
    private SequenceState _oldestSequence = null!;

    [GlobalSetup]
    public void Setup()
    {
        var device = new PaperDevice();
        _engine = PaperEngine.Create(device, Blocks, Blocks, Sequences);
        var client = _engine.OpenClient();
        var model = _engine.RegisterModel(client, [PaperEngine.Layout.ToShape()], [0]);
        _lane = PaperEngine.OpenLane(_engine, client, depth: 4, Sequences);
        var batch = new StepRequest[Sequences];
        foreach (ref var item in batch.AsSpan())
        {
            item = new StepRequest(_engine.Sequences.Create(client, model), BlocksEach * TokensPerBlock);
        }

        if (_engine.Begin(_lane, batch) != KvStepStatus.Accepted)
        {
            throw new InvalidOperationException("The pool takes no step that fills it.");
        }

        Observe(device);
        foreach (var item in batch)
        {
            _engine.Transfers.Clean(_lane, item.Sequence);
        }

        Observe(device);
        _engine.State.Plan++;
        _search = new VictimSearch(_engine.State, new ColdSlots(_engine.State));
        _layout = _engine.State.Models[model].Layouts[0].PoolLayout;
        new Random(1).Shuffle(batch);
        Age(batch);
    }

    /// <summary>Returns, as the others do, how many of the victims are of the sequence that should go first.</summary>
    [Benchmark(Baseline = true)]
    public int WalkSequences()
    {
        _search.Begin(sparesOwn: true);
        var found = 0;
        while (found < Victims && _search.TryNext(_layout, _lane, out var sequence, out _))
        {
            found += sequence == _oldestSequence ? 1 : 0;
        }

        return found;
    }

    [Benchmark]
    public int ScanBlocks()
    {
        // The newest of the oldest so far is the first to leave.
        _oldest.Clear();
        for (var block = 0; block < _stamps.Length; block++)
        {
            if (_oldest.Count < Victims)
            {
                _oldest.Enqueue(block, ulong.MaxValue - _stamps[block]);
            }
            else if (_oldest.TryPeek(out _, out var newest) && ulong.MaxValue - _stamps[block] > newest)
            {
                _oldest.DequeueEnqueue(block, ulong.MaxValue - _stamps[block]);
            }
        }

        return _oldest.UnorderedItems.Count(victim => _stamps[victim.Element] < BlocksEach);
    }

    [Benchmark]
    public int WalkBlocks()
    {
        var found = 0;
        for (var block = _first; found < Victims && _stamps[block] < BlocksEach; block = _newer[block])
        {
            found++;
        }

        return found;
    }

    /// <summary>Uses the sequences in an order, and stamps and links their blocks accordingly.</summary>
    private void Age(StepRequest[] order)
    {
        _stamps = new ulong[Blocks];
        _newer = new int[Blocks];
        var newest = -1;
        var stamp = 0UL;
        foreach (var item in order)
        {
            var sequence = _engine.State.Sequences[item.Sequence.Index];
            _engine.State.Policy.Touch(sequence);
            for (var i = 0; i < BlocksEach; i++)
            {
                var block = sequence.Rows[0][i];
                (newest < 0 ? ref _first : ref _newer[newest]) = block;
                _stamps[block] = stamp++;
                newest = block;
            }
        }

        _newer[newest] = _first;
        _oldestSequence = _engine.State.Sequences[order[0].Sequence.Index];
    }

    private void Observe(PaperDevice device)
    {
        _engine.Observe(_lane.EndOf(1).Timeline, _lane.Begun);
        device.ObserveAll(_engine, lanes: 1);
        _engine.Turn();
    }
}
