using System.Runtime.InteropServices;
using Kvcached.Bench.Ratios;
using Kvcached.Devices;
using Kvcached.Kernels;

namespace Kvcached.Bench.GpuCheck;

/// <summary>
/// A decode step captured once as a CUDA graph - keys and values written, attention, merge - and replayed for step after step while the blocks that it reads are moved. A step's views
/// lie where its number modulo the lane's depth says, so there is a graph for each place. Every replay must give the bits of the first, and bytes must have moved meanwhile.
/// </summary>
internal sealed class GraphReplay : IDisposable
{
    private const string Name = "graph_replay";
    private const int Depth = 2;
    private const int Sequences = 4;
    private const int Tokens = 1000;
    private const int Replays = 200;
    private const int QueryHeads = 32;
    private const int MovesAtOnce = 16;
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(20);
    private readonly KvCache _cache;
    private readonly KvModel _model;
    private readonly KvLane _lane;
    private readonly KvSequence[] _sequences;
    private readonly ILaunchStream _stream;
    private readonly DeviceMemory _outputs;
    private readonly DeviceMemory _inputs;
    private readonly DeviceMemory _rowStarts;
    private readonly DeviceMemory _partials;
    private readonly DeviceMemory _host;

    private GraphReplay(IDevice device, ILaunchStream stream)
    {
        _stream = stream;
        _cache = KvCache.OpenEmbedded(new BorrowedDevice(device), new KvCacheOptions { PoolBytes = 64 << 20, ColdBytes = 0 });
        _model = _cache.RegisterModel("graph", new KvLayout { Layers = 2, Heads = 8, HeadDim = 128 });
        _lane = _cache.OpenLane(new KvLaneOptions { Depth = Depth, MaxBatch = Sequences, MaxLayouts = 1 });
        _sequences = [.. Enumerable.Range(0, Sequences).Select(_ => _model.CreateSequence())];
        _outputs = device.Allocate(RowBytes * Sequences, MemoryKind.Device, "outputs");
        _inputs = device.Allocate(RowBytes * Sequences * Tokens, MemoryKind.Device, "inputs");
        _rowStarts = device.Allocate(2 * Sequences * sizeof(uint), MemoryKind.Device, "row starts");
        _partials = device.Allocate((long)AttentionArguments.PartialBytes(Sequences, QueryHeads, 128, Parts), MemoryKind.Device, "partials");
        _host = device.Allocate(Math.Max(_inputs.Bytes, _outputs.Bytes), MemoryKind.Host, "host");
    }

    private static uint Parts => AttentionArguments.PartsFor(Tokens + 1);

    private static long RowBytes => QueryHeads * 128 * sizeof(float);

    public static GpuFinding Run(GpuRig rig)
    {
        using var stream = new GpuStream(rig);
        return Run(rig.Device, stream, enqueue =>
        {
            var graph = stream.Capture(enqueue);
            return () => stream.Launch(graph);
        });
    }

    /// <summary>The same wherever kernels run.</summary>
    /// <param name="device">Where the cache is.</param>
    /// <param name="stream">Of that device.</param>
    /// <param name="capture">Makes of what enqueues a step what enqueues it again.</param>
    public static GpuFinding Run(IDevice device, ILaunchStream stream, Func<Action, Action> capture)
    {
        using var replay = new GraphReplay(device, stream);
        return replay.Run(capture);
    }

    public void Dispose()
    {
        _cache.Dispose();
        foreach (var memory in (DeviceMemory[])[_outputs, _inputs, _rowStarts, _partials, _host])
        {
            memory.Dispose();
        }
    }

