using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>
/// The sizes of the short runs (gate test, flip test): a pool of two units, and sequences of which it holds six.
/// </summary>
internal static class ShortRun
{
    public const long PoolBytes = 4L << 20;

    public const long ColdBytes = 16L << 20;

    /// <summary>Tokens that a sequence generates.</summary>
    public const int Generated = 8;

    /// <summary>Requests whose prompts fill whole blocks, five of 32 parts of the pool each.</summary>
    public static Request[] Requests(ModelShape shape, ReadOnlyMemory<byte> text, int count)
    {
        var blocks = (int)(PoolBytes / shape.BlockBytes * 5 / 32);
        var tokens = Math.Max(1, blocks) * shape.TokensPerBlock;
        var context = tokens + Generated - 1;
        if (context > shape.MaxContext)
        {
            throw new DemoFailedException($"A short run needs sequences of {context} tokens; the model takes {shape.MaxContext}.");
        }

        var random = new Random(count);
        return [.. Enumerable.Range(0, count).Select(number => new Request(number, Workload.Cut(text, random, tokens), context))];
    }

    /// <summary>What the contiguous kernels make of the same schedule.</summary>
    public static Transcript Reference(IDevice device, ModelShape shape, Schedule schedule, Transformer transformer)
    {
        var transcript = new Transcript(device, schedule.Requests);
        using var kv = new ContiguousKv(device, shape, schedule);
        using var run = new DecodeRun(device, schedule, transformer, kv, transcript);
        run.Execute();
        return transcript;
    }
}
