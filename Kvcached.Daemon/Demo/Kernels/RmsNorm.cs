using System.Runtime.Intrinsics;
using Kvcached.Kernels;

namespace Kvcached.Daemon.Demo.Kernels;

/// <summary>Arguments of <see cref="RmsNorm"/>.</summary>
internal struct RmsNormArguments
{
    /// <summary>Address of float[Rows][Hidden].</summary>
    public ulong Input;

    /// <summary>Address of float[Hidden].</summary>
    public ulong Gain;

    /// <summary>Address of float[Rows][Hidden], written.</summary>
    public ulong Output;

    /// <summary>Rows of the step.</summary>
    public int Rows;

    /// <summary>Hidden size: a multiple of 16.</summary>
    public int Hidden;
}

/// <summary>output = input / √(mean(input²) + ε) × gain, row by row.</summary>
internal static unsafe class RmsNorm
{
    public const string Name = "demo.rms_norm";

    public const float Epsilon = 1e-5f;

    public static CpuKernel Kernel => new(Name, &Items, &Run);

    private static int Items(void* arguments) => ((RmsNormArguments*)arguments)->Rows;

    private static void Run(void* arguments, int item, int worker)
    {
        var a = (RmsNormArguments*)arguments;
        var hidden = a->Hidden;
        var input = (float*)a->Input + ((long)item * hidden);
        var output = (float*)a->Output + ((long)item * hidden);
        var gain = (float*)a->Gain;
        var lanes = Vector512<float>.Count;
        var squares = Vector512<float>.Zero;
        for (var i = 0; i < hidden; i += lanes)
        {
            var x = Vector512.Load(input + i);
            squares = Vector512.FusedMultiplyAdd(x, x, squares);
        }

        var scale = Vector512.Create(1 / MathF.Sqrt((Vector512.Sum(squares) / hidden) + Epsilon));
        for (var i = 0; i < hidden; i += lanes)
        {
            (Vector512.Load(input + i) * scale * Vector512.Load(gain + i)).Store(output + i);
        }
    }
}
