using System.Runtime.CompilerServices;

namespace Kvcached.Kernels.Cpu;

/// <summary>
/// The softmax's arithmetic, in powers of two: queries carry a factor log2(e). A state is (m, l, acc): the largest score so far, the sum of
/// 2^(score − m), and the sum of 2^(score − m) · value; of nothing at all it is (−∞, 0, 0).
/// </summary>
internal static unsafe class Softmax<L, V>
    where L : struct, ILanes<V>
    where V : struct
{
    // 1.5 · 2^23: adding it leaves a small number's nearest integer in the low bits.
    private const float RoundingShift = 12582912f;
    private const float SmallestExponent = -126f;

    /// <summary>
    /// Takes tokens <paramref name="first"/> to <paramref name="end"/> − 1 of a tile into (m, l) and turns their scores into weights, one
    /// lane per row. A row sees the tokens from its low to below its high; other scores may be anything and their weights become 0.
    /// </summary>
    /// <param name="scores">[token][rows], scores in and weights out.</param>
    /// <param name="rows">A multiple of the lanes.</param>
    /// <param name="first">First token.</param>
    /// <param name="end">Token after the last.</param>
    /// <param name="masked">Whether any row sees fewer tokens than all.</param>
    /// <param name="state">Per row: low, high, m, l, and the factor by which acc must be scaled (out).</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static void Update(float* scores, int rows, int first, int end, bool masked, in RowState state)
    {
        var infinity = L.Broadcast(float.NegativeInfinity);
        for (var row = 0; row < rows; row += L.Count)
        {
            var low = L.Load(state.Low + row);
            var high = L.Load(state.High + row);
            var old = L.Load(state.Max + row);
            var max = old;
            for (var token = first; token < end; token++)
            {
                var at = scores + (token * rows) + row;
                var score = L.Load(at);
                if (masked)
                {
                    var position = L.Broadcast(token);
                    score = L.SelectLess(position, low, infinity, L.SelectLess(position, high, score, infinity));
                    L.Store(score, at);
                }

                max = L.Max(score, max);
            }

            // A row that has seen nothing has no largest score; any finite one keeps its weights at 0.
            var origin = L.SelectLess(max, L.Broadcast(float.MinValue), default, max);
            var sum = default(V);
            for (var token = first; token < end; token++)
            {
                var at = scores + (token * rows) + row;
                var weight = Exp2(L.Subtract(L.Load(at), origin));
                L.Store(weight, at);
                sum = L.Add(sum, weight);
            }

            var scale = Exp2(L.Subtract(old, origin));
            L.Store(max, state.Max + row);
            L.Store(scale, state.Scale + row);
            L.Store(L.MultiplyAdd(L.Load(state.Sum + row), scale, sum), state.Sum + row);
        }
    }

    /// <summary>2^x for x ≤ 0, to 1 in 10^7; 0 below the normal numbers, −∞ included.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static V Exp2(V x)
    {
        var shifted = L.Add(x, L.Broadcast(RoundingShift));
        var fraction = L.Subtract(x, L.Subtract(shifted, L.Broadcast(RoundingShift)));

        // 2^f on [-1/2, 1/2].
        var power = L.Broadcast(1.535336188319500e-4f);
        power = L.MultiplyAdd(power, fraction, L.Broadcast(1.339887440266574e-3f));
        power = L.MultiplyAdd(power, fraction, L.Broadcast(9.618437357674640e-3f));
        power = L.MultiplyAdd(power, fraction, L.Broadcast(5.550332471162809e-2f));
        power = L.MultiplyAdd(power, fraction, L.Broadcast(2.402264791363012e-1f));
        power = L.MultiplyAdd(power, fraction, L.Broadcast(6.931472028550421e-1f));
        power = L.MultiplyAdd(power, fraction, L.Broadcast(1f));
        return L.SelectLess(x, L.Broadcast(SmallestExponent), default, L.AddExponent(power, shifted));
    }

    /// <summary>target[i] *= scale for a multiple of the lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static void Scale(float* target, int count, float scale)
    {
        var factor = L.Broadcast(scale);
        for (var i = 0; i < count; i += L.Count)
        {
            L.Store(L.Multiply(L.Load(target + i), factor), target + i);
        }
    }
}

/// <summary>The vectors of an attention tile that have one number per row.</summary>
internal readonly unsafe struct RowState(float* memory, int rows)
{
    /// <summary>Vectors in a state.</summary>
    internal const int Vectors = 5;

    /// <summary>First token of the tile that the row sees, counted from the tile's start.</summary>
    internal readonly float* Low = memory;

    /// <summary>The token after the last that the row sees.</summary>
    internal readonly float* High = memory + rows;

    /// <summary>m.</summary>
    internal readonly float* Max = memory + (2 * rows);

    /// <summary>l.</summary>
    internal readonly float* Sum = memory + (3 * rows);

    /// <summary>What acc is to be scaled by.</summary>
    internal readonly float* Scale = memory + (4 * rows);
}
