using System.Diagnostics;
using Kvcached.Devices;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Sequences of one block each, of which every other is freed: all segments are half empty, and compaction moves a quarter of the blocks. A lane of
/// its own; no kernel writes the blocks, so that nothing but moves touches memory. One thread at a time.
/// </summary>
internal sealed class ScatteredBlocks : IDisposable
{
    public const int BlockBytes = 128 << 10;
    private const int TokensPerBlock = 16;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly KvCache _cache;
    private readonly KvModel _model;
    private readonly KvLane _lane;
    private readonly DeviceQueue _queue;
    private readonly CommandList _commands = new();
    private readonly KvSequence[] _sequences;
    private readonly KvStepItem[] _batch;
    private bool _isLaid;
    private bool _isScattered;
    private long _goal;

    public ScatteredBlocks(IDevice device, KvCache cache, int blocks)
    {
        _cache = cache;
        _model = cache.RegisterModel("scattered", Layout);
        _lane = cache.OpenLane(new KvLaneOptions { MaxBatch = blocks, MaxLayouts = 1 });
        _queue = device.CreateQueue("scattered");
        _sequences = new KvSequence[blocks];
        _batch = new KvStepItem[blocks];
    }

    public static KvLayout Layout { get; } = new() { Layers = 2, Heads = 8, HeadDim = 128, TokensPerBlock = TokensPerBlock };

    /// <summary>Bytes that compaction must move.</summary>
    public long BytesToMove => _sequences.Length / 4 * (long)BlockBytes;

    /// <summary>The sequences that are not freed.</summary>
    public IEnumerable<KvSequence> Kept => _sequences.Where((_, i) => IsKept(i));

    public KvLane Lane => _lane;

    /// <summary>Lays the blocks out anew, side by side.</summary>
    public void Lay()
    {
        for (var i = 0; i < _sequences.Length; i++)
        {
            if (_isScattered ? IsKept(i) : _isLaid)
            {
                _sequences[i].Free();
            }

            _sequences[i] = _model.CreateSequence();
            _batch[i] = new KvStepItem(_sequences[i], TokensPerBlock);
        }

        var step = _lane.Begin(_batch);
        _queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], _commands, step.End);
        if (!_cache.Wait(step.End, _limit) || _lane.StatusOf(step.Number) != KvStepStatus.Accepted)
        {
            throw new InvalidOperationException($"A step over {_sequences.Length} blocks is {_lane.StatusOf(step.Number)}.");
        }

        (_isLaid, _isScattered) = (true, false);
    }

    /// <summary>Frees every other. Compaction may begin by itself from here on.</summary>
    public void Scatter()
    {
        _goal = _cache.GetStatistics().BytesMoved + BytesToMove;
        for (var i = 0; i < _sequences.Length; i++)
        {
            if (!IsKept(i))
            {
                _sequences[i].Free();
            }
        }

        _isScattered = true;
    }

    /// <summary>Has the blocks compacted, and returns once all copies are on their way.</summary>
    /// <param name="rest">What to do between two turns of the engine.</param>
    public void Compact(Action rest)
    {
        var start = Stopwatch.GetTimestamp();
        for (_cache.Compact(); _cache.GetStatistics().BytesMoved < _goal; _cache.Pump())
        {
            rest();
            if (Stopwatch.GetElapsedTime(start) > _limit)
            {
                throw new InvalidOperationException($"{_goal - _cache.GetStatistics().BytesMoved} of {BytesToMove} bytes have not been moved after {_limit}.");
            }
        }
    }

    public void Dispose() => _queue.Dispose();

    private static bool IsKept(int i) => i % 2 == 0;
}
