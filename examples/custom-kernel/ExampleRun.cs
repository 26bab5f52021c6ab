using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Kernels;

namespace Kvcached.Examples;

/// <summary>
/// Takes steps of one sequence each: writes keys and values of new tokens with the built-in kernel, runs <see cref="KeyNorms"/> over all tokens of the sequence, and compares.
/// Waits for each step, which a real client would not.
/// </summary>
internal sealed class ExampleRun : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly KvCache _cache;
    private readonly KvModel _model;
    private readonly KvLane _lane;
    private readonly NativeKeyNorms? _native;
    private readonly int _tokensPerStep;
    private readonly int _maxTokens;
    private readonly DeviceQueue _queue;
    private readonly DeviceTimeline _written;
    private readonly CommandList _commands = new();
    private readonly DeviceMemory _hostRows;
    private readonly DeviceMemory _rows;
    private readonly DeviceMemory _rowStarts;
    private readonly DeviceMemory _norms;
    private readonly DeviceMemory _hostNorms;

    public ExampleRun(KvCache cache, KvModel model, KvLane lane, NativeKeyNorms? native, int tokensPerStep, int maxTokens)
    {
        (_cache, _model, _lane, _native, _tokensPerStep, _maxTokens) = (cache, model, lane, native, tokensPerStep, maxTokens);
        var device = cache.Device;
        _queue = device.CreateQueue("model");
        _written = device.CreateTimeline("written");
        _hostRows = device.Allocate(LayerBytes * model.Shape().Layers, MemoryKind.Host, "new keys and values");
        _rows = device.Allocate(_hostRows.Bytes, MemoryKind.Device, "new keys and values");
        _rowStarts = device.Allocate(sizeof(uint), MemoryKind.Device, "row starts");
        _norms = device.Allocate(maxTokens * sizeof(float), MemoryKind.Device, "norms");
        _hostNorms = device.Allocate(_norms.Bytes, MemoryKind.Host, "norms");
    }

    /// <summary>Norms that were compared.</summary>
    public long Compared { get; private set; }

    /// <summary>Bytes of the keys of a step's tokens, or of their values, for one layer: float32 [tokens][heads][dims].</summary>
    private long PlaneBytes => (long)_tokensPerStep * TokenElements * sizeof(float);

    private long LayerBytes => 2 * PlaneBytes;

    private int TokenElements => (int)(_model.Shape().Heads * _model.Shape().HeadDim);

    /// <summary>Appends tokens and compares the norms of all. Returns what was wrong, or null.</summary>
    public string? Step(KvSequence sequence, int layer)
    {
        var held = sequence.TokenCount;
        FillRows(sequence.Id, held);
        var step = _lane.Begin([new KvStepItem(sequence, _tokensPerStep)]);
        AddWrites(step);
        var arguments = new KeyNormsArguments
        {
            Pool = _cache.PoolAddress,
            Entries = _cache.EntriesAddress,
            Views = step.ViewsAddress(),
            Norms = _norms.Address,
            Shape = _model.Shape(),
            Batch = 1,
            Layer = (uint)layer,
            MaxTokens = (uint)_maxTokens,
        };
        var begin = new WaitPoint(step.Begin.Timeline, step.Begin.Value);
        if (_native is null)
        {
            // The device keeps the order: begin point, writes, the kernel, end point. The host waits for nothing.
            _commands.Launch(_cache.Device.LoadKernel(KeyNorms.Name), arguments);
            _commands.Copy(_hostNorms, 0, _norms, 0, _norms.Bytes);
            _queue.Submit([begin], _commands, step.End);
        }
        else if (SubmitAround(step, begin, arguments) is { } wrong)
        {
            return wrong;
        }

        if (!_cache.Wait(step.End, Patience))
        {
            return $"Step {step.Number} did not end.";
        }

        return _lane.StatusOf(step.Number) == KvStepStatus.Accepted ? Compare(sequence.Id, held + _tokensPerStep, layer) : $"Step {step.Number} is {_lane.StatusOf(step.Number)}.";
    }

    public void Dispose()
    {
        _queue.Dispose();
        _written.Dispose();
        foreach (var memory in new[] { _hostRows, _rows, _rowStarts, _norms, _hostNorms })
        {
            memory.Dispose();
        }
    }

    /// <summary>
    /// By native handle. A submission reaches the command queue only once its points are reached, so the host waits for one behind the begin point; what is
    /// submitted after the launch comes behind it there, the end point's signal too.
    /// </summary>
    private string? SubmitAround(KvStep step, WaitPoint begin, in KeyNormsArguments arguments)
    {
        var written = new TimelinePoint(_written, _written.Value + 1);
        _queue.Submit([begin], _commands, written);
        if (!_cache.Wait(written, Patience))
        {
            return $"Step {step.Number} did not begin.";
        }

        _native!.Launch(_queue, arguments);
        _commands.Clear();
        _commands.Copy(_hostNorms, 0, _norms, 0, _norms.Bytes);
        _queue.Submit([], _commands, step.End);
        return null;
    }

    private void AddWrites(KvStep step)
    {
        _commands.Clear();
        _commands.Copy(_rows, 0, _hostRows, 0, _rows.Bytes);
        _commands.Fill(_norms, 0, _norms.Bytes, 0xFF);
        for (var layer = 0u; layer < _model.Shape().Layers; layer++)
        {
            var keys = _rows.Address + (layer * (ulong)LayerBytes);
            _commands.Launch(_cache.Device.LoadKernel(KernelNames.WritePaged), new KvWriteArguments
            {
                Kv = new KvBatch
                {
                    Views = step.ViewsAddress(),
                    Entries = _cache.EntriesAddress,
                    Pool = _cache.PoolAddress,
                    Shape = _model.Shape(),
                    Batch = 1,
                    Layer = layer,
                    Format = ElementFormat.Float32,
                },
                Keys = keys,
                Values = keys + (ulong)PlaneBytes,
                RowStarts = _rowStarts.Address,
            });
        }
    }

    private string? Compare(uint sequence, int tokens, int layer)
    {
        var found = MemoryMarshal.Cast<byte, float>(_hostNorms.HostSpan(0, (int)_hostNorms.Bytes));
        for (var token = 0; token < tokens; token++)
        {
            var expected = 0f;
            for (var i = 0; i < TokenElements; i++)
            {
                var key = Element(sequence, token, layer, plane: 0, i);
                expected += key * key;
            }

            if (found[token] != expected)
            {
                return $"Sequence {sequence}, token {token}, layer {layer}: the norm is {found[token]}, and {expected} was written.";
            }
        }

        Compared += tokens;
        return null;
    }

    private void FillRows(uint sequence, int firstToken)
    {
        var rows = MemoryMarshal.Cast<byte, float>(_hostRows.HostSpan(0, (int)_hostRows.Bytes));
        for (var i = 0; i < rows.Length; i++)
        {
            var (element, row) = (i % TokenElements, i / TokenElements);
            var (token, part) = (row % _tokensPerStep, row / _tokensPerStep);
            rows[i] = Element(sequence, firstToken + token, layer: part / 2, plane: part % 2, element);
        }
    }

    /// <summary>What is written: small whole numbers, whose sums of squares are exact in any order.</summary>
    private static float Element(uint sequence, int token, int layer, int plane, int index)
    {
        var hash = ((((((sequence * 4096) + (uint)token) * 4) + (uint)layer) * 2) + (uint)plane) * 1024u + (uint)index;
        hash = (hash ^ (hash >> 15)) * 0x2C1B3C6D;
        hash = (hash ^ (hash >> 12)) * 0x297A2D39;
        return (float)((hash >> 16) % 17) - 8;
    }
}
