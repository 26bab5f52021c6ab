using System.Runtime.Intrinsics;
using Kvcached.Kernels;

namespace Kvcached.Daemon.Demo.Kernels;

/// <summary>Arguments of <see cref="Rope"/>.</summary>
internal struct RopeArguments
{
    /// <summary>Address of RowInfo[Rows].</summary>
    public ulong RowInfos;

    /// <summary>Address of float[positions][HeadDim]: HeadDim/2 cosines, then as many sines.</summary>
    public ulong Table;

    /// <summary>Address of float[Rows][HeadCount][HeadDim], changed in place.</summary>
    public ulong Heads;

    /// <summary>Rows of the step.</summary>
    public int Rows;

    /// <summary>Heads of a row.</summary>
    public int HeadCount;

    /// <summary>Elements of a head: a multiple of 32.</summary>
    public int HeadDim;
}

/// <summary>Rotary position embedding: turns the pair (i, i + HeadDim/2) of each head by the row's position.</summary>
internal static unsafe class Rope
{
    public const string Name = "demo.rope";

    public static CpuKernel Kernel => new(Name, &Items, &Run);

    /// <summary>Fills the table of cosines and sines.</summary>
    public static void FillTable(Span<float> table, int positions, int headDim)
    {
        var half = headDim / 2;
        for (var position = 0; position < positions; position++)
        {
            for (var i = 0; i < half; i++)
            {
                var angle = position * Math.Pow(10_000, -2.0 * i / headDim);
                table[(position * headDim) + i] = (float)Math.Cos(angle);
                table[(position * headDim) + half + i] = (float)Math.Sin(angle);
            }
        }
    }

    private static int Items(void* arguments) => ((RopeArguments*)arguments)->Rows;

    private static void Run(void* arguments, int item, int worker)
    {
        var a = (RopeArguments*)arguments;
        var half = a->HeadDim / 2;
        var cosines = (float*)a->Table + ((long)((RowInfo*)a->RowInfos)[item].Position * a->HeadDim);
        var sines = cosines + half;
        var head = (float*)a->Heads + ((long)item * a->HeadCount * a->HeadDim);
        for (var h = 0; h < a->HeadCount; h++, head += a->HeadDim)
        {
            for (var i = 0; i < half; i += Vector512<float>.Count)
            {
                var x = Vector512.Load(head + i);
                var y = Vector512.Load(head + half + i);
                var cosine = Vector512.Load(cosines + i);
                var sine = Vector512.Load(sines + i);
                ((x * cosine) - (y * sine)).Store(head + i);
                ((x * sine) + (y * cosine)).Store(head + half + i);
            }
        }
    }
}
