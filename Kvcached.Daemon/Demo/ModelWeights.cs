using System.Runtime.InteropServices;
using Kvcached.Daemon.Demo.Kernels;
using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>Device addresses of one layer's weights; matrices are packed for <see cref="MatMul"/>.</summary>
internal readonly record struct LayerWeights(
    ulong AttentionGain,
    ulong Query,
    ulong Key,
    ulong Value,
    ulong AttentionOutput,
    ulong FeedForwardGain,
    ulong GateUp,
    ulong Down);

/// <summary>
/// The model's weights in one range of device memory: uniform numbers from a seed, scaled by each matrix's depth so that activations
/// keep their size through the layers. Shared by all runs; owned by who made it.
/// </summary>
internal sealed class ModelWeights : IDisposable
{
    /// <summary>Scale of the logits: wide enough that the greedy token changes from position to position.</summary>
    private const float HeadScale = 4;

    private readonly DeviceMemory _memory;

    public ModelWeights(IDevice device, ModelShape shape, int seed)
    {
        var floats = shape.Parameters + ((long)shape.MaxContext * shape.HeadDim);
        Layers = new LayerWeights[shape.Layers];
        var offsets = new TensorWriter(staging: null, seed);
        Write(offsets, shape);
        _memory = DeviceUpload.Create(device, "weights", offsets.Bytes, staging => Write(new TensorWriter(staging, seed), shape));
        if (offsets.Bytes < floats * sizeof(float))
        {
            throw new InvalidOperationException($"{offsets.Bytes} bytes of weights were written; the shape has {floats} numbers.");
        }

        Rebase(_memory.Address);
    }

    public ulong Embedding { get; private set; }

    public LayerWeights[] Layers { get; }

    public ulong FinalGain { get; private set; }

    public ulong Head { get; private set; }

    /// <summary>Cosines and sines for <see cref="Rope"/>.</summary>
    public ulong RopeTable { get; private set; }

    public void Dispose() => _memory.Dispose();

    /// <summary>Lays the tensors out, and fills them where the writer has memory: run twice, so that both agree.</summary>
    private void Write(TensorWriter writer, ModelShape shape)
    {
        Embedding = writer.Rows(shape.Vocabulary, shape.Hidden, scale: 1);
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            Layers[layer] = new LayerWeights(
                writer.Gain(shape.Hidden),
                writer.Matrix(shape.Hidden, shape.QueryColumns),
                writer.Matrix(shape.Hidden, shape.KvColumns),
                writer.Matrix(shape.Hidden, shape.KvColumns),
                writer.Matrix(shape.QueryColumns, shape.Hidden),
                writer.Gain(shape.Hidden),
                writer.Matrix(shape.Hidden, 2 * shape.FeedForward),
                writer.Matrix(shape.FeedForward, shape.Hidden));
        }

        FinalGain = writer.Gain(shape.Hidden);
        Head = writer.Matrix(shape.Hidden, shape.Vocabulary, HeadScale);
        RopeTable = writer.Rope(shape.MaxContext, shape.HeadDim);
    }

    private void Rebase(ulong address)
    {
        Embedding += address;
        FinalGain += address;
        Head += address;
        RopeTable += address;
        for (var layer = 0; layer < Layers.Length; layer++)
        {
            var offsets = Layers[layer];
            Layers[layer] = new LayerWeights(
                offsets.AttentionGain + address,
                offsets.Query + address,
                offsets.Key + address,
                offsets.Value + address,
                offsets.AttentionOutput + address,
                offsets.FeedForwardGain + address,
                offsets.GateUp + address,
                offsets.Down + address);
        }
    }

    /// <summary>Places tensors one after another at 64-byte offsets; fills them if there is memory, from a generator of their own.</summary>
    private sealed class TensorWriter(DeviceMemory? staging, int seed)
    {
        private const int Alignment = 64;

        private float[] _rowMajor = [];
        private ulong _state = (ulong)(uint)seed * 0x9E37_79B9_7F4A_7C15ul;

        public long Bytes { get; private set; }

        public ulong Rows(int rows, int columns, float scale)
        {
            var offset = Place((long)rows * columns, out var target);
            Uniform(target, center: 0, scale);
            return offset;
        }

        public ulong Gain(int columns)
        {
            var offset = Place(columns, out var target);
            Uniform(target, center: 1, scale: 0.1f);
            return offset;
        }

        public ulong Matrix(int depth, int columns, float scale = 1)
        {
            var offset = Place((long)depth * columns, out var target);
            if (!target.IsEmpty)
            {
                Array.Resize(ref _rowMajor, Math.Max(_rowMajor.Length, target.Length));
                var rowMajor = _rowMajor.AsSpan(0, target.Length);
                Uniform(rowMajor, center: 0, scale / MathF.Sqrt(depth));
                MatMul.Pack(rowMajor, depth, columns, target);
            }

            return offset;
        }

        public ulong Rope(int positions, int headDim)
        {
            var offset = Place((long)positions * headDim, out var target);
            if (!target.IsEmpty)
            {
                Kernels.Rope.FillTable(target, positions, headDim);
            }

            return offset;
        }

        private ulong Place(long floats, out Span<float> target)
        {
            var offset = Bytes;
            var bytes = floats * sizeof(float);
            target = staging is null ? [] : MemoryMarshal.Cast<byte, float>(staging.HostSpan(offset, checked((int)bytes)));
            Bytes = (offset + bytes + Alignment - 1) / Alignment * Alignment;
            return (ulong)offset;
        }

        /// <summary>Uniform numbers of standard deviation <paramref name="scale"/> around <paramref name="center"/> (splitmix64).</summary>
        private void Uniform(Span<float> target, float center, float scale)
        {
            var width = scale * MathF.Sqrt(3) * 2;
            for (var i = 0; i < target.Length; i++)
            {
                var z = _state += 0x9E37_79B9_7F4A_7C15ul;
                z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9ul;
                z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EBul;
                z ^= z >> 31;
                target[i] = center + (((z >> 40) * (1.0f / (1 << 24))) - 0.5f) * width;
            }
        }
    }
}
