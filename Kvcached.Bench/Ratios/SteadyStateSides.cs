using Kvcached.Daemon;
using Kvcached.Daemon.Replay;
using Kvcached.Devices.Cpu;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Managed bytes that all threads allocate in the middle half of the steps of a replay on a pool that is too small for it (A), more than 1,000 (B): storage
/// that grows on demand has grown by then, and requests still come. Counted.
/// </summary>
internal sealed class SteadyStateSides : RatioSides
{
    private const int Steps = 1_000;
    private const int Requests = 400;
    private const int PromptTokens = 200;
    private const int GeneratedTokens = 60;
    private Stretch _middle;
    private int _steps;

    public override bool IsPinned => false;

    /// <summary>The second of two replays: what is initialized when it is first used, on paths that are seldom taken, has been by then.</summary>
    public override double RunA()
    {
        Replay();
        return Replay();
    }

    public override double RunB() => _steps;

    public override string? Missed(double a, double b) => _middle.IsBusy
        ? null
        : $"{_middle.Evicted} evictions and {_middle.Reloaded} reloads; there must be {Stretch.LeastMoved} of each";

    public override IEnumerable<ExtraField> Extra(double a, double b) =>
        [new ExtraField("evicted_per_step", _middle.Evicted / b), new ExtraField("reloaded_per_step", _middle.Reloaded / b)];

    private double Replay()
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
        (_middle, var count) = MiddleHalf(turns);
        _steps = count * ReplayPlan.TurnSteps;
        if (!report.Holds || _steps < Steps)
        {
            throw new InvalidOperationException($"The replay took {turns.Count} turns and {report.MismatchedGranules} granules did not match.");
        }

        return _middle.Bytes;
    }

    /// <summary>What the middle half of the turns came to, given the totals after each turn, and how many turns that is.</summary>
    internal static (Stretch Stretch, int Turns) MiddleHalf(IReadOnlyList<Stretch> totals)
    {
        var (first, last) = (totals.Count / 4, totals.Count * 3 / 4);
        return (totals[last] - totals[first], last - first);
    }

    /// <summary>Managed bytes that were allocated and blocks that were moved, in all or in a part of a run.</summary>
    internal readonly record struct Stretch(long Bytes, long Evicted, long Reloaded)
    {
        public const int LeastMoved = Steps / 10;

        public bool IsBusy => Evicted >= LeastMoved && Reloaded >= LeastMoved;

        public static Stretch operator -(Stretch end, Stretch start) => new(end.Bytes - start.Bytes, end.Evicted - start.Evicted, end.Reloaded - start.Reloaded);
    }
}
