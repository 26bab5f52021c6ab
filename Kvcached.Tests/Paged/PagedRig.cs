using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Kernels;
using Kvcached.Tests.Client;
using Kvcached.Tests.Kernels;
using Xunit;

namespace Kvcached.Tests.Paged;

/// <summary>
/// Decode steps of random batches on a pool that does not hold all sequences. In each, new tokens are written by our kernel or by one from outside,
/// and each layer's attention is computed by ours and by one for each form of page table. The step's kernels are held until blocks that they
/// read have been moved, evicted and compacted behind the published tables.
/// </summary>
internal sealed unsafe class PagedRig : IDisposable
{
    private const int MaxBatch = 5;
    private const int MaxNew = 40;
    private const int MaxPages = 320;
    private const int MaxTokens = 260;
    private const int Sequences = 8;
    private const int Group = 2;

    private readonly KvLayout _layout;
    private readonly int[] _layers;
    private readonly long _poolBytes;
    private readonly CpuDevice _device;
    private readonly KvCache _cache;
    private readonly KvModel _model;
    private readonly KvLane _lane;
    private readonly DeviceQueue _queue;
    private readonly DeviceTimeline _hold;
    private readonly CommandList _commands = new();
    private readonly Random _random;
    private readonly KvSequence[] _sequences;
    private readonly NativeArray<float> _newKeys;
    private readonly NativeArray<float> _newValues;
    private readonly NativeArray<float> _queries;
    private readonly NativeArray<float> _lastQueries;
    private readonly NativeArray<uint> _rowStarts = new(MaxBatch);
    private readonly NativeArray<int> _newTokens = new(MaxBatch);
    private readonly NativeArray<float> _partials;
    private readonly NativeArray<float> _ours;
    private readonly NativeArray<float> _byBlockTable;
    private readonly NativeArray<float> _byCsr;
    private ulong _held;

