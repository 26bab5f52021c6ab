using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Kernels;

namespace Kvcached.Tests;

/// <summary>
/// What the README's example calls a model: a kernel that writes a pattern for the new tokens and compares the old ones with theirs, through
/// the views and entries that it finds, by the ABI alone.
/// </summary>
internal static unsafe class Forward
{
    public static CpuKernel Kernel => new("forward", &Items, &Run);

    public static void Launch(CommandList commands, KvCache cache, KvModel model, KvStep step, DeviceMemory tally) =>
        commands.Launch(cache.Device.LoadKernel("forward"), new Arguments
        {
            Views = step.ViewsAddress(),
            Entries = cache.EntriesAddress,
            Pool = cache.PoolAddress,
            Tally = tally.Address,
            Shape = model.Shape(),
        });

    public static Tally Read(DeviceMemory tally) => MemoryMarshal.Read<Tally>(tally.HostSpan(0, sizeof(Tally)));

    private static int Items(void* arguments) => 1;

    private static void Run(void* blob, int item, int worker)
    {
        var arguments = (Arguments*)blob;
        ref readonly var shape = ref arguments->Shape;
        ref readonly var view = ref *(SequenceView*)arguments->Views;
        var tally = (Tally*)arguments->Tally;
        if (view.Flags != ViewFlags.None)
        {
            tally->Refused++;
            return;
        }

        var firstNew = (int)(view.TokenCount - view.NewTokens);
        for (var token = 0; token < view.TokenCount; token++)
        {
            for (var part = 0u; part < shape.Layers * shape.Planes * shape.Heads; part++)
            {
                var (head, plane, layer) = (part % shape.Heads, part / shape.Heads % shape.Planes, part / shape.Heads / shape.Planes);
                var offset = TableLookup.Offset(new Heap(arguments->Entries), view, shape, token, (int)layer, (int)plane, (int)head);
                var elements = new Span<ulong>((byte*)arguments->Pool + offset, (int)(shape.HeadDim * shape.ElementBytes / sizeof(ulong)));
                var pattern = ((ulong)view.SequenceId << 48) | ((ulong)token << 16) | part;
                if (token >= firstNew)
                {
                    elements.Fill(pattern);
                    continue;
                }

                tally->Compared++;
                tally->Wrong += elements.IndexOfAnyExcept(pattern) >= 0 ? 1 : 0;
            }
        }
    }

    public struct Tally
    {
        public long Compared;
        public long Wrong;
        public long Refused;
    }

    private struct Arguments
    {
        public ulong Views;
        public ulong Entries;
        public ulong Pool;
        public ulong Tally;
        public KvShape Shape;
    }

    private readonly struct Heap(ulong address) : IEntryTable
    {
        public uint Read(uint index) => ((uint*)address)[index];
    }
}
