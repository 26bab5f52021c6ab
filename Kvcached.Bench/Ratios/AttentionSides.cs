using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;

namespace Kvcached.Bench.Ratios;

/// <summary>What the attention kernels are given.</summary>
internal sealed record AttentionSize(int Sequences, int Tokens, int NewTokens)
{
    public const int Heads = 8;
    public const int Group = 4;
    public const int HeadDim = 128;
    public const int TokensPerBlock = 16;
}

/// <summary>
/// An attention kernel through the table (A) and over contiguous buffers (B), with the same keys and values, called item by item on the thread
/// that measures. Both must give the same bits. A run is the next of equal slices of the launch, so that the sides take turns every few
/// milliseconds and what disturbs them disturbs both: a whole sequence of a decode, part of a prompt of a prefill. Nanoseconds a launch.
/// </summary>
internal sealed unsafe class AttentionSides : RatioSides
{
    private readonly AttentionSize _size;
    private readonly ElementFormat _format;
    private readonly double _leastReadShare;
    private readonly int _slicesPerSequence;
    private readonly CpuKernel _paged;
    private readonly CpuKernel _contiguous;
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 1 });
    private readonly List<DeviceMemory> _memory = [];
    private readonly List<double> _readBytesPerNanosecond = [];
    private readonly AttentionArguments* _a;
    private readonly AttentionArguments* _b;
    private readonly byte* _tokens;
    private readonly long _bufferBytes;
    private readonly byte* _results;
    private readonly int _resultBytes;
    private int _runsOfA;
    private int _runsOfB;

    /// <summary>Lays both sides out.</summary>
    /// <param name="kernel">Names of the kernel and its twin.</param>
    /// <param name="size">The batch.</param>
    /// <param name="format">How elements are stored.</param>
    /// <param name="isScattered">Whether blocks lie shuffled over the pool.</param>
    /// <param name="leastReadShare">Part of the read bandwidth that the twin must reach; 0 for none.</param>
    public AttentionSides((string Paged, string Contiguous) kernel, AttentionSize size, ElementFormat format, bool isScattered, double leastReadShare = 0)
    {
        (_size, _format, _leastReadShare) = (size, format, leastReadShare);
        _paged = CpuKernelLibrary.All.Single(k => k.Name == kernel.Paged);
        _contiguous = CpuKernelLibrary.All.Single(k => k.Name == kernel.Contiguous);
        var shape = new KvLayout
        {
            Layers = 1,
            Heads = AttentionSize.Heads,
            HeadDim = AttentionSize.HeadDim,
            TokensPerBlock = AttentionSize.TokensPerBlock,
            ElementType = format switch { ElementFormat.Float32 => KvElementType.Float32, ElementFormat.Float16 => KvElementType.Float16, _ => KvElementType.BFloat16 },
        }.ToShape();
        var whole = ContiguousShape.Of(shape, (uint)size.Tokens);
        _bufferBytes = (long)whole.BlockBytes;
        _tokens = (byte*)Allocate(2 * _bufferBytes * size.Sequences);
        NativeMemory.Clear(_tokens, (nuint)(2 * _bufferBytes * size.Sequences));
        FillBuffers();
        _a = (AttentionArguments*)Allocate(2 * sizeof(AttentionArguments));
        _b = _a + 1;
        *_a = Arguments(shape, FillBlocks(shape, whole, isScattered));
        *_b = *_a;
        _b->Kv.Shape = whole;
        _a->Validate();
        _b->Validate();
        var isDecode = size.NewTokens == 1;
        _slicesPerSequence = isDecode ? 1 : 8;
        _results = (byte*)(isDecode ? _a->Partials : _a->Outputs);
        _resultBytes = checked((int)(isDecode ? PartialBytes : QueryBytes));
        CheckSame();
    }

    private static int QueryHeads => AttentionSize.Heads * AttentionSize.Group;

    private int Slices => _size.Sequences * _slicesPerSequence;

    private uint MaxParts => AttentionArguments.PartsFor((uint)_size.Tokens);

    private long PartialBytes => (long)AttentionArguments.PartialBytes((uint)_size.Sequences, (uint)QueryHeads, AttentionSize.HeadDim, MaxParts);

    private long QueryBytes => (long)_size.Sequences * _size.NewTokens * QueryHeads * AttentionSize.HeadDim * sizeof(float);

    public override double RunA() => RunSlice(_paged, _a, _runsOfA++ % Slices);

    public override double RunB() => RunSlice(_contiguous, _b, _runsOfB++ % Slices);

    public override bool MeasuresBeside => _leastReadShare > 0;

    // Reads what the next run of B, whose place it takes, would have read.
    public override void RunBeside()
    {
        if (_leastReadShare > 0)
        {
            var bytes = SequenceBuffer(_runsOfB++ % _size.Sequences);
            var start = ThreadPin.Nanoseconds();
            Read(bytes, _bufferBytes);
            _readBytesPerNanosecond.Add((double)_bufferBytes / (ThreadPin.Nanoseconds() - start));
        }
    }

    public override string? Missed(double a, double b) => _leastReadShare > 0 && ReadShare(b) < _leastReadShare
        ? $"the {_format} twin reads at {ReadShare(b):P0} of the read bandwidth; it must reach {_leastReadShare:P0}"
        : null;

    public override IEnumerable<ExtraField> Extra(double a, double b)
    {
        var name = _format.ToString().ToLowerInvariant();
        yield return new ExtraField(name, a / b);
        if (_leastReadShare > 0)
        {
            yield return new ExtraField($"{name}_read_share", ReadShare(b));
            yield return new ExtraField($"{name}_read_gb_s", RatioStatistics.Median(_readBytesPerNanosecond));
        }
    }

    protected override void Dispose(bool disposing)
    {
        _memory.ForEach(memory => memory.Dispose());
        _device.Dispose();
        base.Dispose(disposing);
    }

    // As many of a sequence's first items as of its last: later ones of a prefill see more tokens.
    private double RunSlice(CpuKernel kernel, AttentionArguments* arguments, int slice)
    {
        var start = ThreadPin.Nanoseconds();
        var items = kernel.Items(arguments) / _size.Sequences;
        var half = items / (2 * _slicesPerSequence);
        var first = (slice / _slicesPerSequence * items) + (slice % _slicesPerSequence * half);
        var last = ((slice / _slicesPerSequence) + 1) * items - ((slice % _slicesPerSequence + 1) * half);
        RunItems(kernel, arguments, first, half);
        RunItems(kernel, arguments, last, half);
        return (double)(ThreadPin.Nanoseconds() - start) * Slices;
    }

    private static void RunItems(CpuKernel kernel, AttentionArguments* arguments, int first, int count)
    {
        for (var item = first; item < first + count; item++)
        {
            kernel.Run(arguments, item, 0);
        }
    }

    private static void Read(byte* bytes, long count)
    {
        var (a, b, c, d) = (Vector512<ulong>.Zero, Vector512<ulong>.Zero, Vector512<ulong>.Zero, Vector512<ulong>.Zero);
        for (var end = bytes + count; bytes < end; bytes += 256)
        {
            a ^= Vector512.Load((ulong*)bytes);
            b ^= Vector512.Load((ulong*)bytes + 8);
            c ^= Vector512.Load((ulong*)bytes + 16);
            d ^= Vector512.Load((ulong*)bytes + 24);
        }

        _readSum = Vector512.Sum(a ^ b ^ c ^ d);
    }

    // Keeps the reads from being compiled away.
    private static ulong _readSum;

    private double ReadShare(double b) => _bufferBytes * _size.Sequences / b / RatioStatistics.Median(_readBytesPerNanosecond);

    private ulong Allocate(long bytes)
    {
        var memory = _device.Allocate(bytes, MemoryKind.Device, "attention");
        _memory.Add(memory);
        return memory.Address;
    }

    private void FillBuffers()
    {
        var random = new Random(1);
        var pattern = new byte[1 << 20];
        var elementBytes = _format == ElementFormat.Float32 ? 4 : 2;
        for (var i = 0; i < pattern.Length; i += elementBytes)
        {
            var value = random.NextSingle() - 0.5f;
            var bits = _format switch
            {
                ElementFormat.Float32 => BitConverter.SingleToUInt32Bits(value),
                ElementFormat.Float16 => BitConverter.HalfToUInt16Bits((Half)value),
                _ => BitConverter.SingleToUInt32Bits(value) >> 16,
            };
            MemoryMarshal.AsBytes(new ReadOnlySpan<uint>(in bits))[..elementBytes].CopyTo(pattern.AsSpan(i));
        }

        // Shifted by an odd number of elements each time, so that no two blocks are alike.
        var part = 0;
        for (var sequence = 0; sequence < _size.Sequences; sequence++)
        {
            for (long offset = 0; offset < _bufferBytes; part++)
            {
                var from = part * 12_347 % 4096 * elementBytes;
                var count = (int)Math.Min(pattern.Length - from, _bufferBytes - offset);
                pattern.AsSpan(from, count).CopyTo(new Span<byte>(SequenceBuffer(sequence) + offset, count));
                offset += count;
            }
        }
    }

    // The sides share one memory, in turn before and behind the other: pages taken earlier and later differ in speed by more than the table costs.
    private byte* SequenceBuffer(int sequence) => _tokens + (((2 * sequence) + (sequence % 2)) * _bufferBytes);

    private byte* SequenceBlocks(int sequence) => _tokens + (((2 * sequence) + 1 - (sequence % 2)) * _bufferBytes);

    // Copies the buffers into blocks.
    private ulong FillBlocks(in KvShape shape, in KvShape whole, bool isScattered)
    {
        var blocksEach = _size.Tokens / AttentionSize.TokensPerBlock;
        var places = Enumerable.Range(0, _size.Sequences * blocksEach).ToArray();
        if (isScattered)
        {
            new Random(2).Shuffle(places);
        }

        var entries = Allocate(places.Length * sizeof(uint));
        var planeBytes = shape.TokenStride * AttentionSize.TokensPerBlock;
        for (var i = 0; i < places.Length; i++)
        {
            var target = SequenceBlocks(places[i] / blocksEach) + (places[i] % blocksEach * (long)shape.BlockBytes);
            var source = SequenceBuffer(i / blocksEach) + (i % blocksEach * planeBytes);
            for (var plane = 0u; plane < shape.Planes; plane++)
            {
                Buffer.MemoryCopy(source + (plane * whole.PlaneStride), target + (plane * shape.PlaneStride), planeBytes, planeBytes);
            }

            ((uint*)entries)[i] = (uint)((target - _tokens) / KvShape.GranuleBytes);
        }

        return entries;
    }

    private AttentionArguments Arguments(in KvShape shape, ulong entries)
    {
        var blocks = _size.Tokens / AttentionSize.TokensPerBlock;
        var views = (SequenceView*)Allocate(_size.Sequences * SequenceView.Bytes);
        var buffers = (ulong*)Allocate(_size.Sequences * sizeof(ulong));
        var rowStarts = (uint*)Allocate(_size.Sequences * sizeof(uint));
        for (var i = 0; i < _size.Sequences; i++)
        {
            views[i] = new SequenceView
            {
                RowStart = (uint)(i * blocks),
                BlockCount = (uint)blocks,
                TokenCount = (uint)_size.Tokens,
                NewTokens = (uint)_size.NewTokens,
                SequenceId = (uint)i,
            };
            buffers[i] = (ulong)SequenceBuffer(i);
            rowStarts[i] = (uint)(i * _size.NewTokens);
        }

        var queries = Allocate(QueryBytes);
        var random = new Random(3);
        foreach (ref var element in new Span<float>((void*)queries, checked((int)(QueryBytes / sizeof(float)))))
        {
            element = random.NextSingle() - 0.5f;
        }

        return new AttentionArguments
        {
            Kv = new KvBatch { Views = (ulong)views, Entries = entries, Pool = (ulong)_tokens, Buffers = (ulong)buffers, Shape = shape, Batch = (uint)_size.Sequences, Format = _format },
            Queries = queries,
            Outputs = Allocate(QueryBytes),
            RowStarts = (ulong)rowStarts,
            Partials = Allocate(PartialBytes),
            MaxParts = MaxParts,
            QueryHeads = (uint)QueryHeads,
            Scale = 1 / MathF.Sqrt(AttentionSize.HeadDim),
        };
    }

    private void CheckSame()
    {
        for (var i = 0; i < Slices; i++)
        {
            RunA();
        }

        var paged = new Span<byte>(_results, _resultBytes).ToArray();
        new Span<byte>(_results, _resultBytes).Clear();
        for (var i = 0; i < Slices; i++)
        {
            RunB();
        }

        if (!paged.AsSpan().SequenceEqual(new Span<byte>(_results, _resultBytes)) || !paged.AsSpan().ContainsAnyExcept((byte)0))
        {
            throw new InvalidOperationException($"{_paged.Name} and its twin do not give the same bits, or none.");
        }
    }
}
