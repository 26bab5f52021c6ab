using BenchmarkDotNet.Attributes;
using Kvcached.Engine;
using Kvcached.Sequences;

namespace Kvcached.Bench.Micro;

/// <summary>
/// What a step leaves behind so that eviction finds who was used last: one touch for each sequence of the batch. Lost: a stamp on every block that the
/// step reads, and a list through all blocks in which each that is read goes to the end.
/// </summary>
public class ResidentStep
{
    private const int Blocks = 1 << 18;
    private SequenceState[] _batch = [];
    private LeastRecentlyUsed _policy = null!;
    private int[][] _rows = [];
    private ulong[] _stamps = [];
    private int[] _older = [];
    private int[] _newer = [];
    private ulong _step;

    [Params(256, 4096)]
    public int Sequences { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        var table = new SequenceTable(Sequences);
        _policy = new LeastRecentlyUsed(table);
        _batch = [.. Enumerable.Range(0, Sequences).Select(_ => table.Create(0, 0, 0)!)];
        var numbers = Enumerable.Range(0, Blocks).ToArray();
        new Random(1).Shuffle(numbers);
        _rows = [.. numbers.Chunk(Blocks / Sequences)];
        _stamps = new ulong[Blocks];

        // A ring through the blocks and its anchor, which is the last element.
        _older = [.. Enumerable.Range(0, Blocks + 1).Select(i => (i + Blocks) % (Blocks + 1))];
        _newer = [.. Enumerable.Range(0, Blocks + 1).Select(i => (i + 1) % (Blocks + 1))];
    }

    [Benchmark(Baseline = true)]
    public bool TouchSequences()
    {
        foreach (var sequence in _batch)
        {
            _policy.Touch(sequence);
        }

        return _policy.First() == _batch[0] && _policy.Last() == _batch[^1];
    }

    [Benchmark]
    public bool StampBlocks()
    {
        _step++;
        foreach (var row in _rows)
        {
            foreach (var block in row)
            {
                _stamps[block] = _step;
            }
        }

        return _stamps[_rows[0][0]] == _step && _stamps[_rows[^1][^1]] == _step;
    }

    [Benchmark]
    public bool RelinkBlocks()
    {
        foreach (var row in _rows)
        {
            foreach (var block in row)
            {
                (_newer[_older[block]], _older[_newer[block]]) = (_newer[block], _older[block]);
                (_older[block], _newer[block]) = (_older[Blocks], Blocks);
                (_newer[_older[Blocks]], _older[Blocks]) = (block, block);
            }
        }

        return _newer[Blocks] == _rows[0][0] && _older[Blocks] == _rows[^1][^1];
    }
}