    private GpuFinding Run(Func<Action, Action> capture)
    {
        FillInputs();
        var prompt = Begin(Tokens);
        for (var layer = 0u; layer < _model.Shape().Layers; layer++)
        {
            _stream.Launch(KernelNames.WritePaged, WriteArguments(prompt, layer, promptRows: true));
        }

        End(prompt);
        var graphs = new Action?[Depth];
        byte[]? first = null;
        var (different, before) = (0, _cache.GetStatistics().BytesMoved);
        for (var replay = 0; replay < Replays; replay++)
        {
            Array.ForEach(_sequences, sequence => sequence.Truncate(Tokens));
            var step = Begin(1);
            (graphs[step.Number % Depth] ??= capture(() => Enqueue(step)))();

            // Copied while the graph runs: the step's views and entries stay as they are, the next step's name the new places. The first blocks: the last one is being written.
            _sequences[replay % Sequences].Move(_lane, MovesAtOnce);
            End(step);
            var result = Read();
            first ??= result;
            different += result.AsSpan().SequenceEqual(first) ? 0 : 1;
        }

        var moved = _cache.GetStatistics().BytesMoved - before;
        var isSomething = first.AsSpan().ContainsAnyExcept((byte)0);
        return GpuFinding.Answer(
            Name,
            isSo: different == 0 && moved > 0 && isSomething,
            different > 0 ? $"{different} of {Replays} replays gave other bits than the first."
                : !isSomething ? "The graph computes nothing."
                : $"{Replays} replays of a captured step gave the same bits while {moved >> 20} MiB of blocks moved.",
            new ExtraField("replays", Replays),
            new ExtraField("moved_mib", moved >> 20));
    }

    private KvStep Begin(int newTokens)
    {
        var step = _lane.Begin([.. _sequences.Select(sequence => new KvStepItem(sequence, newTokens))]);
        return _cache.Wait(step.Begin, _limit) && _lane.StatusOf(step.Number) == KvStepStatus.Accepted
            ? step
            : throw new InvalidOperationException($"A step is {_lane.StatusOf(step.Number)} after {_limit}.");
    }

    private void End(KvStep step)
    {
        _stream.Synchronize();
        step.End.Timeline.Signal(step.End.Value);
        _cache.Pump();
    }

    private void Enqueue(KvStep step)
    {
        for (var layer = 0u; layer < _model.Shape().Layers; layer++)
        {
            _stream.Launch(KernelNames.WritePaged, WriteArguments(step, layer, promptRows: false));
            var arguments = new AttentionArguments
            {
                Kv = Batch(step, layer),
                Queries = _inputs.Address,
                Outputs = _outputs.Address,
                RowStarts = _rowStarts.Address,
                Partials = _partials.Address,
                MaxParts = Parts,
                QueryHeads = QueryHeads,
                Scale = 1 / MathF.Sqrt(128),
            };
            _stream.Launch(KernelNames.DecodePaged, arguments);
            _stream.Launch(KernelNames.Merge, arguments);
        }
    }

    private KvWriteArguments WriteArguments(KvStep step, uint layer, bool promptRows) => new()
    {
        Kv = Batch(step, layer),
        Keys = _inputs.Address,
        Values = _inputs.Address + 1024,
        RowStarts = _rowStarts.Address + (promptRows ? Sequences * sizeof(uint) : 0u),
    };

    private KvBatch Batch(KvStep step, uint layer) => new()
    {
        Views = step.ViewsAddress(),
        Entries = _cache.EntriesAddress,
        Pool = _cache.PoolAddress,
        Shape = _model.Shape(),
        Batch = Sequences,
        Layer = layer,
        Format = ElementFormat.Float16,
    };

    // Row starts: of a step with a token for each sequence, then of the prompt.
    private void FillInputs()
    {
        var random = new Random(4);
        foreach (ref var element in MemoryMarshal.Cast<byte, float>(_host.HostSpan(0, (int)_inputs.Bytes)))
        {
            element = random.NextSingle() - 0.5f;
        }

        _stream.Copy(_inputs.Address, _host.Address, _inputs.Bytes);
        _stream.Synchronize();
        var rows = MemoryMarshal.Cast<byte, uint>(_host.HostSpan(0, (int)_rowStarts.Bytes));
        for (var i = 0; i < Sequences; i++)
        {
            rows[i] = (uint)i;
            rows[Sequences + i] = (uint)(i * Tokens);
        }

        _stream.Copy(_rowStarts.Address, _host.Address, _rowStarts.Bytes);
        _stream.Synchronize();
    }

    private byte[] Read()
    {
        _stream.Copy(_host.Address, _outputs.Address, _outputs.Bytes);
        _stream.Synchronize();
        return _host.HostSpan(0, (int)_outputs.Bytes).ToArray();
    }
}
