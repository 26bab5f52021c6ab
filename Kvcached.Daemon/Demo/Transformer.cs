using Kvcached.Daemon.Demo.Kernels;
using Kvcached.Daemon.Hardware;
using Kvcached.Devices;
using Kvcached.Kernels;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Daemon.Demo;

/// <summary>
/// The model on a device: its kernels, and activations for one step, which the in-order queue of a run reuses step after step. Knows
/// nothing of where keys and values lie; <see cref="AttentionLayer"/> does. Used by one run at a time.
/// <code>
///   rows → embed → 8 × [ norm → Q, K, V → rope → write K/V → attention → +x → norm → gate, up → SwiGLU → down → +x ] → norm → logits → sample
/// </code>
/// </summary>
internal sealed class Transformer : IDisposable
{
    private readonly ModelShape _shape;
    private readonly ModelWeights _weights;
    private readonly Activations _at;
    private readonly DeviceKernel _stepRows;
    private readonly DeviceKernel _embed;
    private readonly DeviceKernel _rmsNorm;
    private readonly DeviceKernel _matMul;
    private readonly DeviceKernel _rope;
    private readonly DeviceKernel _swiGlu;
    private readonly DeviceKernel _sample;

    public Transformer(IDevice device, ModelShape shape, ModelWeights weights, int maxRows, int maxItems)
    {
        _shape = shape;
        _weights = weights;
        _at = new Activations(device, shape, maxRows, maxItems);
        MaxRows = maxRows;
        MaxItems = maxItems;
        _stepRows = device.LoadKernel(StepRows.Name);
        _embed = device.LoadKernel(Embed.Name);
        _rmsNorm = device.LoadKernel(RmsNorm.Name);
        _matMul = device.LoadKernel(MatMul.Name);
        _rope = device.LoadKernel(Rope.Name);
        _swiGlu = device.LoadKernel(SwiGlu.Name);
        _sample = device.LoadKernel(Sample.Name);
    }

    /// <summary>The kernels that a device for this model must have, beside those of <c>Kvcached.Kernels</c>.</summary>
    public static IReadOnlyList<CpuKernel> CpuKernels =>
        [StepRows.Kernel, Embed.Kernel, RmsNorm.Kernel, MatMul.Kernel, Rope.Kernel, SwiGlu.Kernel, Sample.Kernel];

    /// <summary>The same for devices that compile their kernels.</summary>
    public static IReadOnlyList<GpuKernel> GpuKernels => DemoGpuKernels.All;

    /// <summary>The same, for whichever device.</summary>
    public static DeviceKernels Kernels => new(CpuKernels, GpuKernels);

    /// <summary>Tokens that a step may have.</summary>
    public int MaxRows { get; }

    /// <summary>Sequences that a step may have.</summary>
    public int MaxItems { get; }

    public void Dispose() => _at.Dispose();

    /// <summary>Adds the commands of one step's forward pass, sampling included.</summary>
    public void Append(CommandList commands, in StepInput step, AttentionLayer attention, Transcript transcript)
    {
        if (step.Rows > MaxRows || step.Kv.Batch > MaxItems)
        {
            throw new ArgumentException($"The step has {step.Rows} rows of {step.Kv.Batch} sequences; the limits are {MaxRows} and {MaxItems}.", nameof(step));
        }

        AppendInput(commands, step, transcript);
        for (var layer = 0; layer < _shape.Layers; layer++)
        {
            AppendAttention(commands, step, layer, attention);
            AppendFeedForward(commands, step.Rows, _weights.Layers[layer]);
        }

        Norm(commands, _weights.FinalGain, step.Rows);
        Multiply(commands, _at.Normed, _weights.Head, _at.Logits, step.Rows, _shape.Hidden, _shape.Vocabulary);
        commands.Launch(_sample, new SampleArguments
        {
            RowInfos = _at.RowInfos,
            Logits = _at.Logits,
            PromptTokens = transcript.PromptTokens,
            Tokens = transcript.Tokens,
            Records = transcript.Records,
            Stride = transcript.Stride,
            Rows = step.Rows,
            Vocabulary = _shape.Vocabulary,
        });
    }

    private void AppendInput(CommandList commands, in StepInput step, Transcript transcript)
    {
        commands.Launch(_stepRows, new StepRowsArguments
        {
            Views = step.Kv.Views,
            Requests = step.Requests,
            RowInfos = _at.RowInfos,
            RowStarts = _at.RowStarts,
            Items = (int)step.Kv.Batch,
            Rows = step.Rows,
        });
        commands.Launch(_embed, new EmbedArguments
        {
            RowInfos = _at.RowInfos,
            Tokens = transcript.Tokens,
            Table = _weights.Embedding,
            Output = _at.Residual,
            TokenStride = transcript.Stride,
            Rows = step.Rows,
            Hidden = _shape.Hidden,
        });
    }

    private void AppendAttention(CommandList commands, in StepInput step, int layer, AttentionLayer attention)
    {
        var weights = _weights.Layers[layer];
        Norm(commands, weights.AttentionGain, step.Rows);
        Multiply(commands, _at.Normed, weights.Query, _at.Queries, step.Rows, _shape.Hidden, _shape.QueryColumns);
        Multiply(commands, _at.Normed, weights.Key, _at.Keys, step.Rows, _shape.Hidden, _shape.KvColumns);
        Multiply(commands, _at.Normed, weights.Value, _at.Values, step.Rows, _shape.Hidden, _shape.KvColumns);
        Turn(commands, _at.Queries, _shape.QueryHeads, step.Rows);
        Turn(commands, _at.Keys, _shape.KvHeads, step.Rows);
        attention.Append(commands, step, layer, _at);
        Multiply(commands, _at.Attended, weights.AttentionOutput, _at.Residual, step.Rows, _shape.QueryColumns, _shape.Hidden, accumulate: true);
    }

    private void AppendFeedForward(CommandList commands, int rows, in LayerWeights weights)
    {
        Norm(commands, weights.FeedForwardGain, rows);
        Multiply(commands, _at.Normed, weights.GateUp, _at.GateUp, rows, _shape.Hidden, 2 * _shape.FeedForward);
        commands.Launch(_swiGlu, new SwiGluArguments
        {
            Input = _at.GateUp,
            Output = _at.FeedForward,
            Rows = rows,
            Columns = _shape.FeedForward,
        });
        Multiply(commands, _at.FeedForward, weights.Down, _at.Residual, rows, _shape.FeedForward, _shape.Hidden, accumulate: true);
    }

    private void Norm(CommandList commands, ulong gain, int rows) => commands.Launch(_rmsNorm, new RmsNormArguments
    {
        Input = _at.Residual,
        Gain = gain,
        Output = _at.Normed,
        Rows = rows,
        Hidden = _shape.Hidden,
    });

    private void Turn(CommandList commands, ulong heads, int headCount, int rows) => commands.Launch(_rope, new RopeArguments
    {
        RowInfos = _at.RowInfos,
        Table = _weights.RopeTable,
        Heads = heads,
        Rows = rows,
        HeadCount = headCount,
        HeadDim = _shape.HeadDim,
    });

    private void Multiply(CommandList commands, ulong input, ulong weights, ulong output, int rows, int depth, int columns, bool accumulate = false) =>
        commands.Launch(_matMul, new MatMulArguments
        {
            Input = input,
            Weights = weights,
            Output = output,
            Rows = rows,
            Depth = depth,
            Columns = columns,
            Accumulate = accumulate ? 1 : 0,
        });
}
