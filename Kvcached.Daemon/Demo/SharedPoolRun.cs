using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>
/// The evicting run: all models on one pool that is too small for them, in turns. A model whose turn is over gives up every other of its sequences, as
/// one does that will be idle: what stays lies scattered, until another model's need has it compacted.
/// </summary>
internal sealed class SharedPoolRun : IDisposable
{
    /// <summary>Steps of a turn, where there are several models.</summary>
    private const int TurnSteps = 16;

    private readonly KvCache _cache;
    private readonly PoolShrinker _shrinker;
    private readonly (PagedKv Kv, DecodeRun Run, int Steps)[] _models;

    public SharedPoolRun(IDevice device, IReadOnlyList<DemoModel> models, PagedKvOptions options)
    {
        _cache = PagedKv.Open(device, options);
        _shrinker = new PoolShrinker(_cache);
        _models = [.. models.Select(model =>
        {
            var kv = new PagedKv(_cache, model.Shape, model.Schedule, options);
            return (kv, new DecodeRun(device, model.Schedule, model.Transformer, kv, model.Evicting), model.Schedule.Steps.Count);
        })];
    }

    /// <summary>Most bytes of the pool that had memory behind them.</summary>
    public long PoolBytesPeak => _shrinker.PeakBytes;

    /// <summary>Runs all schedules and waits for their end.</summary>
    public void Execute(RunMonitor monitor)
    {
        var most = _models.Max(model => model.Steps);
        var turnSteps = _models.Length == 1 ? most : TurnSteps;
        for (var first = 0; first < most; first += turnSteps)
        {
            foreach (var (kv, run, steps) in _models)
            {
                for (var step = first; step < Math.Min(first + turnSteps, steps); step++)
                {
                    run.Enqueue(step, step + 1, monitor);
                    _shrinker.Look(_cache.GetStatistics());
                }

                if (_models.Length > 1)
                {
                    kv.EvictEveryOther();
                }
            }
        }

        foreach (var (kv, _, _) in _models)
        {
            kv.WaitForEnd();
        }

        monitor.AfterRun(_cache.GetStatistics());
    }

    /// <summary>Shrinks the pool to its floor once all sequences have ended; what the system then still holds for it.</summary>
    public long ShrinkPool() => _shrinker.Finish();

    public void Dispose()
    {
        foreach (var (kv, run, _) in _models)
        {
            run.Dispose();
            kv.Dispose();
        }

        _cache.Dispose();
    }
}
