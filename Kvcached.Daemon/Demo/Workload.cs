namespace Kvcached.Daemon.Demo;

/// <summary>Sizes of a workload.</summary>
internal sealed record WorkloadOptions
{
    /// <summary>Sequences that live at a time.</summary>
    public int Live { get; init; } = 64;

    /// <summary>Requests that wait until another has ended, for continuous batching.</summary>
    public int Waiting { get; init; } = 8;

    public int MinContext { get; init; } = 256;

    public int MaxContext { get; init; } = 2048;

    /// <summary>Tokens that most requests generate; as many as wait are cut to a third, to make place for those.</summary>
    public int Generate { get; init; } = 64;

    public int Seed { get; init; } = 1;
}

/// <summary>One request: a prompt, and how long its sequence grows.</summary>
/// <param name="Number">Number of the request: its rows in all tables of a run.</param>
/// <param name="Prompt">Tokens of the prompt: at least 1.</param>
/// <param name="Context">Tokens whose keys and values are kept in the end; one more is sampled after the last.</param>
internal sealed record Request(int Number, ReadOnlyMemory<byte> Prompt, int Context)
{
    public int Generated => Context - Prompt.Length + 1;
}

/// <summary>
/// Requests cut from a text by a seed. Context lengths are skewed, most near the least, one at the largest: the same ones for every seed, in
/// an order of its own.
/// </summary>
internal static class Workload
{
    /// <summary>How steep the lengths fall off: the mean lies 1/(Skew + 1) of the way from the least to the largest.</summary>
    private const int Skew = 30;

    public static Request[] Create(ReadOnlyMemory<byte> text, WorkloadOptions options)
    {
        if (text.IsEmpty)
        {
            throw new UsageException("The text has no bytes; prompts need at least 1.");
        }

        var random = new Random(options.Seed);
        var requests = new Request[options.Live + options.Waiting];
        var ranks = Enumerable.Range(0, requests.Length).ToArray();
        random.Shuffle(ranks);
        for (var number = 0; number < requests.Length; number++)
        {
            var spread = Math.Pow((ranks[number] + 1.0) / requests.Length, Skew);
            var context = options.MinContext + (int)((options.MaxContext - options.MinContext) * spread);
            var generate = Math.Max(1, Share(number, options) + random.Next(options.Generate / 8 + 1));
            generate = Math.Min(generate, context);
            requests[number] = new Request(number, Cut(text, random, context + 1 - generate), context);
        }

        return requests;
    }

    /// <summary>A piece of the text at a random place; the text over and over where it is too short.</summary>
    public static ReadOnlyMemory<byte> Cut(ReadOnlyMemory<byte> text, Random random, int length)
    {
        if (length <= text.Length)
        {
            return text.Slice(random.Next(text.Length - length + 1), length);
        }

        var repeated = new byte[length];
        for (var i = 0; i < length; i += text.Length)
        {
            text.Span[..Math.Min(text.Length, length - i)].CopyTo(repeated.AsSpan(i));
        }

        return repeated;
    }

    /// <summary>Every eighth or so of the first requests is short; the waiting ones, which start when those end, take the rest of the time.</summary>
    private static int Share(int number, WorkloadOptions options)
    {
        if (number >= options.Live)
        {
            return options.Generate * 2 / 3;
        }

        var isShort = options.Waiting > 0 && number % Math.Max(1, options.Live / options.Waiting) == 1;
        return isShort ? options.Generate / 3 : options.Generate;
    }
}
