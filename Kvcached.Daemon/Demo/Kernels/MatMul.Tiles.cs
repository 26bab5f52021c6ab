using System.Runtime.Intrinsics;

namespace Kvcached.Daemon.Demo.Kernels;

/// <content>
/// The register tiles: 12, 8, 4 and 1 rows of one panel. They differ in the number of rows alone; each keeps its accumulators in named
/// locals, since that is what the compiler puts into registers.
/// </content>
internal static unsafe partial class MatMul
{
    private static void Tile12(float* input, long inputStride, float* panel, int depth, float* output, long outputStride, bool accumulate)
    {
        var left0 = Vector512<float>.Zero;
        var right0 = Vector512<float>.Zero;
        var left1 = Vector512<float>.Zero;
        var right1 = Vector512<float>.Zero;
        var left2 = Vector512<float>.Zero;
        var right2 = Vector512<float>.Zero;
        var left3 = Vector512<float>.Zero;
        var right3 = Vector512<float>.Zero;
        var left4 = Vector512<float>.Zero;
        var right4 = Vector512<float>.Zero;
        var left5 = Vector512<float>.Zero;
        var right5 = Vector512<float>.Zero;
        var left6 = Vector512<float>.Zero;
        var right6 = Vector512<float>.Zero;
        var left7 = Vector512<float>.Zero;
        var right7 = Vector512<float>.Zero;
        var left8 = Vector512<float>.Zero;
        var right8 = Vector512<float>.Zero;
        var left9 = Vector512<float>.Zero;
        var right9 = Vector512<float>.Zero;
        var left10 = Vector512<float>.Zero;
        var right10 = Vector512<float>.Zero;
        var left11 = Vector512<float>.Zero;
        var right11 = Vector512<float>.Zero;
        var input1 = input + inputStride;
        var input2 = input + 2 * inputStride;
        var input3 = input + 3 * inputStride;
        var input4 = input + 4 * inputStride;
        var input5 = input + 5 * inputStride;
        var input6 = input + 6 * inputStride;
        var input7 = input + 7 * inputStride;
        var input8 = input + 8 * inputStride;
        var input9 = input + 9 * inputStride;
        var input10 = input + 10 * inputStride;
        var input11 = input + 11 * inputStride;
        for (var k = 0; k < depth; k++)
        {
            var left = Vector512.Load(panel);
            var right = Vector512.Load(panel + Lanes);
            panel += PanelColumns;
            var x0 = Vector512.Create(input[k]);
            left0 = Vector512.FusedMultiplyAdd(x0, left, left0);
            right0 = Vector512.FusedMultiplyAdd(x0, right, right0);
            var x1 = Vector512.Create(input1[k]);
            left1 = Vector512.FusedMultiplyAdd(x1, left, left1);
            right1 = Vector512.FusedMultiplyAdd(x1, right, right1);
            var x2 = Vector512.Create(input2[k]);
            left2 = Vector512.FusedMultiplyAdd(x2, left, left2);
            right2 = Vector512.FusedMultiplyAdd(x2, right, right2);
            var x3 = Vector512.Create(input3[k]);
            left3 = Vector512.FusedMultiplyAdd(x3, left, left3);
            right3 = Vector512.FusedMultiplyAdd(x3, right, right3);
            var x4 = Vector512.Create(input4[k]);
            left4 = Vector512.FusedMultiplyAdd(x4, left, left4);
            right4 = Vector512.FusedMultiplyAdd(x4, right, right4);
            var x5 = Vector512.Create(input5[k]);
            left5 = Vector512.FusedMultiplyAdd(x5, left, left5);
            right5 = Vector512.FusedMultiplyAdd(x5, right, right5);
            var x6 = Vector512.Create(input6[k]);
            left6 = Vector512.FusedMultiplyAdd(x6, left, left6);
            right6 = Vector512.FusedMultiplyAdd(x6, right, right6);
            var x7 = Vector512.Create(input7[k]);
            left7 = Vector512.FusedMultiplyAdd(x7, left, left7);
            right7 = Vector512.FusedMultiplyAdd(x7, right, right7);
            var x8 = Vector512.Create(input8[k]);
            left8 = Vector512.FusedMultiplyAdd(x8, left, left8);
            right8 = Vector512.FusedMultiplyAdd(x8, right, right8);
            var x9 = Vector512.Create(input9[k]);
            left9 = Vector512.FusedMultiplyAdd(x9, left, left9);
            right9 = Vector512.FusedMultiplyAdd(x9, right, right9);
            var x10 = Vector512.Create(input10[k]);
            left10 = Vector512.FusedMultiplyAdd(x10, left, left10);
            right10 = Vector512.FusedMultiplyAdd(x10, right, right10);
            var x11 = Vector512.Create(input11[k]);
            left11 = Vector512.FusedMultiplyAdd(x11, left, left11);
            right11 = Vector512.FusedMultiplyAdd(x11, right, right11);
        }

        Store(output, left0, right0, accumulate);
        Store(output + outputStride, left1, right1, accumulate);
        Store(output + 2 * outputStride, left2, right2, accumulate);
        Store(output + 3 * outputStride, left3, right3, accumulate);
        Store(output + 4 * outputStride, left4, right4, accumulate);
        Store(output + 5 * outputStride, left5, right5, accumulate);
        Store(output + 6 * outputStride, left6, right6, accumulate);
        Store(output + 7 * outputStride, left7, right7, accumulate);
        Store(output + 8 * outputStride, left8, right8, accumulate);
        Store(output + 9 * outputStride, left9, right9, accumulate);
        Store(output + 10 * outputStride, left10, right10, accumulate);
        Store(output + 11 * outputStride, left11, right11, accumulate);
    }

