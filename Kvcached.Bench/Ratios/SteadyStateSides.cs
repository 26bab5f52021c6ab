using Kvcached.Daemon;
using Kvcached.Daemon.Replay;
using Kvcached.Devices.Cpu;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Managed bytes that all threads allocate in 1,000 consecutive steps of a replay on a pool that is too small for it (A), of as many steps (B):
/// the fewest in any such stretch that evicts and reloads, since storage that grows on demand grows in the first of them. Counted.
/// </summary>
internal sealed class SteadyStateSides : RatioSides
{
    private const int Steps = 1_000;
    private const int Requests = 400;
    private const int PromptTokens = 200;
    private const int GeneratedTokens = 60;
    private const int Turns = (Steps + ReplayPlan.TurnSteps - 1) / ReplayPlan.TurnSteps;
    private Stretch _fewest;

    public override bool IsPinned => false;

    public override double RunA()
    {
        var options = new ReplayOptions { Pool = PoolSize.Fixed(4 << 20) };
        var plan = ReplayPlan.Create(options, [.. Enumerable.Repeat(new TraceRequest(0, PromptTokens, GeneratedTokens), Requests)]);
        using var device = new ColdMemoryTap(new CpuDevice());
        using var run = new ReplayRun(device, plan, options);
        var turns = new List<Stretch>(10_000);
        var report = run.Run(_ =>
        {
            var statistics = run.Statistics;
            turns.Add(new Stretch(GC.GetTotalAllocatedBytes(precise: true), statistics.EvictedBlocks, statistics.ReloadedBlocks));
        });
        if (!report.Holds || turns.Count <= Turns)
        {
            throw new InvalidOperationException($"The replay took {turns.Count} turns and {report.MismatchedGranules} granules did not match.");
        }

        _fewest = Fewest(turns, Turns);
        return _fewest.Bytes;
    }

    public override double RunB() => Turns * ReplayPlan.TurnSteps;

    public override string? Missed(double a, double b) => _fewest.IsBusy
        ? null
        : $"{_fewest.Evicted} evictions and {_fewest.Reloaded} reloads; there must be {Stretch.LeastMoved} of each";

    public override IEnumerable<ExtraField> Extra(double a, double b) =>
        [new ExtraField("evicted_per_step", _fewest.Evicted / b), new ExtraField("reloaded_per_step", _fewest.Reloaded / b)];

    /// <summary>The stretch of so many turns that allocates least, given the totals after each turn: of those that evict and reload, if there is one.</summary>
    internal static Stretch Fewest(IReadOnlyList<Stretch> totals, int turns) =>
        Enumerable.Range(0, totals.Count - turns)
            .Select(turn => totals[turn + turns] - totals[turn])
            .OrderByDescending(stretch => stretch.IsBusy)
            .ThenBy(stretch => stretch.Bytes)
            .First();

    /// <summary>Managed bytes that were allocated and blocks that were moved, in all or in a part of a run.</summary>
    internal readonly record struct Stretch(long Bytes, long Evicted, long Reloaded)
    {
        public const int LeastMoved = Steps / 10;

        public bool IsBusy => Evicted >= LeastMoved && Reloaded >= LeastMoved;

        public static Stretch operator -(Stretch end, Stretch start) => new(end.Bytes - start.Bytes, end.Evicted - start.Evicted, end.Reloaded - start.Reloaded);
    }
}
