using Kvcached.Memory;

namespace Kvcached.Bench.Ratios;

/// <summary>Blocks allocated and freed in batches of 64 by a lane, each with the lane's unobserved end point as frontier, then observed.</summary>
internal sealed class BlockBatches
{
    public const int Batch = 64;
    private const int Batches = 512;
    private const int Lane = 1;
    private readonly TimelineTable _timelines = new();
    private readonly BlockPool _pool;
    private readonly BlockAddress[] _held = new BlockAddress[Batch];
    private readonly int _layout;
    private ulong _step;

    /// <summary>A pool of so many blocks, every second one in use, at random.</summary>
    public BlockBatches(long blocks)
    {
        _pool = new BlockPool(PaperEngine.BytesOf(blocks), KvCacheOptions.UnitBytes, _timelines);
        _timelines.EnsureLane(Lane);
        _pool.EnsureLane(Lane);
        _layout = _pool.AddLayout(PaperEngine.BlockBytes);
        var all = new BlockAddress[blocks];
        for (var i = 0; i < all.Length; i++)
        {
            all[i] = Allocate();
        }

        new Random(1).Shuffle(all);
        foreach (var address in all.AsSpan(0, all.Length / 2))
        {
            _pool.Free(address, default);
        }
    }

    /// <summary>Nanoseconds for a block to be allocated and freed.</summary>
    public double Run()
    {
        var start = ThreadPin.Nanoseconds();
        for (var batch = 0; batch < Batches; batch++)
        {
            RunBatch();
        }

        return (double)(ThreadPin.Nanoseconds() - start) / Batches / Batch;
    }

    private void RunBatch()
    {
        for (var i = 0; i < _held.Length; i++)
        {
            _held[i] = Allocate();
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
    }

    private BlockAddress Allocate() => _pool.TryAllocate(_layout, Lane, out var address, out _)
        ? address
        : throw new InvalidOperationException($"The pool is full with {_pool.UsedBlocks} blocks in use.");
}

/// <summary>The pool of 10^6 blocks; beside it an array from which numbers are popped and to which they are pushed.</summary>
internal sealed class AllocFreeSides : RatioSides
{
    private const int BareBatches = 4096;
    private readonly BlockBatches _blocks = new(1_000_000);
    private readonly int[] _free = [.. Enumerable.Range(0, 1_000_000)];
    private readonly int[] _held = new int[BlockBatches.Batch];
    private int _count = 1_000_000;

    public override double RunA() => _blocks.Run();

    public override double RunB()
    {
        var start = ThreadPin.Nanoseconds();
        for (var batch = 0; batch < BareBatches; batch++)
        {
            for (var i = 0; i < _held.Length; i++)
            {
                _held[i] = _free[--_count];
            }

            for (var i = 0; i < _held.Length; i++)
            {
                _free[_count++] = _held[i];
            }
        }

        return (double)(ThreadPin.Nanoseconds() - start) / BareBatches / BlockBatches.Batch;
    }
}

/// <summary>A pool of 10^6 blocks over one of 10^3.</summary>
internal sealed class AllocFreeScaleSides : RatioSides
{
    private readonly BlockBatches _large = new(1_000_000);
    private readonly BlockBatches _small = new(1_000);

    public override double RunA() => _large.Run();

    public override double RunB() => _small.Run();
}
