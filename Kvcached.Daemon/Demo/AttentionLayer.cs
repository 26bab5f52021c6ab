using Kvcached.Devices;
using Kvcached.Kernels;

namespace Kvcached.Daemon.Demo;

/// <summary>
/// Writes keys and values and attends to them with the kernels of <c>Kvcached.Kernels</c>: the paged ones, or their contiguous twins. The
/// one difference between the runs of the demo.
/// </summary>
internal sealed class AttentionLayer
{
    private readonly ModelShape _shape;
    private readonly DeviceKernel _write;
    private readonly DeviceKernel _decode;
    private readonly DeviceKernel _merge;
    private readonly DeviceKernel _prefill;

    private AttentionLayer(IDevice device, ModelShape shape, string write, string decode, string prefill)
    {
        _shape = shape;
        _write = device.LoadKernel(write);
        _decode = device.LoadKernel(decode);
        _merge = device.LoadKernel(KernelNames.Merge);
        _prefill = device.LoadKernel(prefill);
    }

    /// <summary>Keys and values in blocks, reached through the table.</summary>
    public static AttentionLayer Paged(IDevice device, ModelShape shape) =>
        new(device, shape, KernelNames.WritePaged, KernelNames.DecodePaged, KernelNames.PrefillPaged);

    /// <summary>Keys and values in a buffer per sequence.</summary>
    public static AttentionLayer Contiguous(IDevice device, ModelShape shape) =>
        new(device, shape, KernelNames.WriteContiguous, KernelNames.DecodeContiguous, KernelNames.PrefillContiguous);

    public void Append(CommandList commands, in StepInput step, int layer, Activations at)
    {
        var kv = step.Kv with { Layer = (uint)layer };
        commands.Launch(_write, new KvWriteArguments { Kv = kv, Keys = at.Keys, Values = at.Values, RowStarts = at.RowStarts });
        var arguments = new AttentionArguments
        {
            Kv = kv,
            Queries = at.Queries,
            Outputs = at.Attended,
            RowStarts = at.RowStarts,
            Partials = at.Partials,
            MaxParts = at.MaxParts,
            QueryHeads = (uint)_shape.QueryHeads,
            Scale = 1 / MathF.Sqrt(_shape.HeadDim),
        };
        if (step.IsPrefill)
        {
            commands.Launch(_prefill, arguments);
        }
        else
        {
            commands.Launch(_decode, arguments);
            commands.Launch(_merge, arguments);
        }
    }
}
