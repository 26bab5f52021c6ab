using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Kernels;

namespace Kvcached.Bench.GpuCheck;

/// <summary>What decode is given.</summary>
internal sealed record GpuAttentionSize(int Sequences, int Tokens, int Layers = 1, int Group = 4)
{
    public const int Heads = 8;
    public const int HeadDim = 128;
    public const int TokensPerBlock = 16;

    public int Blocks => Tokens / TokensPerBlock;
}

/// <summary>Where keys and values lie.</summary>
internal enum KvPlaces
{
    /// <summary>In a buffer for each sequence; no table.</summary>
    Contiguous,

    /// <summary>In blocks of all layers, in order.</summary>
    Ordered,

    /// <summary>The same blocks, shuffled over the pool.</summary>
    Scattered,

    /// <summary>In blocks of one layer each, with a table for each layer, shuffled over the pool.</summary>
    ScatteredByLayer,
}

/// <summary>
/// A decode step's attention laid out in the memory of a device, and its launches. The same size has the same keys, values and queries wherever they lie, so results must be the same
/// bits. Owns its memory.
/// </summary>
internal sealed unsafe class GpuAttention : IDisposable
{
    private const int PatternElements = 1 << 20;
    private readonly IDevice _device;
    private readonly ILaunchStream _stream;
    private readonly GpuAttentionSize _size;
    private readonly ElementFormat _format;
    private readonly KvPlaces _places;
    private readonly List<DeviceMemory> _memory = [];
    private readonly AttentionArguments _arguments;
    private readonly KvShape _block;
    private readonly ulong _kv;
    private readonly int[] _order;
    private ulong _pages;

    public GpuAttention(IDevice device, ILaunchStream stream, GpuAttentionSize size, ElementFormat format, KvPlaces places)
    {
        (_device, _stream, _size, _format, _places) = (device, stream, size, format, places);
        _block = new KvLayout
        {
            Layers = places == KvPlaces.ScatteredByLayer ? 1 : size.Layers,
            Heads = GpuAttentionSize.Heads,
            HeadDim = GpuAttentionSize.HeadDim,
            TokensPerBlock = GpuAttentionSize.TokensPerBlock,
            ElementType = format switch { ElementFormat.Float32 => KvElementType.Float32, ElementFormat.Float16 => KvElementType.Float16, _ => KvElementType.BFloat16 },
        }.ToShape();
        var shape = places == KvPlaces.Contiguous ? ContiguousShape.Of(_block, (uint)size.Tokens) : _block;
        _order = [.. Enumerable.Range(0, size.Sequences * size.Blocks * Tables)];
        if (places is KvPlaces.Scattered or KvPlaces.ScatteredByLayer)
        {
            new Random(2).Shuffle(_order);
        }

        _kv = Allocate(places == KvPlaces.Contiguous ? (long)shape.BlockBytes * size.Sequences : (long)shape.BlockBytes * _order.Length);
        Fill(shape);
        _arguments = Arguments(shape);
        _arguments.Validate();
    }

    /// <summary>Bytes of keys and values that a run reads.</summary>
    public long KvBytes => (long)_size.Sequences * _size.Tokens * _size.Layers * 2 * GpuAttentionSize.Heads * GpuAttentionSize.HeadDim * ElementBytes;

    private int Tables => _places == KvPlaces.ScatteredByLayer ? _size.Layers : 1;

    private int ElementBytes => _format == ElementFormat.Float32 ? sizeof(float) : sizeof(ushort);

    private int QueryHeads => GpuAttentionSize.Heads * _size.Group;

    private long QueryBytes => (long)_size.Sequences * QueryHeads * GpuAttentionSize.HeadDim * sizeof(float);

    // Keys, or values, of one head group of one block and layer.
    private long ChunkBytes => (long)_block.TokenStride * GpuAttentionSize.TokensPerBlock;

