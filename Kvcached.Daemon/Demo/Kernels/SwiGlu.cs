using System.Runtime.Intrinsics;
using Kvcached.Kernels;

namespace Kvcached.Daemon.Demo.Kernels;

/// <summary>Arguments of <see cref="SwiGlu"/>.</summary>
internal struct SwiGluArguments
{
    /// <summary>Address of float[Rows][2 × Columns]: gates, then values.</summary>
    public ulong Input;

    /// <summary>Address of float[Rows][Columns], written.</summary>
    public ulong Output;

    /// <summary>Rows of the step.</summary>
    public int Rows;

    /// <summary>Size of the feed-forward layer: a multiple of 16.</summary>
    public int Columns;
}

/// <summary>output = gate × sigmoid(gate) × value.</summary>
internal static unsafe class SwiGlu
{
    public const string Name = "demo.swiglu";

    public static CpuKernel Kernel => new(Name, &Items, &Run);

    private static int Items(void* arguments) => ((SwiGluArguments*)arguments)->Rows;

    private static void Run(void* arguments, int item, int worker)
    {
        var a = (SwiGluArguments*)arguments;
        var columns = a->Columns;
        var gates = (float*)a->Input + (2L * item * columns);
        var values = gates + columns;
        var output = (float*)a->Output + ((long)item * columns);
        for (var i = 0; i < columns; i += Vector512<float>.Count)
        {
            var gate = Vector512.Load(gates + i);
            var silu = gate / (Vector512<float>.One + Vector512.Exp(-gate));
            (silu * Vector512.Load(values + i)).Store(output + i);
        }
    }
}