    private static void Tile8(float* input, long inputStride, float* panel, int depth, float* output, long outputStride, bool accumulate)
    {
        var left0 = Vector512<float>.Zero;
        var right0 = Vector512<float>.Zero;
        var left1 = Vector512<float>.Zero;
        var right1 = Vector512<float>.Zero;
        var left2 = Vector512<float>.Zero;
        var right2 = Vector512<float>.Zero;
        var left3 = Vector512<float>.Zero;
        var right3 = Vector512<float>.Zero;
        var left4 = Vector512<float>.Zero;
        var right4 = Vector512<float>.Zero;
        var left5 = Vector512<float>.Zero;
        var right5 = Vector512<float>.Zero;
        var left6 = Vector512<float>.Zero;
        var right6 = Vector512<float>.Zero;
        var left7 = Vector512<float>.Zero;
        var right7 = Vector512<float>.Zero;
        var input1 = input + inputStride;
        var input2 = input + 2 * inputStride;
        var input3 = input + 3 * inputStride;
        var input4 = input + 4 * inputStride;
        var input5 = input + 5 * inputStride;
        var input6 = input + 6 * inputStride;
        var input7 = input + 7 * inputStride;
        for (var k = 0; k < depth; k++)
        {
            var left = Vector512.Load(panel);
            var right = Vector512.Load(panel + Lanes);
            panel += PanelColumns;
            var x0 = Vector512.Create(input[k]);
            left0 = Vector512.FusedMultiplyAdd(x0, left, left0);
            right0 = Vector512.FusedMultiplyAdd(x0, right, right0);
            var x1 = Vector512.Create(input1[k]);
            left1 = Vector512.FusedMultiplyAdd(x1, left, left1);
            right1 = Vector512.FusedMultiplyAdd(x1, right, right1);
            var x2 = Vector512.Create(input2[k]);
            left2 = Vector512.FusedMultiplyAdd(x2, left, left2);
            right2 = Vector512.FusedMultiplyAdd(x2, right, right2);
            var x3 = Vector512.Create(input3[k]);
            left3 = Vector512.FusedMultiplyAdd(x3, left, left3);
            right3 = Vector512.FusedMultiplyAdd(x3, right, right3);
            var x4 = Vector512.Create(input4[k]);
            left4 = Vector512.FusedMultiplyAdd(x4, left, left4);
            right4 = Vector512.FusedMultiplyAdd(x4, right, right4);
            var x5 = Vector512.Create(input5[k]);
            left5 = Vector512.FusedMultiplyAdd(x5, left, left5);
            right5 = Vector512.FusedMultiplyAdd(x5, right, right5);
            var x6 = Vector512.Create(input6[k]);
            left6 = Vector512.FusedMultiplyAdd(x6, left, left6);
            right6 = Vector512.FusedMultiplyAdd(x6, right, right6);
            var x7 = Vector512.Create(input7[k]);
            left7 = Vector512.FusedMultiplyAdd(x7, left, left7);
            right7 = Vector512.FusedMultiplyAdd(x7, right, right7);
        }

        Store(output, left0, right0, accumulate);
        Store(output + outputStride, left1, right1, accumulate);
        Store(output + 2 * outputStride, left2, right2, accumulate);
        Store(output + 3 * outputStride, left3, right3, accumulate);
        Store(output + 4 * outputStride, left4, right4, accumulate);
        Store(output + 5 * outputStride, left5, right5, accumulate);
        Store(output + 6 * outputStride, left6, right6, accumulate);
        Store(output + 7 * outputStride, left7, right7, accumulate);
    }