    /// <summary>Enqueues a step: all layers, one after the other.</summary>
    public void Enqueue()
    {
        for (var layer = 0u; layer < _size.Layers; layer++)
        {
            var arguments = _arguments;
            if (_places == KvPlaces.ScatteredByLayer)
            {
                arguments.Kv.Views += layer * (ulong)_size.Sequences * SequenceView.Bytes;
            }
            else
            {
                arguments.Kv.Layer = layer;
            }

            _stream.Launch(_places == KvPlaces.Contiguous ? KernelNames.DecodeContiguous : KernelNames.DecodePaged, arguments);
            _stream.Launch(KernelNames.Merge, arguments);
        }
    }

    /// <summary>Enqueues what writes page tables from views and entries: a row's entries are what it reads. For blocks.</summary>
    public void EnqueuePages()
    {
        if (_pages == 0)
        {
            _pages = Allocate((2L * _order.Length + (4L * _size.Sequences) + 4) * sizeof(int));
        }

        var lengths = _pages + ((ulong)_order.Length * 2 * sizeof(int));
        var bySequence = (ulong)_size.Sequences * sizeof(int);
        _stream.Launch(KernelNames.PageTable, new PageTableArguments
        {
            Views = _arguments.Kv.Views,
            Entries = _arguments.Kv.Entries,
            Table = new PageTable
            {
                BlockTable = _pages,
                Indices = _pages + ((ulong)_order.Length * sizeof(int)),
                SequenceLengths = lengths,
                LastPageLengths = lengths + bySequence,
                Indptr = lengths + (2 * bySequence),
                MaxPages = (uint)_size.Blocks,
            },
            Batch = (uint)_size.Sequences,
            TokensPerBlockShift = _block.TokensPerBlockShift,
            GranulesPerBlockShift = (uint)System.Numerics.BitOperations.Log2(_block.BlockBytes / KvShape.GranuleBytes),
        });
    }

    /// <summary>What a step gives for the last layer.</summary>
    /// <exception cref="InvalidOperationException">It gives nothing but zeros.</exception>
    public byte[] Results()
    {
        _stream.Clear(_arguments.Outputs, QueryBytes);
        Enqueue();
        using var host = _device.Allocate(QueryBytes, MemoryKind.Host, "results");
        _stream.Copy(host.Address, _arguments.Outputs, QueryBytes);
        _stream.Synchronize();
        var results = host.HostSpan(0, (int)QueryBytes).ToArray();
        return results.AsSpan().ContainsAnyExcept((byte)0) ? results : throw new InvalidOperationException("Decode gives nothing but zeros.");
    }

    public void Dispose() => _memory.ForEach(memory => memory.Dispose());

    private ulong Allocate(long bytes)
    {
        var memory = _device.Allocate(bytes, MemoryKind.Device, "attention");
        _memory.Add(memory);
        return memory.Address;
    }

