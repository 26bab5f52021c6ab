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
/// Drives a comparison: both sides in turn in one process, A twice a round with B between, each round the other way about, so that what
/// drifts falls on both.
/// <code>
///   round 0:  A  B  A′      value: median of ValueOf(√(A·A′), B)
///   round 1:  A′ B  A       noise: median of A/A′, its 95 % interval
/// </code>
/// </summary>
internal static class RatioRun
{
    /// <summary>Least rounds of a case; where they are short there are more, up to <see cref="MaxRounds"/>.</summary>
    public const int Rounds = 31;

    /// <summary>The same of a quick run.</summary>
    public const int QuickRounds = 9;

    private const int MaxRounds = 301;
    private const int WarmUpRounds = 3;

    /// <summary>Code is compiled anew after 100 ms in which it was called often enough; only that is measured.</summary>
    private static readonly TimeSpan _warmUpTime = TimeSpan.FromMilliseconds(400);

    private static readonly TimeSpan _roundTime = TimeSpan.FromMilliseconds(60);

    public static RatioResult Measure(Comparison comparison, int rounds)
    {
        var results = new List<RatioResult>();
        foreach (var open in comparison.Cases)
        {
            using var sides = open();
            if (sides.IsPinned)
            {
                OnPinnedThread(() => results.Add(Measure(comparison, sides, rounds)));
            }
            else
            {
                results.Add(Measure(comparison, sides, rounds));
            }
        }

        return RatioResult.Deciding(results) with { Extra = [.. results.SelectMany(result => result.Extra)] };
    }

    private static RatioResult Measure(Comparison comparison, RatioSides sides, int rounds)
    {
        if (comparison.IsCounted)
        {
            return Result(comparison.Goal, sides, [sides.RunA()], [sides.RunB()], []);
        }

        WarmUp(sides);
        List<double> a = [], b = [], again = [];
        for (var start = Stopwatch.GetTimestamp(); a.Count < rounds || (a.Count < MaxRounds && Stopwatch.GetElapsedTime(start) < rounds * _roundTime);)
        {
            sides.RunBeside();
            var first = sides.RunA();
            var other = sides.RunB();
            var last = sides.RunA();
            (first, last) = a.Count % 2 == 0 ? (first, last) : (last, first);
            a.Add(first);
            b.Add(other);
            again.Add(last);
        }

        return Result(comparison.Goal, sides, [.. a.Zip(again, (x, y) => Math.Sqrt(x * y))], [.. b], [.. a.Zip(again, (x, y) => x / y)]);
    }

    private static void WarmUp(RatioSides sides)
    {
        var start = Stopwatch.GetTimestamp();
        for (var round = 0; round < WarmUpRounds || Stopwatch.GetElapsedTime(start) < _warmUpTime; round++)
        {
            sides.RunA();
            sides.RunB();
        }
    }

    private static RatioResult Result(RatioGoal goal, RatioSides sides, double[] a, double[] b, double[] aOverA)
    {
        var (medianA, medianB) = (RatioStatistics.Median(a), RatioStatistics.Median(b));
        var value = RatioStatistics.Median(a.Zip(b, goal.ValueOf));
        return new RatioResult
        {
            Goal = goal,
            Value = value,
            Noise = aOverA.Length == 0 ? 0 : RatioStatistics.NoiseOf(aOverA) * value,
            A = medianA,
            B = medianB,
            Runs = a.Length,
            Missed = sides.Missed(medianA, medianB),
            Extra = [.. sides.Extra(medianA, medianB)],
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