    /// <summary>Opens a cache.</summary>
    /// <param name="layout">The model's one layout, with page tables.</param>
    /// <param name="poolBlocks">About how many blocks the pool holds.</param>
    /// <param name="seed">Of contents and batches.</param>
    /// <param name="layers">Layers that are written and attended to.</param>
    public PagedRig(KvLayout layout, int poolBlocks, int seed, params int[] layers)
    {
        (_layout, _layers, _random) = (layout, layers, new Random(seed));
        _device = new CpuDevice(new CpuDeviceOptions
        {
            Workers = 2,
            Kernels =
            [
                OutsideKernels<BlockTableForm>.Attention, OutsideKernels<BlockTableForm>.Append,
                OutsideKernels<CsrForm>.Attention, OutsideKernels<CsrForm>.Append,
            ],
        });
        var blockBytes = (long)layout.ToShape().BlockBytes;
        _poolBytes = ((poolBlocks * blockBytes) + KvCacheOptions.UnitBytes - 1) / KvCacheOptions.UnitBytes * KvCacheOptions.UnitBytes;
        _cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = _poolBytes, ColdBytes = 4 * _poolBytes, CleanAhead = false });
        _model = _cache.RegisterModel("paged", layout);
        _lane = _cache.OpenLane(new KvLaneOptions { Depth = 3, MaxBatch = MaxBatch, MaxLayouts = 1, MaxPages = MaxPages });
        (_queue, _hold) = (_device.CreateQueue("kernels"), _device.CreateTimeline("hold"));
        _sequences = [.. Enumerable.Range(0, Sequences).Select(_ => _model.CreateSequence())];

        var newFloats = MaxBatch * MaxNew * layout.Heads * layout.HeadDim;
        (_newKeys, _newValues, _queries) = (new(newFloats), new(newFloats), new(newFloats * Group));
        _lastQueries = new(MaxBatch * layout.Heads * Group * layout.HeadDim);
        _partials = new((long)AttentionArguments.PartialBytes(MaxBatch, (uint)(layout.Heads * Group), (uint)layout.HeadDim, MaxParts) / sizeof(float));
        _ours = new(layers.Length * newFloats * Group);
        var outputs = layers.Length * MaxBatch * layout.Heads * Group * layout.HeadDim;
        (_byBlockTable, _byCsr) = (new(outputs), new(outputs));
    }

    /// <summary>Pages that a step's tables named under the kernels while the next step's named others: blocks that moved in flight.</summary>
    public int MovedUnderKernels { get; private set; }

    public KvCacheStatistics Statistics => _cache.GetStatistics();

    private static uint MaxParts => AttentionArguments.PartsFor(MaxTokens + MaxNew);

    private int RowFloats => _layout.Heads * Group * _layout.HeadDim;

    public void RunBatch(int number)
    {
        var batch = DrawBatch();
        MakeRoom(batch);
        FillInputs(batch);
        var step = _lane.Begin(batch);
        Assert.Equal(KvStepStatus.Accepted, step.Status);
        Enqueue(step, batch, number);
        if (number % 4 == 3)
        {
            DisturbWhatWaits(batch);
        }
        else
        {
            MoveUnderKernels(step, batch);
        }

        _hold.Signal(_held);
        Wait(step.End);
        Compare(batch, number);
    }

    public void Dispose()
    {
        _queue.Dispose();
        _cache.Dispose();
        _device.Dispose();
        foreach (var array in new IDisposable[] { _newKeys, _newValues, _queries, _lastQueries, _rowStarts, _newTokens, _partials, _ours, _byBlockTable, _byCsr })
        {
            array.Dispose();
        }
    }

    private KvStepItem[] DrawBatch()
    {
        for (var i = 0; i < _sequences.Length; i++)
        {
            if (_sequences[i].TokenCount > MaxTokens - MaxNew)
            {
                _sequences[i].Free();
                _sequences[i] = _model.CreateSequence();
            }
        }

        _random.Shuffle(_sequences);
        return [.. _sequences.Take(1 + _random.Next(MaxBatch)).Select(sequence => new KvStepItem(sequence, 1 + _random.Next(_random.Next(2) == 0 ? 3 : MaxNew)))];
    }

    /// <summary>Evicts sequences of no batch until a third of the pool is free, so that moves need not wait for the step's end.</summary>
    private void MakeRoom(KvStepItem[] batch)
    {
        _cache.Pump();
        foreach (var sequence in _sequences.Skip(batch.Length))
        {
            if (Statistics.ResidentBytes * 3 > _poolBytes * 2)
            {
                sequence.Evict(_lane);
            }
        }
    }

    private void FillInputs(KvStepItem[] batch)
    {
        foreach (var input in new[] { _newKeys, _newValues, _queries })
        {
            foreach (ref var value in input.Span)
            {
                value = (_random.NextSingle() * 2) - 1;
            }
        }

        var row = 0;
        for (var i = 0; i < batch.Length; i++)
        {
            (_rowStarts.Span[i], _newTokens.Span[i]) = ((uint)row, batch[i].NewTokens);
            row += batch[i].NewTokens;
            _queries.Span.Slice((row - 1) * RowFloats, RowFloats).CopyTo(_lastQueries.Span[(i * RowFloats)..]);
        }

        foreach (var output in new[] { _ours, _byBlockTable, _byCsr })
        {
            output.Span.Fill(float.NaN);
        }
    }

    private void Enqueue(KvStep step, KvStepItem[] batch, int number)
    {
        var table = step.PageTable();
        var blockTable = new BlockTableForm { BlockTable = (int*)table.BlockTable, SequenceLengths = (int*)table.SequenceLengths, RowStride = table.MaxPages };
        var csr = new CsrForm { Indptr = (int*)table.Indptr, Indices = (int*)table.Indices, LastPageLengths = (int*)table.LastPageLengths };
        _commands.Clear();
        for (var i = 0; i < _layers.Length; i++)
        {
            var kv = OurBatch(step, batch, _layers[i]);
            var ofBlockTable = Outside(blockTable, kv, (float*)_byBlockTable.Address + (i * MaxBatch * RowFloats));
            var ofCsr = Outside(csr, kv, (float*)_byCsr.Address + (i * MaxBatch * RowFloats));
            switch ((number + i) % 3)
            {
                case 0:
                    Launch(KernelNames.WritePaged, new KvWriteArguments { Kv = kv, Keys = _newKeys.Address, Values = _newValues.Address, RowStarts = _rowStarts.Address });
                    break;
                case 1:
                    Launch(OutsideKernels<BlockTableForm>.Append.Name, ofBlockTable);
                    break;
                default:
                    Launch(OutsideKernels<CsrForm>.Append.Name, ofCsr);
                    break;
            }

            var ours = OurAttention(kv, (ulong)(i * MaxBatch * MaxNew * RowFloats * sizeof(float)));
            Launch(KernelNames.DecodePaged, ours);
            Launch(KernelNames.Merge, ours);
            Launch(OutsideKernels<BlockTableForm>.Attention.Name, ofBlockTable);
            Launch(OutsideKernels<CsrForm>.Attention.Name, ofCsr);
        }

        _queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value), new WaitPoint(_hold, ++_held)], _commands, step.End);
    }

    private void Launch<T>(string kernel, T arguments)
        where T : unmanaged => _commands.Launch(_device.LoadKernel(kernel), arguments);

    private KvBatch OurBatch(KvStep step, KvStepItem[] batch, int layer) => new()
    {
        Views = step.ViewsAddress(),
        Entries = _cache.EntriesAddress,
        Pool = _cache.PoolAddress,
        Shape = _model.Shape(),
        Batch = (uint)batch.Length,
        Layer = (uint)layer,
        Format = (ElementFormat)(uint)_layout.ElementType,
    };

    private AttentionArguments OurAttention(in KvBatch kv, ulong outputs) => new()
    {
        Kv = kv,
        Queries = _queries.Address,
        Outputs = _ours.Address + outputs,
        RowStarts = _rowStarts.Address,
        Partials = _partials.Address,
        MaxParts = MaxParts,
        QueryHeads = (uint)(_layout.Heads * Group),
        WindowTokens = (uint)_layout.WindowTokens,
        Scale = 1 / MathF.Sqrt(_layout.HeadDim),
    };

    private OutsideArguments<TForm> Outside<TForm>(TForm pages, in KvBatch kv, float* outputs)
        where TForm : unmanaged, IPageForm => new()
        {
            Pages = pages,
            Keys = Tensor(_cache, _model.Shape(), kv.Format, (int)kv.Layer, plane: 0),
            Values = Tensor(_cache, _model.Shape(), kv.Format, (int)kv.Layer, plane: 1),
            PageTokens = _layout.TokensPerBlock,
            Batch = (int)kv.Batch,
            QueryHeads = _layout.Heads * Group,
            KvHeads = _layout.Heads,
            HeadDim = _layout.HeadDim,
            WindowLeft = _layout.WindowTokens - 1,
            Scale = 1 / Math.Sqrt(_layout.HeadDim),
            Queries = (float*)_lastQueries.Address,
            Outputs = outputs,
            NewTokens = (int*)_newTokens.Address,
            NewKeys = (float*)_newKeys.Address,
            NewValues = (float*)_newValues.Address,
        };

    // What docs/kernel-authors.md shows begins.
    private static PagedTensor Tensor(KvCache cache, KvShape shape, ElementFormat format, int layer, int plane) => new()
    {
        Address = cache.PoolAddress + ((ulong)layer * shape.LayerStride) + ((ulong)plane * shape.PlaneStride),
        PageStride = (long)(shape.BlockBytes / shape.ElementBytes),
        TokenStride = shape.TokenStride / shape.ElementBytes,
        HeadStride = shape.HeadStride / shape.ElementBytes,
        Format = format,
    };

    // What docs/kernel-authors.md shows ends.

    /// <summary>
    /// Moves blocks that the step reads, compacts, and begins a step that sees them where they are now. All of that has run before the kernels start:
    /// none of it waits for them.
    /// </summary>
    private void MoveUnderKernels(KvStep step, KvStepItem[] batch)
    {
        var budget = 8;
        foreach (var (sequence, newTokens) in batch)
        {
            // The step writes the block at its first new token; what lies before has been written.
            var written = (sequence.TokenCount - newTokens) / _layout.TokensPerBlock;
            budget -= sequence.Move(_lane, Math.Min(written, _random.Next(budget + 1)));
        }

        _sequences[^1].Evict(_lane);
        _sequences[^2].Free();
        _sequences[^2] = _model.CreateSequence();
        _cache.Compact();
        var next = _lane.Begin([.. batch.Select(item => new KvStepItem(item.Sequence, 0))]);
        Assert.Equal(KvStepStatus.Accepted, next.Status);
        Wait(next.Begin);
        MovedUnderKernels += DifferentPages(step.PageTable(), next.PageTable(), batch);
        _queue.Submit([new WaitPoint(next.Begin.Timeline, next.Begin.Value)], new CommandList(), next.End);

        // Who wants the bytes that the moves have left must wait for the kernels.
        foreach (var sequence in _sequences)
        {
            sequence.Prefetch(_lane);
        }
    }

    /// <summary>Pages that both steps may read, under another number in the second.</summary>
    private int DifferentPages(PageTable before, PageTable after, KvStepItem[] batch)
    {
        var different = 0;
        for (var i = 0; i < batch.Length; i++)
        {
            var row = i * MaxPages;
            var blocks = (((int*)after.SequenceLengths)[i] + _layout.TokensPerBlock - 1) / _layout.TokensPerBlock;
            for (var block = blocks - (((int*)after.Indptr)[i + 1] - ((int*)after.Indptr)[i]); block < blocks; block++)
            {
                different += ((int*)before.BlockTable)[row + block] != ((int*)after.BlockTable)[row + block] ? 1 : 0;
            }
        }

        return different;
    }

    /// <summary>Enqueues what must wait for the step's end, blocks that it writes among it: copies out, moves, and a step that reloads.</summary>
    private void DisturbWhatWaits(KvStepItem[] batch)
    {
        foreach (var (sequence, _) in batch)
        {
            _ = _random.Next(2) == 0 ? sequence.Evict(_lane) : sequence.Move(_lane, 4);
        }

        var next = _lane.Begin([.. batch.Select(item => new KvStepItem(item.Sequence, 0))]);
        Assert.Contains(next.Status, new[] { KvStepStatus.Accepted, KvStepStatus.Busy });
        _queue.Submit([new WaitPoint(next.Begin.Timeline, next.Begin.Value)], new CommandList(), next.End);
    }

    private void Wait(TimelinePoint point) => Assert.True(_cache.Wait(point, CacheRig.Limit), "A step does not go on.");

    private void Compare(KvStepItem[] batch, int number)
    {
        for (var layer = 0; layer < _layers.Length; layer++)
        {
            for (var i = 0; i < batch.Length; i++)
            {
                var lastRow = (layer * MaxBatch * MaxNew) + (int)_rowStarts.Span[i] + batch[i].NewTokens - 1;
                var ours = _ours.Span.Slice(lastRow * RowFloats, RowFloats);
                var at = ((layer * MaxBatch) + i) * RowFloats;
                AssertEqual(ours, _byBlockTable.Span.Slice(at, RowFloats), $"block table, batch {number}, layer {_layers[layer]}, sequence {i} of {batch.Length}, {batch[i]}");
                AssertEqual(ours, _byCsr.Span.Slice(at, RowFloats), $"CSR, batch {number}, layer {_layers[layer]}, sequence {i} of {batch.Length}, {batch[i]}");
            }
        }
    }

    /// <summary>Ours computes in float32, the others in float64.</summary>
    private static void AssertEqual(ReadOnlySpan<float> ours, ReadOnlySpan<float> theirs, string what)
    {
        var expected = new double[theirs.Length];
        for (var i = 0; i < theirs.Length; i++)
        {
            expected[i] = theirs[i];
        }

        var error = AttentionReference.RelativeError(ours, expected);
        Assert.True(error < 1e-5, $"{what}: relative error {error}.");
    }
}
