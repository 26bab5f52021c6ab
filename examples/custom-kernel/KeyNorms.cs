using System.Runtime.InteropServices;
using Kvcached.Kernels;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Examples;

/// <summary>Arguments of <see cref="KeyNorms"/>, the same on every device. Addresses are those of <c>DeviceMemory.Address</c>.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
internal struct KeyNormsArguments
{
    /// <summary>Address of byte 0 of the pool.</summary>
    public ulong Pool;

    /// <summary>Address of the entry heap.</summary>
    public ulong Entries;

    /// <summary>Address of the step's views.</summary>
    public ulong Views;

    /// <summary>Address of float[<see cref="Batch"/>][<see cref="MaxTokens"/>]: the results. What belongs to a refused view is left untouched.</summary>
    public ulong Norms;

    /// <summary>Strides of the layout, whose elements are float32.</summary>
    public KvShape Shape;

    /// <summary>Views.</summary>
    public uint Batch;

    /// <summary>Layer in the layout.</summary>
    public uint Layer;

    /// <summary>Tokens of a sequence that <see cref="Norms"/> has room for.</summary>
    public uint MaxTokens;

    /// <summary>Zero.</summary>
    public uint Reserved;
}

/// <summary>A kernel of one's own: the sum of the squares of each token's keys in one layer, through views and entries.</summary>
internal static unsafe class KeyNorms
{
    public const string Name = "example.key_norms";

    /// <summary>For the cpu device: an item is one sequence.</summary>
    public static CpuKernel CpuKernel => new(Name, &Items, &Run);

    /// <summary>For devices that compile it: <c>gpu/key_norms.cl</c>, a group for each sequence.</summary>
    public static GpuKernel GpuKernel { get; } = new(
        Name,
        new GpuSource("key_norms", typeof(KeyNorms).Assembly, "key_norms.cl"),
        ["key_norms"],
        static (blob, _) => new GpuLaunch(0, GroupSize: 256, Kernels.Gpu.GpuKernel.ArgumentsAs<KeyNormsArguments>(blob).Batch),
        Offset(nameof(KeyNormsArguments.Pool)),
        Offset(nameof(KeyNormsArguments.Entries)),
        Offset(nameof(KeyNormsArguments.Views)),
        Offset(nameof(KeyNormsArguments.Norms)));

    private static int Offset(string field) => Kernels.Gpu.GpuKernel.OffsetOf<KeyNormsArguments>(field);

    private static int Items(void* blob) => (int)((KeyNormsArguments*)blob)->Batch;

    private static void Run(void* blob, int item, int worker)
    {
        var arguments = (KeyNormsArguments*)blob;
        ref readonly var view = ref ((SequenceView*)arguments->Views)[item];
        ref readonly var shape = ref arguments->Shape;
        var norms = (float*)arguments->Norms + ((long)item * arguments->MaxTokens);
        if ((view.Flags & ViewFlags.Refused) != 0)
        {
            return;
        }

        var end = uint.Min(view.TokenCount, arguments->MaxTokens);
        for (var token = view.FirstVisibleBlock << (int)shape.TokensPerBlockShift; token < end; token++)
        {
            var sum = 0f;
            for (var head = 0; head < shape.Heads; head++)
            {
                var key = (float*)(arguments->Pool + TableLookup.Offset(new Entries(arguments->Entries), view, shape, (int)token, (int)arguments->Layer, plane: 0, head));
                for (var i = 0; i < shape.HeadDim; i++)
                {
                    sum = float.FusedMultiplyAdd(key[i], key[i], sum);
                }
            }

            norms[token] = sum;
        }
    }

    private readonly struct Entries(ulong address) : IEntryTable
    {
        public uint Read(uint index) => ((uint*)address)[index];
    }
}
