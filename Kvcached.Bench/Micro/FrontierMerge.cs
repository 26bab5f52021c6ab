using BenchmarkDotNet.Attributes;
using Kvcached.Memory;

namespace Kvcached.Bench.Micro;

/// <summary>
/// Points of several timelines are merged into the frontiers of 64 blocks, two values of each timeline: the higher stays. Lost: a dictionary by
/// timeline, and a list that is kept sorted. Both allocate for each block unless they are kept, and here they are.
/// </summary>
public class FrontierMerge
{
    private const int Frontiers = 64;
    private readonly TimelineTable _timelines = new();
    private readonly Dictionary<int, ulong>[] _dictionaries = [.. Enumerable.Range(0, Frontiers).Select(_ => new Dictionary<int, ulong>(Frontier.Capacity))];
    private readonly SortedList<int, ulong>[] _sorted = [.. Enumerable.Range(0, Frontiers).Select(_ => new SortedList<int, ulong>(Frontier.Capacity))];
    private readonly Frontier[] _frontiers = new Frontier[Frontiers];
    private Point[] _points = [];

    /// <summary>Distinct timelines: a block that was only read by its lane has one, what a transfer moved has two or three.</summary>
    [Params(1, 3, 6)]
    public int Timelines { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _timelines.EnsureLane(Timelines);
        _points = [.. Enumerable.Range(0, 2 * Timelines).Select(i => new Point(4 + (i % Timelines), (ulong)(10 + i)))];
    }

    [Benchmark(OperationsPerInvoke = Frontiers, Baseline = true)]
    public ulong Array()
    {
        var count = 0UL;
        foreach (ref var frontier in _frontiers.AsSpan())
        {
            frontier = default;
            foreach (var point in _points)
            {
                frontier.Add(point, _timelines);
            }

            count += (ulong)frontier.Points.Length;
        }

        foreach (var point in _frontiers[^1].Points)
        {
            count += Digest(point.Timeline, point.Value);
        }

        return count;
    }

    [Benchmark(OperationsPerInvoke = Frontiers)]
    public ulong Dictionary()
    {
        var count = 0UL;
        foreach (var frontier in _dictionaries)
        {
            frontier.Clear();
            foreach (var point in _points)
            {
                if (!_timelines.IsObserved(point))
                {
                    ref var value = ref System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(frontier, point.Timeline, out _);
                    value = Math.Max(value, point.Value);
                }
            }

            count += (ulong)frontier.Count;
        }

        foreach (var (timeline, value) in _dictionaries[^1])
        {
            count += Digest(timeline, value);
        }

        return count;
    }

    [Benchmark(OperationsPerInvoke = Frontiers)]
    public ulong Sorted()
    {
        var count = 0UL;
        foreach (var frontier in _sorted)
        {
            frontier.Clear();
            foreach (var point in _points)
            {
                if (!_timelines.IsObserved(point) && (!frontier.TryGetValue(point.Timeline, out var value) || value < point.Value))
                {
                    frontier[point.Timeline] = point.Value;
                }
            }

            count += (ulong)frontier.Count;
        }

        foreach (var (timeline, value) in _sorted[^1])
        {
            count += Digest(timeline, value);
        }

        return count;
    }

    // Of the last frontier alone: it shows what was merged, and costs a sixty-fourth.
    private static ulong Digest(int timeline, ulong value) => ((ulong)timeline << 32) + value;
}
