using Kvcached.Daemon.Replay;

namespace Kvcached.Bench.Elastic;

/// <summary>
/// What three models are asked side by side: the first minutes of the Azure conversation, Azure code and Mooncake conversation traces, or of workloads of their shape. One factor stretches all
/// arrivals, since prompts of the last come four times as fast as a model can prefill them.
/// </summary>
/// <param name="Traces">The requests of each model.</param>
/// <param name="LeftOut">Requests that no model is asked, because they have too many tokens.</param>
internal sealed record ElasticWorkload(TraceRequest[][] Traces, int LeftOut)
{
    /// <summary>Seconds within which requests arrive before their arrivals are stretched.</summary>
    public const int Seconds = 20 * 60;

    /// <summary>Environment variable with the folder of the published traces, under their published names.</summary>
    public const string TracesVariable = "RATIOS_TRACES";

    /// <summary>The names of the models, in their order.</summary>
    public static IReadOnlyList<string> Names { get; } = ["azure_conversation", "azure_code", "mooncake_conversation"];

    /// <summary>Reads the traces, if the environment says where they are, and generates workloads of their shape if not. Requests with more than so many tokens are left out.</summary>
    /// <exception cref="TraceException">A trace cannot be read.</exception>
    public static ElasticWorkload Open(int maxTokens)
    {
        var folder = Environment.GetEnvironmentVariable(TracesVariable);
        IEnumerable<TraceRequest>[] sources = string.IsNullOrEmpty(folder)
            ? [Generate(WorkloadShape.AzureConversation, 1), Generate(WorkloadShape.AzureCode, 2), Generate(WorkloadShape.MooncakeConversation, 3)]
            : [Read(folder, "azure_llm_2023_conv.csv"), Read(folder, "azure_llm_2023_code.csv"), Read(folder, "mooncake_conversation.jsonl")];
        var traces = Array.ConvertAll(sources, source => source.TakeWhile(request => request.ArrivalMicros < Seconds * 1_000_000L).ToArray());
        var kept = Array.ConvertAll(traces, trace => Array.FindAll(trace, request => request.TotalTokens <= maxTokens));
        return new ElasticWorkload(kept, traces.Sum(trace => trace.Length) - kept.Sum(trace => trace.Length));
    }

    /// <summary>Requests that nobody has served, in virtual time: arrivals are stretched by a factor, 0 for all at once.</summary>
    public ServedRequest[][] Stretched(double factor) =>
        Array.ConvertAll(Traces, trace => Array.ConvertAll(trace, request => new ServedRequest((long)(request.ArrivalMicros * 1000 * factor), request.InputTokens, request.OutputTokens)));

    private static IEnumerable<TraceRequest> Read(string folder, string file) => TraceReader.Read(Path.Combine(folder, file), int.MaxValue);

    private static IEnumerable<TraceRequest> Generate(WorkloadShape shape, int seed) => GeneratedWorkload.Generate(shape, int.MaxValue, seed);
}
