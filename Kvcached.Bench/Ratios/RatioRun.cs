using System.Diagnostics;
using System.Runtime.ExceptionServices;

namespace Kvcached.Bench.Ratios;

/// <summary>A goal and the cases that must all meet it, each laid out when its turn comes.</summary>
internal sealed record Comparison(RatioGoal Goal, params Func<RatioSides>[] Cases)
{
    /// <summary>Whether the figures are counted, not timed: one run tells all, and there is no noise.</summary>
    public bool IsCounted { get; init; }
}

/// <summary>
/// Drives a comparison: both sides in turn in one process, so that each finds the caches as the other left them and what drifts falls on both.
/// A round is a run of B and the runs of A on either side of it, A′ and A″; what is measured beside takes the place of B now and then. Rounds count from
/// the second after the last one in which the runtime compiled something: it compiles what is called often anew in the background, when it gets to it, and
/// figures from before are those of slower code.
/// <code>
///   A  B  A  B  A  …      value: median of ValueOf(√(A′·A″), B)
///                         noise: median of A′/A″, the farther end of its 95 % interval
/// </code>
/// </summary>
internal static class RatioRun
{
    private const int WarmUpRounds = 3;

    public static RatioResult Measure(Comparison comparison, RatioPace pace)
    {
        var results = new List<RatioResult>();
        foreach (var open in comparison.Cases)
        {
            using var sides = open();
            if (sides.IsPinned)
            {
                OnPinnedThread(() => results.Add(Measure(comparison, sides, pace)));
            }
            else
            {
                results.Add(Measure(comparison, sides, pace));
            }
        }

        return RatioResult.Deciding(results) with
        {
            Extra = [.. results.SelectMany(result => result.Extra)],
            CompiledMeanwhile = results.Sum(result => result.CompiledMeanwhile),
        };
    }

    private static RatioResult Measure(Comparison comparison, RatioSides sides, RatioPace pace)
    {
        if (comparison.IsCounted)
        {
            return Result(comparison.Goal, sides, [sides.RunA()], [sides.RunB()], [], compiledMeanwhile: 0);
        }

        for (var round = 0; round < WarmUpRounds; round++)
        {
            sides.RunA();
            sides.RunB();
        }

        return MeasureRounds(comparison.Goal, sides, pace);
    }

    private static RatioResult MeasureRounds(RatioGoal goal, RatioSides sides, RatioPace pace)
    {
        List<double> a = [], b = [], aOverA = [];
        var start = Stopwatch.GetTimestamp();
        var firstRound = start;
        var (compiled, meanwhile) = (pace.CompiledMethods(), 0L);
        var last = sides.RunA();
        var rounds = Math.Max(pace.Rounds, sides.LeastRounds);
        while (b.Count < rounds || (b.Count < pace.MaxRounds && Stopwatch.GetElapsedTime(firstRound) < pace.Rounds * pace.RoundTime))
        {
            b.Add(sides.RunB());
            var next = sides.RunA();
            a.Add(Math.Sqrt(last * next));
            aOverA.Add(last / next);
            last = next;
            if (sides.MeasuresBeside && b.Count % 2 == 1)
            {
                // In the place of B, since it is held against B; the next round begins with another A.
                sides.RunBeside();
                last = sides.RunA();
            }

            meanwhile = pace.CompiledMethods() - compiled;
            var elapsed = Stopwatch.GetElapsedTime(start);
            if (elapsed < pace.WarmUpTime || (elapsed < pace.WarmUpLimit && meanwhile > 0))
            {
                a.Clear();
                b.Clear();
                aOverA.Clear();
                sides.Forget();
                sides.RunB();
                last = sides.RunA();
                (firstRound, compiled) = (Stopwatch.GetTimestamp(), compiled + meanwhile);
            }
        }

        return Result(goal, sides, [.. a], [.. b], [.. aOverA], meanwhile);
    }

    private static RatioResult Result(RatioGoal goal, RatioSides sides, double[] a, double[] b, double[] aOverA, long compiledMeanwhile)
    {
        var (medianA, medianB) = (RatioStatistics.Median(a), RatioStatistics.Median(b));
        var value = sides.ValueOf(goal, a, b);
        return new RatioResult
        {
            Goal = goal,
            Value = value,
            Noise = aOverA.Length == 0 ? 0 : sides.NoiseOf(value, aOverA),
            A = medianA,
            B = medianB,
            Runs = a.Length,
            Missed = sides.Missed(medianA, medianB),
            Extra = [.. sides.Extra(medianA, medianB)],
            CompiledMeanwhile = compiledMeanwhile,
        };
    }

    private static void OnPinnedThread(Action action)
    {
        ExceptionDispatchInfo? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                ThreadPin.PinCurrent(ThreadPin.LastProcessor());
                action();
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
        }, maxStackSize: 16 << 20);
        thread.Start();
        thread.Join();
        failure?.Throw();
    }
}
