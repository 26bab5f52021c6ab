using Kvcached.Devices;
using Kvcached.Kernels;
using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>
/// Where the steps of a lane publish page tables: a slot for each step of depth, taken in turn like view slots, with room for each layout. The
/// kernel that writes one runs in the publish, after the views are there.
/// </summary>
internal sealed class PageTableRing(KvLaneOptions options, DeviceMemory memory, DeviceKernel? kernel)
{
    private const long Alignment = KvShape.GranuleBytes;

    /// <summary>Where the tables lie.</summary>
    public DeviceMemory Memory => memory;

    /// <summary>Pages that a sequence may have.</summary>
    public int MaxPages => options.MaxPages;

    public static long BytesOf(KvLaneOptions options) => options.Depth * options.MaxLayouts * BytesOfLayout(options);

    public PageTable TableOf(ulong step, int layout)
    {
        var slots = RuleFaults.Is(RuleFault.PageTableSlotReusedEarly) ? 1UL : (ulong)options.Depth;
        var address = memory.Address + (ulong)((((long)(step % slots) * options.MaxLayouts) + layout) * BytesOfLayout(options));
        return new PageTable
        {
            BlockTable = Take(ref address, PagesBytes(options)),
            Indices = Take(ref address, PagesBytes(options)),
            SequenceLengths = Take(ref address, LengthsBytes(options)),
            LastPageLengths = Take(ref address, LengthsBytes(options)),
            Indptr = Take(ref address, LengthsBytes(options)),
            MaxPages = (uint)options.MaxPages,
        };
    }

    /// <summary>Adds the launch that writes a layout's tables.</summary>
    /// <param name="commands">The publish, after the copy of the views.</param>
    /// <param name="step">Number of the step.</param>
    /// <param name="layout">Number of the layout, one with page tables.</param>
    /// <param name="shape">Its shape.</param>
    /// <param name="views">Address of the step's views.</param>
    /// <param name="batch">How many there are.</param>
    /// <param name="entries">Address of the entry heap.</param>
    public void Publish(CommandList commands, ulong step, int layout, in KvShape shape, ulong views, int batch, ulong entries) =>
        commands.Launch(kernel!, new PageTableArguments
        {
            Views = views,
            Entries = entries,
            Table = TableOf(step, layout),
            Batch = (uint)batch,
            TokensPerBlockShift = shape.TokensPerBlockShift,
            GranulesPerBlockShift = shape.PageShift - (uint)int.Log2(KvShape.GranuleBytes),
        });

    private static long BytesOfLayout(KvLaneOptions options) => (2 * PagesBytes(options)) + (3 * LengthsBytes(options));

    private static long PagesBytes(KvLaneOptions options) => RoundUp((long)options.MaxBatch * options.MaxPages * sizeof(int));

    /// <summary>One more than sequences, for the end of the last one's pages.</summary>
    private static long LengthsBytes(KvLaneOptions options) => RoundUp((options.MaxBatch + 1L) * sizeof(int));

    private static long RoundUp(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;

    private static ulong Take(ref ulong address, long bytes)
    {
        var start = address;
        address += (ulong)bytes;
        return start;
    }
}
