using System.Collections.Immutable;

namespace Kvcached.Kernels.Gpu;

/// <summary>
/// How attention is spread over a device: a group takes some rows, (position, query head) pairs of one sequence that share a KV head, and
/// <list type="bullet">
/// <item>decode: every GroupsZ-th part of the sequence's tokens, or</item>
/// <item>prefill: all parts, for every GroupsZ-th group of rows.</item>
/// </list>
/// Rows and head dimensions that a group has room for are fixed in an entry point.
/// </summary>
internal static class AttentionLaunches
{
    /// <summary>Largest head dimension that an entry point has room for.</summary>
    internal const uint MaxHeadDim = 640;

    /// <summary>Entry points of decode: for up to four query heads a KV head, for more, and for large heads.</summary>
    internal static readonly ImmutableArray<AttentionSize> DecodeSizes = [new(4, 128), new(8, 128), new(4, MaxHeadDim)];

    /// <summary>Entry points of prefill.</summary>
    internal static readonly ImmutableArray<AttentionSize> PrefillSizes = [new(16, 128), new(4, MaxHeadDim)];

    private const uint GroupLanes = 64;
    private const uint GroupsPerUnit = 32;
    private const int FormatCount = 3;

    /// <summary>A function's names for each element format.</summary>
    internal static ImmutableArray<string> Formats(string function) => [$"{function}_f16", $"{function}_bf16", $"{function}_f32"];

    /// <summary>A function's names for each size, and in each for each element format.</summary>
    internal static ImmutableArray<string> EntryPoints(string function, ImmutableArray<AttentionSize> sizes) =>
        [.. sizes.SelectMany(size => Formats($"{function}_{size.Rows}x{size.Dim}"))];

    /// <summary>Index of a format among <see cref="Formats"/>.</summary>
    internal static int IndexOf(ElementFormat format) => (int)format - (int)ElementFormat.Float16;

    internal static GpuLaunch Decode(ReadOnlySpan<byte> blob, int computeUnits)
    {
        ref readonly var arguments = ref Checked(blob);
        var heads = arguments.Kv.Shape.Heads;
        var group = arguments.QueryHeads / heads;
        var size = group > DecodeSizes[0].Rows || arguments.Kv.Shape.HeadDim > DecodeSizes[0].Dim ? SizeFor(DecodeSizes, 1, arguments.Kv.Shape.HeadDim) : 0;
        var columns = heads * Ceiling(group, DecodeSizes[size].Rows);
        var parts = Math.Min(arguments.MaxParts, Share(arguments.Kv.Batch * columns, computeUnits));
        return new GpuLaunch(EntryPoint(size, arguments), GroupLanes, arguments.Kv.Batch, columns, parts);
    }

    internal static GpuLaunch Merge(ReadOnlySpan<byte> blob, int computeUnits)
    {
        ref readonly var arguments = ref Checked(blob);
        return new GpuLaunch(0, GroupLanes, arguments.Kv.Batch, arguments.QueryHeads);
    }

    internal static GpuLaunch Prefill(ReadOnlySpan<byte> blob, int computeUnits)
    {
        ref readonly var arguments = ref Checked(blob);
        var heads = arguments.Kv.Shape.Heads;
        var size = SizeFor(PrefillSizes, 0, arguments.Kv.Shape.HeadDim);
        return new GpuLaunch(EntryPoint(size, arguments), GroupLanes, arguments.Kv.Batch, heads, Share(arguments.Kv.Batch * heads, computeUnits));
    }

    /// <summary>Into how many parts each of so many things is to be split, so that all units have enough to do.</summary>
    internal static uint Share(uint things, int computeUnits) =>
        things == 0 ? 0 : Math.Clamp(Ceiling((uint)computeUnits * GroupsPerUnit, things), 1, ushort.MaxValue);

    internal static uint Ceiling(uint dividend, uint divisor) => (dividend + divisor - 1) / divisor;

    private static int EntryPoint(int size, in AttentionArguments arguments) => (size * FormatCount) + IndexOf(arguments.Kv.Format);

    private static int SizeFor(ImmutableArray<AttentionSize> sizes, int first, uint dim)
    {
        while (sizes[first].Dim < dim)
        {
            first++;
        }

        return first;
    }

    private static ref readonly AttentionArguments Checked(ReadOnlySpan<byte> blob)
    {
        ref readonly var arguments = ref GpuKernel.ArgumentsAs<AttentionArguments>(blob);
        arguments.Validate();
        if (arguments.Kv.Shape.HeadDim > MaxHeadDim)
        {
            throw new ArgumentException($"HeadDim is {arguments.Kv.Shape.HeadDim}; attention on this device takes 1 to {MaxHeadDim}.");
        }

        return ref arguments;
    }
}

/// <summary>What a group of an entry point has room for.</summary>
/// <param name="Rows">(position, query head) pairs.</param>
/// <param name="Dim">Elements of a head.</param>
internal readonly record struct AttentionSize(uint Rows, uint Dim);
