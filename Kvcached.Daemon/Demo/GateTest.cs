using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>What was accepted while every queue was held closed.</summary>
internal readonly record struct GateResult(int Steps, long Evictions, long Reloads, long Moves, string? Difference);

/// <summary>
/// Proves that no host thread waits for the device (I1): with every device queue held closed, pipelined steps with evictions, reloads and
/// moves are all accepted and every call returns; then the gate opens and the results are right. More sequences are prefilled than the pool
/// holds, so that the first of them are cold when the gate closes; behind it, steps of a few sequences push others out, bring them back, and
/// one is evicted, though its step cannot have run, and brought back: all ordered on the lane alone.
/// </summary>
internal sealed class GateTest(IDevice device, ModelShape shape, Transformer transformer, ReadOnlyMemory<byte> text)
{
    /// <summary>Far more than calls for a few steps take; one that waits for the device never returns.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    private const int Sequences = 8;
    private const int Resident = Sequences - 1;
    private const int Cold = 0;
    private const int NextCold = 1;

    private static readonly (int Request, PolicyAction Action)[] Gated =
    [
        (Resident, PolicyAction.Move),
        (Cold, PolicyAction.Evict),
        (NextCold, PolicyAction.Clean),
        (Cold, PolicyAction.Move),
        (Resident, PolicyAction.None),
        (NextCold, PolicyAction.None),
    ];

    public GateResult Run()
    {
        var schedule = Plan();
        using var reference = ShortRun.Reference(device, shape, schedule, transformer);
        using var gated = new GatedDevice(device);
        using var transcript = new Transcript(device, schedule.Requests);
        var options = new PagedKvOptions { Pool = PoolSize.Fixed(ShortRun.PoolBytes), ColdBytes = ShortRun.ColdBytes, Depth = Gated.Length + 1 };
        using var kv = new PagedKv(gated, shape, schedule, options);
        using var run = new DecodeRun(gated, schedule, transformer, kv, transcript);
        run.Enqueue(0, Sequences);
        kv.WaitForEnd();

        var (before, acceptedBefore) = (kv.Statistics, kv.AcceptedSteps);
        gated.Close();
        KvCacheStatistics after;
        int accepted;
        using (new Watchdog(Limit, $"a call did not return within {Limit.TotalSeconds} s while the device's queues were held closed: it waits for the device (I1)"))
        {
            run.Enqueue(Sequences, Sequences + Gated.Length);
            (after, accepted) = (kv.Statistics, kv.AcceptedSteps - acceptedBefore);
        }

        gated.Open();

        run.Enqueue(Sequences + Gated.Length, schedule.Steps.Count);
        kv.WaitForEnd();
        return new GateResult(
            accepted,
            after.EvictedBlocks - before.EvictedBlocks,
            after.ReloadedBlocks - before.ReloadedBlocks,
            after.MovedBlocks - before.MovedBlocks,
            transcript.Compare(reference));
    }

    private Schedule Plan()
    {
        var requests = ShortRun.Requests(shape, text, Sequences);
        List<(int Request, int NewTokens, PolicyAction Action)> steps =
        [
            .. requests.Select(request => (request.Number, request.Prompt.Length, PolicyAction.None)),
            .. Gated.Select(step => (step.Request, 1, step.Action)),
        ];
        var tokens = new int[requests.Length];
        foreach (var (request, newTokens, _) in steps)
        {
            tokens[request] += newTokens;
        }

        while (Array.Exists(requests, request => tokens[request.Number] < request.Context))
        {
            foreach (var request in requests.Where(request => tokens[request.Number] < request.Context))
            {
                steps.Add((request.Number, 1, PolicyAction.None));
                tokens[request.Number]++;
            }
        }

        return Schedule.FromSteps(requests, steps);
    }
}
