using Kvcached.Bench.Ratios;

namespace Kvcached.Bench.Elastic;

/// <summary>What a run came to: seconds to the first token of each model's requests, and until each model's last one was done; the tokens of all; and what the engines moved.</summary>
internal sealed record ElasticResult(double[][] TimesToFirstToken, double[] Seconds, long Tokens, double LinkGigabytes, long EvictedBlocks, long ReloadedBlocks, long BusySteps)
{
    /// <summary>Tokens of prompts and answers, until the last request was done.</summary>
    public double TokensPerSecond => Tokens / Seconds.Max();

    /// <summary>The 99th percentile over the requests of all models.</summary>
    public double P99 => RatioStatistics.Percentile(TimesToFirstToken.SelectMany(times => times), 0.99);

    public double P99Of(int model) => RatioStatistics.Percentile(TimesToFirstToken[model], 0.99);
}

/// <summary>Serves a workload in virtual time, from one pool that the models share, or with an engine and an equal part of the pool for each. One host link serves all.</summary>
internal static class ElasticRun
{
    public const long LinkBytesPerSecond = 25_000_000_000;

    public static ElasticResult Serve(ServedRequest[][] requests, long poolBytes, bool isShared)
    {
        var clock = new VirtualClock();
        var link = new VirtualLink(clock, LinkBytesPerSecond);
        var blocks = poolBytes / ElasticCache.BlockBytes;
        ElasticCache[] caches = isShared ? [new ElasticCache(clock, link, blocks)] : [.. requests.Select(_ => new ElasticCache(clock, link, blocks / requests.Length))];
        var models = requests.Select((own, i) => caches[i % caches.Length].AddModel(own)).ToArray();
        foreach (var model in models)
        {
            model.Start();
        }

        while (clock.TryAdvance())
        {
        }

        if (Array.Find(models, model => model.Completed < model.Requests.Length) is { } stuck)
        {
            throw new InvalidOperationException($"{stuck.Completed} of {stuck.Requests.Length} requests have been served, and nothing is under way.");
        }

        return new ElasticResult(
            [.. requests.Select(own => own.Select(request => request.TimeToFirstToken / VirtualClock.NanosPerSecond).ToArray())],
            [.. models.Select(model => model.CompletedAt / VirtualClock.NanosPerSecond)],
            requests.Sum(own => own.Sum(request => (long)request.TotalTokens)),
            link.Bytes / 1e9,
            caches.Sum(cache => cache.Engine.Counters.EvictedBlocks),
            caches.Sum(cache => cache.Engine.Counters.ReloadedBlocks),
            caches.Sum(cache => cache.Engine.Counters.BusySteps));
    }
}
