using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;

namespace Kvcached.Bench.Micro;

/// <summary>
/// A word of each of 4,096 tokens of 8 sequences, in 16-token blocks of 16 KiB that lie in order or anywhere: through the helpers that kernel authors
/// link, and through the same arithmetic by hand. A table of two levels, as page tables are, lets rows lie in pieces; on a processor whose caches hold
/// the upper level its second read costs nothing, and it buys nothing, since rows are kept contiguous for kernels that read entries side by side.
/// </summary>
public unsafe class TokenLookup
{
    private const int Sequences = 8;
    private const int Tokens = 4096;
    private const int EntriesPerPage = 64;
    private static readonly KvShape _shape = new KvLayout { Layers = 1, Heads = 2, HeadDim = 128 }.ToShape();
    private readonly SequenceView[] _views = new SequenceView[Sequences];
    private byte* _pool;
    private uint* _entries;
    private uint** _pages;

    [Params(false, true)]
    public bool Scattered { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        var blocksEach = Tokens / (int)_shape.TokensPerBlock;
        var blocks = Sequences * blocksEach;
        _pool = (byte*)NativeMemory.AlignedAlloc((nuint)blocks * (nuint)_shape.BlockBytes, 4096);
        _entries = (uint*)NativeMemory.AlignedAlloc((nuint)blocks * sizeof(uint), 4096);
        _pages = (uint**)NativeMemory.AlignedAlloc((nuint)(blocks / EntriesPerPage * sizeof(uint*)), 64);
        var places = Enumerable.Range(0, blocks).ToArray();
        if (Scattered)
        {
            new Random(1).Shuffle(places);
        }

        for (var i = 0; i < blocks; i++)
        {
            _entries[i] = (uint)((ulong)places[i] * _shape.BlockBytes / KvShape.GranuleBytes);
            var words = new Span<ulong>(_pool + ((ulong)places[i] * _shape.BlockBytes), (int)_shape.BlockBytes / sizeof(ulong));
            words.Fill((ulong)i);
        }

        for (var page = 0; page < blocks / EntriesPerPage; page++)
        {
            _pages[page] = _entries + (page * EntriesPerPage);
        }

        for (var i = 0; i < Sequences; i++)
        {
            _views[i] = new SequenceView { RowStart = (uint)(i * blocksEach), BlockCount = (uint)blocksEach, TokenCount = Tokens };
        }
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        NativeMemory.AlignedFree(_pool);
        NativeMemory.AlignedFree(_entries);
        NativeMemory.AlignedFree(_pages);
    }

    [Benchmark(OperationsPerInvoke = Sequences * Tokens, Baseline = true)]
    public ulong Helpers()
    {
        var entries = new EntryHeap((ulong)_entries);
        var sum = 0UL;
        foreach (ref readonly var view in _views.AsSpan())
        {
            for (var token = 0; token < Tokens; token++)
            {
                sum += *(ulong*)(_pool + TableLookup.Offset(entries, in view, in _shape, token, layer: 0, plane: 1, head: 1));
            }
        }

        return sum;
    }

    [Benchmark(OperationsPerInvoke = Sequences * Tokens)]
    public ulong ByHand()
    {
        var (shift, stride, mask) = ((int)_shape.TokensPerBlockShift, _shape.TokenStride, _shape.TokensPerBlock - 1);
        var start = _pool + _shape.PlaneStride + _shape.HeadStride;
        var sum = 0UL;
        foreach (ref readonly var view in _views.AsSpan())
        {
            var row = _entries + view.RowStart;
            for (var token = 0u; token < Tokens; token++)
            {
                sum += *(ulong*)(start + ((ulong)row[token >> shift] * KvShape.GranuleBytes) + ((token & mask) * stride));
            }
        }

        return sum;
    }

    [Benchmark(OperationsPerInvoke = Sequences * Tokens)]
    public ulong TwoLevels()
    {
        var (shift, stride, mask) = ((int)_shape.TokensPerBlockShift, _shape.TokenStride, _shape.TokensPerBlock - 1);
        var start = _pool + _shape.PlaneStride + _shape.HeadStride;
        var sum = 0UL;
        foreach (ref readonly var view in _views.AsSpan())
        {
            for (var token = 0u; token < Tokens; token++)
            {
                var block = view.RowStart + (token >> shift);
                sum += *(ulong*)(start + ((ulong)_pages[block / EntriesPerPage][block % EntriesPerPage] * KvShape.GranuleBytes) + ((token & mask) * stride));
            }
        }

        return sum;
    }
}