    private ulong Upload<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        var bytes = MemoryMarshal.AsBytes(values);
        using var host = _device.Allocate(bytes.Length, MemoryKind.Host, "upload");
        bytes.CopyTo(host.HostSpan(0, bytes.Length));
        var address = Allocate(bytes.Length);
        _stream.Copy(address, host.Address, bytes.Length);
        _stream.Synchronize();
        return address;
    }

    // Each chunk is a piece of one random pattern; which, comes from what it is the chunk of, so that it is the same wherever it lies.
    private void Fill(in KvShape shape)
    {
        var pattern = Upload<byte>(Pattern());
        var pieces = (PatternElements - (ChunkBytes / ElementBytes)) / 8;
        for (var sequence = 0; sequence < _size.Sequences; sequence++)
        {
            for (var layer = 0; layer < _size.Layers; layer++)
            {
                for (var chunk = 0; chunk < 2 * _size.Blocks; chunk++)
                {
                    var (plane, block) = (chunk % 2, chunk / 2);
                    var piece = ((((((long)sequence * _size.Layers) + layer) * 2) + plane) * 7_919 + (block * 104_729L)) % pieces;
                    _stream.Copy(ChunkAt(shape, sequence, layer, plane, block), pattern + (ulong)(piece * 8 * ElementBytes), ChunkBytes);
                }
            }
        }

        _stream.Synchronize();
    }

    private ulong ChunkAt(in KvShape shape, int sequence, int layer, int plane, int block)
    {
        var inPlane = ((ulong)plane * shape.PlaneStride) + (_places == KvPlaces.ScatteredByLayer ? 0 : (ulong)layer * shape.LayerStride);
        return _places == KvPlaces.Contiguous
            ? _kv + ((ulong)sequence * shape.BlockBytes) + inPlane + (ulong)(block * ChunkBytes)
            : _kv + ((ulong)PlaceOf(sequence, layer, block) * shape.BlockBytes) + inPlane;
    }

    private int PlaceOf(int sequence, int layer, int block) => _order[((_places == KvPlaces.ScatteredByLayer ? (layer * _size.Sequences) + sequence : sequence) * _size.Blocks) + block];

    private byte[] Pattern()
    {
        var random = new Random(1);
        var bytes = new byte[PatternElements * ElementBytes];
        for (var i = 0; i < PatternElements; i++)
        {
            var value = random.NextSingle() - 0.5f;
            var bits = _format switch
            {
                ElementFormat.Float32 => BitConverter.SingleToUInt32Bits(value),
                ElementFormat.Float16 => BitConverter.HalfToUInt16Bits((Half)value),
                _ => BitConverter.SingleToUInt32Bits(value) >> 16,
            };
            MemoryMarshal.AsBytes(new ReadOnlySpan<uint>(in bits))[..ElementBytes].CopyTo(bytes.AsSpan(i * ElementBytes));
        }

        return bytes;
    }

    private AttentionArguments Arguments(in KvShape shape)
    {
        var rows = _size.Sequences * Tables;
        var (views, entries, buffers, queries) = (new SequenceView[rows], new uint[_order.Length], new ulong[_size.Sequences], new float[QueryBytes / sizeof(float)]);
        for (var row = 0; row < rows; row++)
        {
            views[row] = new SequenceView
            {
                RowStart = (uint)(row * _size.Blocks),
                BlockCount = (uint)_size.Blocks,
                TokenCount = (uint)_size.Tokens,
                NewTokens = 1,
                SequenceId = (uint)(row % _size.Sequences),
            };
        }

        for (var i = 0; i < entries.Length; i++)
        {
            entries[i] = (uint)((ulong)_order[i] * _block.BlockBytes / KvShape.GranuleBytes);
        }

        for (var i = 0; i < buffers.Length; i++)
        {
            buffers[i] = _kv + ((ulong)i * shape.BlockBytes);
        }

        var random = new Random(3);
        foreach (ref var element in queries.AsSpan())
        {
            element = random.NextSingle() - 0.5f;
        }

        var parts = AttentionArguments.PartsFor((uint)_size.Tokens);
        return new AttentionArguments
        {
            Kv = new KvBatch
            {
                Views = Upload<SequenceView>(views),
                Entries = Upload<uint>(entries),
                Pool = _kv,
                Buffers = Upload<ulong>(buffers),
                Shape = shape,
                Batch = (uint)_size.Sequences,
                Format = _format,
            },
            Queries = Upload<float>(queries),
            Outputs = Allocate(QueryBytes),
            RowStarts = Upload<uint>([.. Enumerable.Range(0, _size.Sequences).Select(i => (uint)i)]),
            Partials = Allocate((long)AttentionArguments.PartialBytes((uint)_size.Sequences, (uint)QueryHeads, GpuAttentionSize.HeadDim, parts)),
            MaxParts = parts,
            QueryHeads = (uint)QueryHeads,
            Scale = 1 / MathF.Sqrt(GpuAttentionSize.HeadDim),
        };
    }
}
