using Kvcached.Bench.Ratios;

namespace Kvcached.Bench.Elastic;

/// <summary>
/// The 99th percentile of the time to the first token, in seconds, with a pool of 60 GiB split in thirds (A) and shared (B), over the requests of three models that are served side by side in
/// virtual time. Counted. Further fields: pools of 40 and 80 GiB, each model, and throughput, which must be the same within 2 %.
/// </summary>
internal sealed class ElasticSides : RatioSides
{
    private const double ThroughputTolerance = 0.02;

    /// <summary>Part of what the busiest model can serve from its third of the deciding pool that it is asked: what it takes for all requests if they are there at once, over the time within which they arrive.</summary>
    private const double Load = 0.8;

    private const int DecidingGib = 60;
    private static readonly int[] _poolGib = [40, 60, 80];

    private readonly ElasticWorkload _workload;
    private readonly double _stretch;
    private ElasticResult? _split;
    private ElasticResult? _shared;

    public ElasticSides()
    {
        _workload = ElasticWorkload.Open(PartTokens(_poolGib[0]));
        var allAtOnce = ElasticRun.Serve(_workload.Stretched(0), BytesOf(DecidingGib), isShared: false);
        _stretch = allAtOnce.Seconds.Max() / (Load * ElasticWorkload.Seconds);
    }

    public override bool IsPinned => false;

    public override double RunA() => (_split = Serve(DecidingGib, isShared: false)).P99;

    public override double RunB() => (_shared = Serve(DecidingGib, isShared: true)).P99;

    public override string? Missed(double a, double b) => MissedThroughput(_split!.TokensPerSecond, _shared!.TokensPerSecond);

    /// <summary>Why the line fails where the sides did not get through as much.</summary>
    internal static string? MissedThroughput(double split, double shared) => Math.Abs((split / shared) - 1) <= ThroughputTolerance
        ? null
        : $"{split:F0} tokens/s from a split pool and {shared:F0} from a shared one; they must agree within {ThroughputTolerance:P0}";

    public override IEnumerable<ExtraField> Extra(double a, double b)
    {
        yield return new ExtraField("requests", _workload.Traces.Sum(requests => requests.Length));
        yield return new ExtraField("left_out", _workload.LeftOut);
        yield return new ExtraField("stretch", _stretch);
        foreach (var gib in _poolGib)
        {
            var (split, shared) = gib == DecidingGib ? (_split!, _shared!) : (Serve(gib, isShared: false), Serve(gib, isShared: true));
            yield return new ExtraField($"ratio_{gib}", split.P99 / shared.P99);
            foreach (var field in Fields($"split_{gib}", split).Concat(Fields($"shared_{gib}", shared)))
            {
                yield return field;
            }
        }
    }

    private static IEnumerable<ExtraField> Fields(string side, ElasticResult result) =>
    [
        new($"{side}_p99_s", result.P99),
        .. ElasticWorkload.Names.Select((name, model) => new ExtraField($"{side}_p99_s_{name}", result.P99Of(model))),
        new($"{side}_tokens_per_s", result.TokensPerSecond),
        new($"{side}_link_gb", result.LinkGigabytes),
        new($"{side}_evicted", result.EvictedBlocks),
        new($"{side}_reloaded", result.ReloadedBlocks),
        new($"{side}_busy_steps", result.BusySteps),
    ];

    /// <summary>Tokens that a third of a pool has room for.</summary>
    private static int PartTokens(int gib) => (int)(BytesOf(gib) / ElasticCache.BlockBytes / ElasticWorkload.Names.Count) * ElasticCache.TokensPerBlock;

    private static long BytesOf(int gib) => (long)gib << 30;

    private ElasticResult Serve(int gib, bool isShared) => ElasticRun.Serve(_workload.Stretched(_stretch), BytesOf(gib), isShared);
}
