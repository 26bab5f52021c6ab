using Kvcached.Daemon;
using Kvcached.Daemon.Replay;
using Kvcached.Devices.Cpu;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Managed bytes that all threads allocate in 1,000 consecutive steps of a replay on a pool that is too small for it (A), of as many steps (B):
/// the fewest in any such stretch, since storage that grows on demand grows in the first of them. Counted.
/// </summary>
internal sealed class SteadyStateSides : RatioSides
{
    private const int Steps = 1_000;
    private const int Requests = 400;
    private const int PromptTokens = 200;
    private const int GeneratedTokens = 60;
    private const int Turns = (Steps + ReplayPlan.TurnSteps - 1) / ReplayPlan.TurnSteps;
    private double _evictedPerStep;
    private double _reloadedPerStep;

    public override bool IsPinned => false;

    public override double RunA()
    {
        var options = new ReplayOptions { PoolBytes = 4 << 20 };
        var plan = ReplayPlan.Create(options, [.. Enumerable.Repeat(new TraceRequest(0, PromptTokens, GeneratedTokens), Requests)]);
        using var device = new ColdMemoryTap(new CpuDevice());
        using var run = new ReplayRun(device, plan, options);
        var allocated = new List<long>(10_000);
        var report = run.Run(_ => allocated.Add(GC.GetTotalAllocatedBytes(precise: true)));
        if (!report.Holds || allocated.Count <= Turns)
        {
            throw new InvalidOperationException($"The replay took {allocated.Count} turns and {report.MismatchedGranules} granules did not match.");
        }

        _evictedPerStep = (double)report.EvictedBlocks / report.Steps;
        _reloadedPerStep = (double)report.ReloadedBlocks / report.Steps;
        return Enumerable.Range(0, allocated.Count - Turns).Min(turn => allocated[turn + Turns] - allocated[turn]);
    }

    public override double RunB() => Turns * ReplayPlan.TurnSteps;

    public override string? Missed(double a, double b) => _evictedPerStep * Steps < Steps / 10 || _reloadedPerStep * Steps < Steps / 10
        ? $"{_evictedPerStep:F3} evictions and {_reloadedPerStep:F3} reloads a step; there must be 0.1 of each"
        : null;

    public override IEnumerable<ExtraField> Extra(double a, double b) =>
        [new ExtraField("evicted_per_step", _evictedPerStep), new ExtraField("reloaded_per_step", _reloadedPerStep)];
}
