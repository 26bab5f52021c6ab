using Kvcached.Kernels;

namespace Kvcached.Tests.Kernels;

/// <summary>
/// A problem in memory: queries, keys and values made from (seed, sequence, position) alone, a pool and contiguous buffers whose every
/// byte was 0xFF (NaN in all formats) before the write kernels ran, blocks at shuffled places, and outputs poisoned with NaN.
/// </summary>
internal sealed class AttentionProblem : IDisposable
{
    private const int GranulesBeforeFirstBlock = 3;
    private readonly KernelMachine _machine;
    private readonly AttentionCase _case;
    private readonly int[] _sequenceIds;
    private readonly NativeArray<SequenceView> _views;
    private readonly NativeArray<uint> _entries;
    private readonly NativeArray<byte> _pool;
    private readonly NativeArray<ulong> _bufferAddresses;
    private readonly NativeArray<byte> _buffers;
    private readonly NativeArray<uint> _rowStarts;
    private readonly NativeArray<float> _queries;
    private readonly NativeArray<float> _partials;

    /// <summary>Lays the problem out.</summary>
    /// <param name="machine">Where its kernels run.</param>
    /// <param name="parameters">The shape of the problem.</param>
    /// <param name="placement">Seed of where blocks lie.</param>
    /// <param name="only">Sequences to take, in this order; all if null. Contents do not depend on it.</param>
    internal AttentionProblem(KernelMachine machine, AttentionCase parameters, int placement = 1, int[]? only = null)
    {
        _machine = machine;
        _case = parameters;
        _sequenceIds = only ?? [.. Enumerable.Range(0, parameters.Sequences.Length)];
        Shape = parameters.Shape;
        _views = machine.Array<SequenceView>(_sequenceIds.Length);
        _rowStarts = machine.Array<uint>(_sequenceIds.Length);
        _bufferAddresses = machine.Array<ulong>(_sequenceIds.Length);
        _buffers = machine.Array<byte>((long)BufferShape().BlockBytes * _sequenceIds.Length);
        _buffers.Span.Fill(0xFF);
        var blocks = _sequenceIds.Sum(id => Blocks(parameters.Sequences[id].Tokens));
        _pool = machine.Array<byte>((blocks * (long)Shape.BlockBytes) + (GranulesBeforeFirstBlock * KvShape.GranuleBytes));
        _pool.Span.Fill(0xFF);
        _entries = PlaceBlocks(blocks, placement);
        var newTokens = _sequenceIds.Sum(id => parameters.Sequences[id].New);
        var maxTokens = parameters.Sequences.Max(s => s.Tokens);
        MaxParts = (int)AttentionArguments.PartsFor((uint)maxTokens);
        _partials = machine.Array<float>((long)AttentionArguments.PartialBytes((uint)_sequenceIds.Length, (uint)parameters.QueryHeads, (uint)parameters.HeadDim, (uint)MaxParts) / sizeof(float));
        _partials.Span.Fill(float.NaN);
        _queries = machine.Array<float>((long)newTokens * parameters.QueryHeads * parameters.HeadDim);
        Outputs = machine.Array<float>((long)newTokens * parameters.QueryHeads * parameters.HeadDim);
        FillViewsAndQueries();
        WriteKv();
    }

    internal KvShape Shape { get; }

    internal int MaxParts { get; }

    internal NativeArray<float> Outputs { get; }

    internal Span<SequenceView> Views => _views.Span;

    internal Span<byte> Pool => _pool.Span;

    internal KvBatch Kv => new()
    {
        Views = _views.Address,
        Entries = _entries.Address,
        Pool = _pool.Address,
        Buffers = _bufferAddresses.Address,
        Shape = Shape,
        Batch = (uint)_sequenceIds.Length,
        Layer = (uint)_case.Layer,
        Format = _case.Format,
    };

    internal AttentionArguments Arguments => new()
    {
        Kv = Kv,
        Queries = _queries.Address,
        Outputs = Outputs.Address,
        RowStarts = _rowStarts.Address,
        Partials = _partials.Address,
        MaxParts = (uint)MaxParts,
        QueryHeads = (uint)_case.QueryHeads,
        WindowTokens = (uint)_case.WindowTokens,
        Scale = 1 / MathF.Sqrt(_case.HeadDim),
    };

    internal AttentionArguments ContiguousArguments => Arguments with { Kv = Contiguous(Kv) };

    /// <summary>Runs a kernel on the problem's memory.</summary>
    internal void Run<T>(string kernel, in T arguments)
        where T : unmanaged => _machine.Run(kernel, arguments);

    internal float[] Decode(int workers = 1) => Decode(KernelNames.DecodePaged, Arguments, workers);

    internal float[] DecodeContiguous() => Decode(KernelNames.DecodeContiguous, ContiguousArguments, 1);

    internal float[] Prefill(int workers = 1) => Prefill(KernelNames.PrefillPaged, Arguments, workers);

    internal float[] PrefillContiguous() => Prefill(KernelNames.PrefillContiguous, ContiguousArguments, 1);

    private float[] Decode(string kernel, AttentionArguments arguments, int workers)
    {
        Outputs.Span.Fill(float.NaN);
        _machine.Run(kernel, arguments, workers);
        _machine.Run(KernelNames.Merge, arguments, workers);
        return Outputs.Span.ToArray();
    }

    private float[] Prefill(string kernel, AttentionArguments arguments, int workers)
    {
        Outputs.Span.Fill(float.NaN);
        _machine.Run(kernel, arguments, workers);
        return Outputs.Span.ToArray();
    }

