using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Kvcached.Kernels.Cpu;

/// <summary>
/// One row's state (m, l, acc) of a part of the tokens, and how the states of the parts become a result. Decode and prefill both merge
/// here, in ascending order of the parts, so that they give the same bits.
/// </summary>
internal unsafe struct PartialSum(float max, float sum, float* accumulator)
{
    internal float Max = max;
    internal float Sum = sum;
    internal readonly float* Accumulator = accumulator;

    /// <summary>Adds the part that follows.</summary>
    internal void Add(in PartialSum part, int dim)
    {
        if (float.IsNegativeInfinity(part.Max))
        {
            return;
        }

        if (float.IsNegativeInfinity(Max))
        {
            Max = part.Max;
            Sum = part.Sum;
            Buffer.MemoryCopy(part.Accumulator, Accumulator, dim * sizeof(float), dim * sizeof(float));
            return;
        }

        var max = float.Max(Max, part.Max);
        var own = Exp2(Max - max);
        var other = Exp2(part.Max - max);
        Max = max;
        Sum = float.FusedMultiplyAdd(Sum, own, part.Sum * other);
        Combine(Accumulator, own, part.Accumulator, other, dim);
    }

    /// <summary>acc / l; 0 where the row has seen nothing.</summary>
    internal readonly void WriteResult(float* output, int dim)
    {
        if (Sum == 0)
        {
            new Span<float>(output, dim).Clear();
            return;
        }

        var i = 0;
        for (; i <= dim - Vector256<float>.Count; i += Vector256<float>.Count)
        {
            (Vector256.Load(Accumulator + i) / Vector256.Create(Sum)).Store(output + i);
        }

        for (; i < dim; i++)
        {
            output[i] = Accumulator[i] / Sum;
        }
    }

    private static float Exp2(float value) => Softmax<Lanes128, Vector128<float>>.Exp2(Vector128.Create(value)).ToScalar();

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Combine(float* target, float own, float* part, float other, int dim)
    {
        var i = 0;
        for (; i <= dim - Vector256<float>.Count; i += Vector256<float>.Count)
        {
            var scaled = Vector256.Load(part + i) * Vector256.Create(other);
            Vector256.FusedMultiplyAdd(Vector256.Load(target + i), Vector256.Create(own), scaled).Store(target + i);
        }

        for (; i < dim; i++)
        {
            target[i] = float.FusedMultiplyAdd(target[i], own, part[i] * other);
        }
    }
}
