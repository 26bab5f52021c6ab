using System.Runtime.CompilerServices;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Sequences;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Engine time of a decode step whose sequences are resident: observe, turn, begin, for a token each, a new block every 16 tokens. Beside it
/// a bare pass over as many objects that writes their views. Nanoseconds a sequence.
/// </summary>
internal sealed class StepCostSides : RatioSides
{
    private const int TokensPerBlock = 16;
    private const long PoolBlocks = 1_000_000;
    private const int HeldPerMille = 950;
    private const int Depth = 2;
    private readonly int _steps;
    private readonly PaperDevice _device = new();
    private readonly CacheEngine _engine;
    private readonly ClientState _client;
    private readonly LaneState _lane;
    private readonly StepRequest[] _batch;
    private readonly int[] _baseTokens;
    private readonly BareSequence[] _bare;
    private readonly SequenceView[] _bareViews;

    public StepCostSides(int sequences)
    {
        // Whole blocks of steps: each sequence gets as many new blocks in a run.
        _steps = TokensPerBlock * Math.Max(1, 2048 / sequences);
        _engine = PaperEngine.Create(_device, PoolBlocks, coldBlocks: 0, sequences);
        _client = _engine.OpenClient();
        var shape = PaperEngine.Layout.ToShape();
        var model = _engine.RegisterModel(_client, [shape], [0]);
        _lane = PaperEngine.OpenLane(_engine, _client, Depth, sequences);
        _batch = new StepRequest[sequences];
        _baseTokens = new int[sequences];
        var blocks = (int)(PoolBlocks * HeldPerMille / 1000 / sequences);
        for (var i = 0; i < sequences; i++)
        {
            // One sixteenth of them begins a block in each step.
            _baseTokens[i] = (blocks * TokensPerBlock) + (i % TokensPerBlock);
            _batch[i] = new StepRequest(_engine.Sequences.Create(_client, model), _baseTokens[i]);
        }

        Step();
        _bare = [.. _baseTokens.Select(tokens => new BareSequence { Tokens = tokens })];
        _bareViews = new SequenceView[sequences];
    }

    public override double RunA()
    {
        for (var i = 0; i < _batch.Length; i++)
        {
            _engine.Sequences.Truncate(_client, _batch[i].Sequence, _baseTokens[i]);
            _batch[i] = _batch[i] with { NewTokens = 1 };
        }

        // After a truncate a step writes fresh rows, and leaves the caches full of them: those that are measured come later.
        for (var step = 0; step < TokensPerBlock; step++)
        {
            Step();
        }

        var start = ThreadPin.Nanoseconds();
        for (var step = 0; step < _steps; step++)
        {
            Step();
        }

        return (double)(ThreadPin.Nanoseconds() - start) / _steps / _batch.Length;
    }

    public override double RunB()
    {
        for (var i = 0; i < _bare.Length; i++)
        {
            _bare[i].Tokens = _baseTokens[i];
        }

        var start = ThreadPin.Nanoseconds();
        for (var step = 0; step < _steps; step++)
        {
            BareStep((ulong)step);
        }

        return (double)(ThreadPin.Nanoseconds() - start) / _steps / _bare.Length;
    }

    private void Step()
    {
        // Depth steps are under way at a time: the one before has ended, and what it submitted has been done.
        _engine.Observe(_lane.EndOf(1).Timeline, _lane.Begun);
        _device.ObserveAll(_engine, lanes: 1);
        _engine.Turn();
        var status = _engine.Begin(_lane, _batch);
        if (status != KvStepStatus.Accepted)
        {
            throw new InvalidOperationException($"A resident step of {_batch.Length} sequences is {status}.");
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void BareStep(ulong step)
    {
        for (var i = 0; i < _bare.Length; i++)
        {
            var sequence = _bare[i];
            sequence.LastStep = step;
            var tokens = ++sequence.Tokens;
            _bareViews[i] = new SequenceView { BlockCount = (uint)(tokens + TokensPerBlock - 1) / TokensPerBlock, TokenCount = (uint)tokens, NewTokens = 1 };
        }
    }

    private sealed class BareSequence
    {
        public int Tokens;
        public ulong LastStep;
    }
}
