using Kvcached.Devices;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// A client that writes sequences anew, evicts and reloads them over and over on a lane of its own, from a thread of its own, while it is not
/// paused. Pausing returns once nothing is under way.
/// </summary>
internal sealed class Churn : IDisposable
{
    public const int Blocks = Sequences * BlocksEach;
    public const long Bytes = (long)Blocks * EvictReloadSides.BlockBytes;
    private const int Sequences = 32;
    private const int BlocksEach = 8;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly KvCache _cache;
    private readonly DeviceQueue _queue;
    private readonly CommandList _commands = new();
    private readonly KvSequence[] _sequences;
    private readonly PausableLoop _loop;

    public Churn(IDevice device, KvCache cache, KvModel model)
    {
        _cache = cache;
        Lane = cache.OpenLane();
        _queue = device.CreateQueue("churn");
        _sequences = [.. Enumerable.Range(0, Sequences).Select(_ => model.CreateSequence())];
        Cycle();
        _loop = new PausableLoop(Cycle);
    }

    public KvLane Lane { get; }

    public void Resume() => _loop.Resume();

    public void Pause() => _loop.Pause();

    public void Dispose()
    {
        _loop.Dispose();
        _queue.Dispose();
    }

    private void Cycle()
    {
        Step(BlocksEach * EvictReloadSides.TokensPerBlock);
        foreach (var sequence in _sequences)
        {
            sequence.Evict(Lane);
        }

        foreach (var sequence in _sequences)
        {
            sequence.Prefetch(Lane);
        }

        var last = Step(newTokens: 0);
        if (!_cache.Wait(last.End, _limit))
        {
            throw new InvalidOperationException($"A churning step is {Lane.StatusOf(last.Number)} after {_limit}.");
        }
    }

    private KvStep Step(int newTokens)
    {
        var batch = new KvStepItem[Sequences];
        for (var i = 0; i < Sequences; i++)
        {
            if (newTokens > 0)
            {
                // New content, of which there is no cold copy.
                _sequences[i].Truncate(0);
            }

            batch[i] = new KvStepItem(_sequences[i], newTokens);
        }

        var step = Lane.Begin(batch);
        _queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], _commands, step.End);
        return step;
    }
}
