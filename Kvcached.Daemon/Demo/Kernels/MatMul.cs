using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Kvcached.Kernels;

namespace Kvcached.Daemon.Demo.Kernels;

/// <summary>Arguments of <see cref="MatMul"/>: output[row][column] = or += sum over k of input[row][k] × weights[k][column].</summary>
internal struct MatMulArguments
{
    /// <summary>Address of float[Rows][Depth].</summary>
    public ulong Input;

    /// <summary>Address of the weights, packed by <see cref="MatMul.Pack"/>.</summary>
    public ulong Weights;

    /// <summary>Address of float[Rows][Columns].</summary>
    public ulong Output;

    /// <summary>Rows of input and output: the tokens of the step.</summary>
    public int Rows;

    /// <summary>Columns of the input.</summary>
    public int Depth;

    /// <summary>Columns of the output: a multiple of <see cref="MatMul.PanelColumns"/>.</summary>
    public int Columns;

    /// <summary>1 to add to what the output holds (a residual), 0 to overwrite it.</summary>
    public int Accumulate;
}

/// <summary>
/// Matrix product, batch-invariant bit for bit: every output element is one chain of fused multiply-adds over k = 0, 1, …, whatever the
/// number of rows and however they fall into tiles. Weights are packed once into panels of <see cref="PanelColumns"/> columns, so that a
/// tile reads them in order; a tile of 12 rows holds its 24 accumulators in registers.
/// <code>
///   packed:  panel 0: [k = 0: columns 0..31][k = 1: columns 0..31]…    panel 1: [k = 0: columns 32..63]…
/// </code>
/// </summary>
internal static unsafe partial class MatMul
{
    public const string Name = "demo.matmul";

    /// <summary>Columns of a panel: two vectors.</summary>
    public const int PanelColumns = 2 * Lanes;

    private const int Lanes = 16;

    public static CpuKernel Kernel => new(Name, &Items, &Run);

    /// <summary>Packs row-major weights [depth][columns] into panels.</summary>
    public static void Pack(ReadOnlySpan<float> weights, int depth, int columns, Span<float> packed)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(columns % PanelColumns, 0);
        for (var panel = 0; panel < columns / PanelColumns; panel++)
        {
            for (var k = 0; k < depth; k++)
            {
                weights.Slice((k * columns) + (panel * PanelColumns), PanelColumns)
                    .CopyTo(packed.Slice(((panel * depth) + k) * PanelColumns, PanelColumns));
            }
        }
    }

    private static int Items(void* arguments)
    {
        var a = (MatMulArguments*)arguments;
        return a->Rows == 0 ? 0 : a->Columns / PanelColumns;
    }

    private static void Run(void* arguments, int item, int worker)
    {
        var a = (MatMulArguments*)arguments;
        var depth = a->Depth;
        long stride = a->Columns;
        var panel = (float*)a->Weights + ((long)item * depth * PanelColumns);
        var input = (float*)a->Input;
        var output = (float*)a->Output + (item * PanelColumns);
        var accumulate = a->Accumulate != 0;
        for (var row = 0; row < a->Rows;)
        {
            var x = input + ((long)row * depth);
            var y = output + (row * stride);
            switch (a->Rows - row)
            {
                case >= 12:
                    Tile12(x, depth, panel, depth, y, stride, accumulate);
                    row += 12;
                    break;
                case >= 8:
                    Tile8(x, depth, panel, depth, y, stride, accumulate);
                    row += 8;
                    break;
                case >= 4:
                    Tile4(x, depth, panel, depth, y, stride, accumulate);
                    row += 4;
                    break;
                default:
                    Tile1(x, depth, panel, depth, y, stride, accumulate);
                    row++;
                    break;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* output, Vector512<float> left, Vector512<float> right, bool accumulate)
    {
        if (accumulate)
        {
            left += Vector512.Load(output);
            right += Vector512.Load(output + Lanes);
        }

        left.Store(output);
        right.Store(output + Lanes);
    }
}