    /// <summary>The result rows of one position of a sequence of this problem: [query heads][head dim].</summary>
    internal Span<float> Row(Span<float> outputs, int sequence, int newToken)
    {
        var floats = _case.QueryHeads * _case.HeadDim;
        return outputs.Slice(((int)_rowStarts.Span[sequence] + newToken) * floats, floats);
    }

    internal float[] Query(int sequence, int newToken) => Row(_queries.Span, sequence, newToken).ToArray();

    /// <summary>A stored element as the kernels read it, found by the formula of the ABI alone.</summary>
    internal double Stored(int sequence, int token, int plane, int head, int i)
    {
        var view = _views.Span[sequence];
        var entry = _entries.Span[(int)view.RowStart + (token / _case.TokensPerBlock)];
        var inBlock = ((ulong)_case.Layer * Shape.LayerStride) + ((ulong)plane * Shape.PlaneStride) + ((ulong)head * Shape.HeadStride)
            + ((ulong)(token % _case.TokensPerBlock) * Shape.TokenStride) + ((ulong)i * Shape.ElementBytes);
        var bytes = _pool.Span[(int)(((ulong)entry * KvShape.GranuleBytes) + inBlock)..];
        return _case.ElementType switch
        {
            KvElementType.Float16 => (double)BitConverter.ToHalf(bytes),
            KvElementType.BFloat16 => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(bytes) << 16),
            _ => BitConverter.ToSingle(bytes),
        };
    }

    /// <summary>Element of what was written before rounding.</summary>
    internal static float Source(int seed, int sequence, int token, int plane, int index)
    {
        var mixed = (ulong)(((((((((long)seed * 131) + sequence) * 8209) + token) * 3) + plane) * 65537) + index);
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
        mixed ^= mixed >> 31;
        return ((mixed >> 40) / (float)(1 << 23)) - 1;
    }

    public void Dispose()
    {
        foreach (var array in new IDisposable[] { _views, _entries, _pool, _buffers, _bufferAddresses, _rowStarts, _queries, Outputs, _partials })
        {
            array.Dispose();
        }
    }

    private int Blocks(int tokens) => (tokens + _case.TokensPerBlock - 1) / _case.TokensPerBlock;

    private NativeArray<uint> PlaceBlocks(int blocks, int placement)
    {
        var places = Enumerable.Range(0, blocks).ToArray();
        new Random(placement).Shuffle(places);
        var granulesPerBlock = (int)Shape.BlockBytes / KvShape.GranuleBytes;
        return _machine.Array<uint>([.. places.Select(place => (uint)((place * granulesPerBlock) + GranulesBeforeFirstBlock))]);
    }

    private void FillViewsAndQueries()
    {
        uint rowStart = 0, entry = 0;
        for (var i = 0; i < _sequenceIds.Length; i++)
        {
            var (tokens, newTokens) = _case.Sequences[_sequenceIds[i]];
            _views.Span[i] = new SequenceView
            {
                RowStart = entry,
                BlockCount = (uint)Blocks(tokens),
                TokenCount = (uint)tokens,
                NewTokens = (uint)newTokens,
                SequenceId = (uint)_sequenceIds[i],
            };
            _rowStarts.Span[i] = rowStart;
            for (var token = 0; token < newTokens; token++)
            {
                var row = Row(_queries.Span, i, token);
                for (var k = 0; k < row.Length; k++)
                {
                    row[k] = 3 * Source(_case.Seed, _sequenceIds[i], tokens - newTokens + token, 2, k);
                }
            }

            rowStart += (uint)newTokens;
            entry += (uint)Blocks(tokens);
        }
    }

    // The whole of every sequence is new to the write kernels, whatever part of it is new to attention.
    private void WriteKv()
    {
        var perToken = _case.KvHeads * _case.HeadDim;
        var tokens = _sequenceIds.Sum(id => _case.Sequences[id].Tokens);
        using var keys = _machine.Array<float>((long)tokens * perToken);
        using var values = _machine.Array<float>((long)tokens * perToken);
        using var starts = _machine.Array<uint>(_sequenceIds.Length);
        using var views = _machine.Array<SequenceView>(_views.Span);
        var row = 0;
        for (var i = 0; i < _sequenceIds.Length; i++)
        {
            starts.Span[i] = (uint)row;
            views.Span[i].NewTokens = views.Span[i].TokenCount;
            _bufferAddresses.Span[i] = _buffers.Address + ((ulong)i * BufferShape().BlockBytes);
            for (var token = 0; token < views.Span[i].TokenCount; token++, row++)
            {
                for (var k = 0; k < perToken; k++)
                {
                    keys.Span[(row * perToken) + k] = Source(_case.Seed, _sequenceIds[i], token, 0, k);
                    values.Span[(row * perToken) + k] = Source(_case.Seed, _sequenceIds[i], token, 1, k);
                }
            }
        }

        var write = new KvWriteArguments
        {
            Kv = Kv with { Views = views.Address },
            Keys = keys.Address,
            Values = values.Address,
            RowStarts = starts.Address,
        };
        _machine.Run(KernelNames.WritePaged, write);
        _machine.Run(KernelNames.WriteContiguous, write with { Kv = Contiguous(write.Kv) });
    }

    private KvBatch Contiguous(KvBatch kv) => kv with { Shape = BufferShape(), Pool = _buffers.Address };

    private KvShape BufferShape() => ContiguousShape.Of(Shape, (uint)_case.Sequences.Max(s => s.Tokens));
}