    private static void Tile4(float* input, long inputStride, float* panel, int depth, float* output, long outputStride, bool accumulate)
    {
        var left0 = Vector512<float>.Zero;
        var right0 = Vector512<float>.Zero;
        var left1 = Vector512<float>.Zero;
        var right1 = Vector512<float>.Zero;
        var left2 = Vector512<float>.Zero;
        var right2 = Vector512<float>.Zero;
        var left3 = Vector512<float>.Zero;
        var right3 = Vector512<float>.Zero;
        var input1 = input + inputStride;
        var input2 = input + 2 * inputStride;
        var input3 = input + 3 * inputStride;
        for (var k = 0; k < depth; k++)
        {
            var left = Vector512.Load(panel);
            var right = Vector512.Load(panel + Lanes);
            panel += PanelColumns;
            var x0 = Vector512.Create(input[k]);
            left0 = Vector512.FusedMultiplyAdd(x0, left, left0);
            right0 = Vector512.FusedMultiplyAdd(x0, right, right0);
            var x1 = Vector512.Create(input1[k]);
            left1 = Vector512.FusedMultiplyAdd(x1, left, left1);
            right1 = Vector512.FusedMultiplyAdd(x1, right, right1);
            var x2 = Vector512.Create(input2[k]);
            left2 = Vector512.FusedMultiplyAdd(x2, left, left2);
            right2 = Vector512.FusedMultiplyAdd(x2, right, right2);
            var x3 = Vector512.Create(input3[k]);
            left3 = Vector512.FusedMultiplyAdd(x3, left, left3);
            right3 = Vector512.FusedMultiplyAdd(x3, right, right3);
        }

        Store(output, left0, right0, accumulate);
        Store(output + outputStride, left1, right1, accumulate);
        Store(output + 2 * outputStride, left2, right2, accumulate);
        Store(output + 3 * outputStride, left3, right3, accumulate);
    }

    private static void Tile1(float* input, long inputStride, float* panel, int depth, float* output, long outputStride, bool accumulate)
    {
        var left0 = Vector512<float>.Zero;
        var right0 = Vector512<float>.Zero;
        for (var k = 0; k < depth; k++)
        {
            var left = Vector512.Load(panel);
            var right = Vector512.Load(panel + Lanes);
            panel += PanelColumns;
            var x0 = Vector512.Create(input[k]);
            left0 = Vector512.FusedMultiplyAdd(x0, left, left0);
            right0 = Vector512.FusedMultiplyAdd(x0, right, right0);
        }

        Store(output, left0, right0, accumulate);
    }
}
