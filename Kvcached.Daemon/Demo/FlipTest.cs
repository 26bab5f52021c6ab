using System.Runtime.InteropServices;
using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>
/// Shows that the comparison can fail: one bit of a sequence's cold copy is flipped before its blocks are reloaded, and its tokens or
/// logits must then differ.
/// </summary>
internal sealed class FlipTest(IDevice device, ModelShape shape, Transformer transformer, ReadOnlyMemory<byte> text)
{
    private const int Sequence = 0;

    /// <summary>The bit of a float16 that makes a small number a large one: the top of its exponent.</summary>
    private const int ExponentBit = 14;

    /// <summary>Whether the flip was seen.</summary>
    public bool Run()
    {
        var schedule = Plan();
        using var reference = ShortRun.Reference(device, shape, schedule, transformer);
        var tap = new ColdMemoryTap(device);
        using var transcript = new Transcript(device, schedule.Requests);
        using var kv = new PagedKv(tap, shape, schedule, new PagedKvOptions { Pool = PoolSize.Fixed(ShortRun.PoolBytes), ColdBytes = ShortRun.ColdBytes });
        using var run = new DecodeRun(tap, schedule, transformer, kv, transcript);

        // The prompt is evicted after step 0 and reloaded for step 1, whose end proves that the copy to cold memory is complete; step 1
        // writes into a block of its own, so the copies stay valid and the next eviction has only to drop.
        run.Enqueue(0, 2);
        kv.WaitForEnd();
        if (!FlipFirstBit(tap.Cold) || kv.Act(PolicyAction.Evict, Sequence) == 0)
        {
            return false;
        }

        run.Enqueue(2, schedule.Steps.Count);
        kv.WaitForEnd();
        return transcript.FirstDifference(reference, Sequence, schedule.Requests[Sequence].Context) >= schedule.Requests[Sequence].Prompt.Length;
    }

    /// <summary>
    /// Flips one bit in the first float16 of cold memory that is not zero: memory is zeroed when it is allocated, so that is an element of
    /// a cold copy.
    /// </summary>
    private static bool FlipFirstBit(IEnumerable<DeviceMemory> cold)
    {
        const int stepBytes = 1 << 20;
        foreach (var memory in cold)
        {
            for (long offset = 0; offset < memory.Bytes; offset += stepBytes)
            {
                var elements = MemoryMarshal.Cast<byte, ushort>(memory.HostSpan(offset, (int)Math.Min(stepBytes, memory.Bytes - offset)));
                var first = elements.IndexOfAnyExcept((ushort)0);
                if (first >= 0)
                {
                    elements[first] ^= 1 << ExponentBit;
                    return true;
                }
            }
        }

        return false;
    }

    private Schedule Plan()
    {
        var requests = ShortRun.Requests(shape, text, 1);
        List<(int Request, int NewTokens, PolicyAction Action)> steps = [(Sequence, requests[Sequence].Prompt.Length, PolicyAction.Evict)];
        for (var i = 1; i < ShortRun.Generated; i++)
        {
            steps.Add((Sequence, 1, PolicyAction.None));
        }

        return Schedule.FromSteps(requests, steps);
    }
}
