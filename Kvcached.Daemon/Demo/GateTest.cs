using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>What was accepted while every queue was held closed.</summary>
internal readonly record struct GateResult(int Steps, long Evictions, long Reloads, long Moves, string? Difference);

/// <summary>
/// Proves that no host thread waits for the device (I1): with every device queue held closed, pipelined steps with evictions, reloads and
/// moves are all accepted and every call returns; then the gate opens and the results are right. Two sequences are prefilled before the
/// gate closes; behind it, a third and turns of all three on a pool that holds two of them.
/// </summary>
internal sealed class GateTest(IDevice device, ModelShape shape, Transformer transformer, ReadOnlyMemory<byte> text)
{
    /// <summary>Far more than the few hundred tokens take; a call that waits for the device never returns.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(15);

    private const int Prefills = 2;
    private const int GatedSteps = 7;
    private const int A = 0;
    private const int B = 1;
    private const int C = 2;

    public GateResult Run()
    {
        var schedule = Plan();
        using var reference = ShortRun.Reference(device, shape, schedule, transformer);
        using var watchdog = new Watchdog(Limit, $"the gate test did not end within {Limit.TotalSeconds} s: a call waits for the device while its queues are held closed (I1)");
        using var gated = new GatedDevice(device);
        using var transcript = new Transcript(device, schedule.Requests);
        var options = new PagedKvOptions { PoolBytes = ShortRun.PoolBytes, ColdBytes = ShortRun.ColdBytes, Depth = GatedSteps + 1 };
        using var kv = new PagedKv(gated, shape, schedule, options);
        using var run = new DecodeRun(gated, schedule, transformer, kv, transcript);
        run.Enqueue(0, Prefills);
        kv.WaitForEnd();

        gated.Close();
        var before = kv.Statistics;
        var acceptedBefore = kv.AcceptedSteps;
        run.Enqueue(Prefills, Prefills + GatedSteps);
        var after = kv.Statistics;
        var accepted = kv.AcceptedSteps - acceptedBefore;
        gated.Open();

        run.Enqueue(Prefills + GatedSteps, schedule.Steps.Count);
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
        var requests = ShortRun.Requests(shape, text, 3);
        var prompt = requests[A].Prompt.Length;
        List<(int Request, int NewTokens, PolicyAction Action)> steps =
        [
            (A, prompt, PolicyAction.None),
            (B, prompt, PolicyAction.None),

            // Behind the gate: C pushes others out, and each of the next turns brings back what the turn before pushed out.
            (A, 1, PolicyAction.Move),
            (C, prompt, PolicyAction.None),
            (B, 1, PolicyAction.None),
            (A, 1, PolicyAction.Move),
            (C, 1, PolicyAction.None),
            (B, 1, PolicyAction.Move),
            (A, 1, PolicyAction.None),
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
