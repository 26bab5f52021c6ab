using System.Diagnostics;
using System.Runtime.InteropServices;
using Kvcached.Devices.Cpu;
using Kvcached.Kernels;

namespace Kvcached.Bench.Fuzz;

/// <summary>
/// An honest client inside the fuzzer's process: it looks, step by step, that its views cover no bytes that views of another client cover, and that its blocks hold what
/// it has written there. One thread.
/// </summary>
internal sealed unsafe class Witness : IDisposable
{
    public const string Tenant = "witness";

    private const int Sequences = 24;
    private const int MostTokens = 400;
    private const int Batch = 4;

    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(60);

    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 1 });
    private readonly KvCache _cache;
    private readonly LiveCoverage _coverage;
    private readonly KvModel _model;
    private readonly KvLane _lane;
    private readonly Random _random;
    private readonly WitnessSequence?[] _sequences = new WitnessSequence?[Sequences];
    private readonly KvStepItem[] _batch = new KvStepItem[Batch];
    private readonly List<uint> _entered = [];
    private readonly int _number;

    public Witness(string socket, LiveCoverage coverage, int seed)
    {
        (_coverage, _random) = (coverage, new Random(seed));
        _cache = KvCache.ConnectAsync(_device, socket, new KvConnectOptions { Tenant = Tenant, Name = Tenant }).GetAwaiter().GetResult();
        _number = ((RemoteCache)_cache).Link.Welcome.Client;
        _model = _cache.RegisterModel("witness", new KvLayout { Planes = 1, Layers = 1, Heads = 2, HeadDim = KvShape.GranuleBytes, ElementType = KvElementType.Byte, TokensPerBlock = 16 });
        _lane = _cache.OpenLane(new KvLaneOptions { Depth = 2, MaxBatch = Batch });
    }

    public long Steps { get; private set; }

    public long Refused { get; private set; }

    /// <summary>Blocks that held what was written.</summary>
    public long Verified { get; private set; }

    public long Mismatched { get; private set; }

    /// <summary>One step: begun, looked at, written, ended.</summary>
    public void Step()
    {
        var first = _random.Next(Sequences);
        var count = _random.Next(1, Batch + 1);
        for (var i = 0; i < count; i++)
        {
            ref var sequence = ref _sequences[(first + i) % Sequences];
            if (sequence is { Tokens: > MostTokens })
            {
                sequence.Sequence.Free();
                sequence = null;
            }

            sequence ??= new WitnessSequence(_model.CreateSequence());
            _batch[i] = new KvStepItem(sequence.Sequence, _random.Next(1, 60));
        }

        KvStep step;
        while ((step = _lane.Begin(_batch.AsSpan(0, count))).Status == KvStepStatus.TooManySteps)
        {
            _cache.Pump();
        }

        if (!_cache.Wait(step.Begin, _limit))
        {
            throw new TimeoutException($"Step {step.Number} of the witness has not begun within {_limit.TotalSeconds} s: {_lane.StatusOf(step.Number)}.");
        }

        var views = new ReadOnlySpan<SequenceView>((void*)step.ViewsAddress(), count);
        for (var i = 0; i < count; i++)
        {
            Look((first + i) % Sequences, in views[i], _batch[i].NewTokens);
        }

        _entered.ForEach(granule => _coverage.Leave(granule, BlockBytes));
        _entered.Clear();
        step.End.Timeline.Signal(step.End.Value);
        Steps++;
    }

    public void Dispose()
    {
        _cache.Dispose();
        _device.Dispose();
    }

    private long BlockBytes => (long)_model.Shape().BlockBytes;

    private void Look(int slot, in SequenceView view, int newTokens)
    {
        var sequence = _sequences[slot]!;
        if ((view.Flags & ViewFlags.Refused) != 0)
        {
            Refused++;
            sequence.Sequence.Free();
            _sequences[slot] = null;
            return;
        }

        var before = sequence.Tokens;
        sequence.Tokens += newTokens;
        for (var block = 0u; block < view.BlockCount; block++)
        {
            var granule = Volatile.Read(ref ((uint*)_cache.EntriesAddress)[view.RowStart + block]);
            if (!_coverage.Enter(_number, granule, BlockBytes))
            {
                continue;
            }

            _entered.Add(granule);
            var words = new Span<ulong>((void*)(_cache.PoolAddress + ((ulong)granule * KvShape.GranuleBytes)), (int)(BlockBytes / sizeof(ulong)));
            var stamp = ((ulong)sequence.Sequence.Id << 32) | block | 0x8000_0000;

            // Blocks that had tokens before this step were written whole by the first step that had any.
            if (block * 16 >= before)
            {
                words.Fill(stamp);
            }
            else if (words.IndexOfAnyExcept(stamp) >= 0)
            {
                Mismatched++;
            }
            else
            {
                Verified++;
            }
        }
    }

    private sealed class WitnessSequence(KvSequence sequence)
    {
        public readonly KvSequence Sequence = sequence;
        public int Tokens;
    }
}
