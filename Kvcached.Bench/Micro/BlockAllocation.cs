using BenchmarkDotNet.Attributes;
using Kvcached.Bench.Ratios;
using Kvcached.Memory;

namespace Kvcached.Bench.Micro;

/// <summary>
/// 64 blocks allocated and freed behind a point that is not observed yet, which is then observed. Lost though faster: a stack of free blocks, and a
/// bitmap that is searched from its start, which know no frontiers and would hand out bytes that a step still reads; the stack with a queue of
/// (block, point) beside it, which knows one point a block and no lanes.
/// </summary>
public class BlockAllocation
{
    private const int Batch = 64;
    private const int Lane = 1;
    private readonly BlockAddress[] _held = new BlockAddress[Batch];
    private readonly int[] _numbers = new int[Batch];
    private readonly Queue<(int Block, ulong Value)> _waiting = new(Batch);
    private TimelineTable _timelines = new();
    private BlockPool _pool = null!;
    private int[] _free = [];
    private ulong[] _bits = [];
    private int _freeCount;
    private int _bitCount;
    private int _layout;
    private ulong _step;

    [Params(1_000, 1_000_000)]
    public int Blocks { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _timelines = new TimelineTable();
        _timelines.EnsureLane(Lane);
        _pool = new BlockPool(PaperEngine.BytesOf(Blocks), KvCacheOptions.UnitBytes, _timelines);
        _pool.EnsureLane(Lane);
        _layout = _pool.AddLayout(PaperEngine.BlockBytes);
        var all = new BlockAddress[Blocks];
        foreach (ref var address in all.AsSpan())
        {
            address = Allocate();
        }

        // Every second block is in use, at random.
        var random = new Random(1);
        random.Shuffle(all);
        _free = [.. Enumerable.Range(0, Blocks)];
        random.Shuffle(_free);
        _freeCount = _bitCount = Blocks / 2;
        _bits = new ulong[(Blocks + 63) / 64];
        for (var i = 0; i < _freeCount; i++)
        {
            _pool.Free(all[i], default);
            _bits[_free[i] / 64] |= 1UL << (_free[i] % 64);
        }
    }

    [Benchmark(OperationsPerInvoke = Batch)]
    public long Pool()
    {
        foreach (ref var address in _held.AsSpan())
        {
            address = Allocate();
        }

        var end = new Point(Point.TimelineOf(Lane, TimelineKind.End), ++_step);
        foreach (var address in _held)
        {
            var frontier = default(Frontier);
            frontier.Add(end, _timelines);
            _pool.Free(address, frontier);
        }

        _timelines.Observe(end.Timeline, end.Value);
        _pool.Promote();
        return _pool.UsedBlocks;
    }

    [Benchmark(OperationsPerInvoke = Batch, Baseline = true)]
    public long FreeStack()
    {
        foreach (ref var number in _numbers.AsSpan())
        {
            number = _free[--_freeCount];
        }

        foreach (var number in _numbers)
        {
            _free[_freeCount++] = number;
        }

        return Blocks - _freeCount;
    }

    [Benchmark(OperationsPerInvoke = Batch)]
    public long FreeStackAndQueue()
    {
        foreach (ref var number in _numbers.AsSpan())
        {
            number = _free[--_freeCount];
        }

        var value = ++_step;
        foreach (var number in _numbers)
        {
            _waiting.Enqueue((number, value));
        }

        while (_waiting.TryPeek(out var oldest) && oldest.Value <= value)
        {
            _free[_freeCount++] = _waiting.Dequeue().Block;
        }

        return Blocks - _freeCount;
    }

    [Benchmark(OperationsPerInvoke = Batch)]
    public long Bitmap()
    {
        var word = 0;
        foreach (ref var number in _numbers.AsSpan())
        {
            while (_bits[word] == 0)
            {
                word++;
            }

            number = (word * 64) + System.Numerics.BitOperations.TrailingZeroCount(_bits[word]);
            _bits[word] &= _bits[word] - 1;
            _bitCount--;
        }

        foreach (var number in _numbers)
        {
            _bits[number / 64] |= 1UL << (number % 64);
            _bitCount++;
        }

        return Blocks - _bitCount;
    }

    private BlockAddress Allocate() => _pool.TryAllocate(_layout, Lane, out var address, out _)
        ? address
        : throw new InvalidOperationException("The pool has no block left.");
}
