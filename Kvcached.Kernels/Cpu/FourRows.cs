using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Kvcached.Kernels.Cpu;

/// <summary>
/// Scores and weighted values of up to four rows and 16 tokens at one stride, in AVX-512, straight from where the tokens are stored. Each element
/// is the chain of fused multiply-adds that <see cref="Panels{L, V}"/> computes.
/// <para>
/// With so few rows memory is what takes time. What is read after these tokens comes from memory to the second cache while they are computed, and
/// each line of theirs from there to the first one step ahead. A few lines at a time: of more at once than a core has line buffers for, it would
/// stand still until most have arrived.
/// </para>
/// </summary>
internal static unsafe class FourRows
{
    /// <summary>Tokens at a time.</summary>
    internal const int Tokens = 16;

    /// <summary>Rows of queries, scores and sums. Those beyond the last are multiplied all the same.</summary>
    internal const int Rows = 4;

    /// <summary>What the head dimension must be a multiple of.</summary>
    internal const int DimMultiple = 2 * Width;

    private const int Width = 16;
    private const int LineBytes = 64;

    internal static bool IsSupported => Avx512F.IsSupported;

    /// <summary>scores[token][row] = keys · queries.</summary>
    /// <param name="keys">The first token's key, as it is stored.</param>
    /// <param name="next">What is read next.</param>
    /// <param name="stride">Bytes from a token to the next, here and there.</param>
    /// <param name="queries">[dim][row].</param>
    /// <param name="scores">[token][row].</param>
    /// <param name="dim">Elements of a key.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static void Score<TElements>(byte* keys, byte* next, nint stride, float* queries, float* scores, int dim)
        where TElements : struct, IElements
    {
        Vector512<float> s0 = default, s1 = default, s2 = default, s3 = default;
        nint bytes = dim * TElements.Bytes;
        for (nint offset = 0; offset < bytes; offset += Width * TElements.Bytes, queries += Width * Rows)
        {
            if (offset % LineBytes == 0)
            {
                FetchFar(next + offset, stride);
                FetchNear(offset + LineBytes < bytes ? keys + offset + LineBytes : next, stride);
            }

            LoadEveryFourth<TElements>(keys + offset, stride, out var a0, out var a1, out var a2, out var a3);
            LoadEveryFourth<TElements>(keys + offset + stride, stride, out var b0, out var b1, out var b2, out var b3);
            LoadEveryFourth<TElements>(keys + offset + (2 * stride), stride, out var c0, out var c1, out var c2, out var c3);
            LoadEveryFourth<TElements>(keys + offset + (3 * stride), stride, out var d0, out var d1, out var d2, out var d3);
            AddFour(ref s0, ref s1, ref s2, ref s3, queries, a0, b0, c0, d0);
            AddFour(ref s0, ref s1, ref s2, ref s3, queries + (4 * Rows), a1, b1, c1, d1);
            AddFour(ref s0, ref s1, ref s2, ref s3, queries + (8 * Rows), a2, b2, c2, d2);
            AddFour(ref s0, ref s1, ref s2, ref s3, queries + (12 * Rows), a3, b3, c3, d3);
        }

        TransposeWithinQuarters(ref s0, ref s1, ref s2, ref s3);
        TransposeQuarters(ref s0, ref s1, ref s2, ref s3);
        s0.Store(scores);
        s1.Store(scores + Width);
        s2.Store(scores + (2 * Width));
        s3.Store(scores + (3 * Width));
    }

    /// <summary>sums[row] += weights · values.</summary>
    /// <param name="values">The first token's value, as it is stored.</param>
    /// <param name="next">What is read next.</param>
    /// <param name="stride">Bytes from a token to the next, here and there.</param>
    /// <param name="weights">[token][row].</param>
    /// <param name="sums">[row][dim].</param>
    /// <param name="dim">Elements of a value.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static void Add<TElements>(byte* values, byte* next, nint stride, float* weights, float* sums, int dim)
        where TElements : struct, IElements
    {
        for (nint i = 0; i < dim; i += DimMultiple, sums += DimMultiple)
        {
            var value = values + (i * TElements.Bytes);
            var near = i + DimMultiple < dim ? value + (DimMultiple * TElements.Bytes) : next;
            for (nint line = 0; line < DimMultiple * TElements.Bytes; line += LineBytes)
            {
                FetchFar(next + (i * TElements.Bytes) + line, stride);
                FetchNear(near + line, stride);
            }

            Load(sums, out var s00, out var s01);
            Load(sums + dim, out var s10, out var s11);
            Load(sums + (2 * dim), out var s20, out var s21);
            Load(sums + (3 * dim), out var s30, out var s31);
            for (var weight = weights; weight < weights + (Tokens * Rows); weight += Rows, value += stride)
            {
                var left = TElements.Load16(value);
                var right = TElements.Load16(value + (Width * TElements.Bytes));
                AddWeighted(ref s00, ref s01, weight[0], left, right);
                AddWeighted(ref s10, ref s11, weight[1], left, right);
                AddWeighted(ref s20, ref s21, weight[2], left, right);
                AddWeighted(ref s30, ref s31, weight[3], left, right);
            }

            Store(sums, s00, s01);
            Store(sums + dim, s10, s11);
            Store(sums + (2 * dim), s20, s21);
            Store(sums + (3 * dim), s30, s31);
        }
    }

    // Hints: they cannot fault, and nothing is computed from what they read. Far ones not to the first cache, where tokens a page apart share few sets.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FetchFar(byte* line, nint stride)
    {
        for (var i = 0; i < Tokens; i++, line += stride)
        {
            Sse.Prefetch1(line);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FetchNear(byte* line, nint stride)
    {
        for (var i = 0; i < Tokens; i++, line += stride)
        {
            Sse.Prefetch0(line);
        }
    }

    // 16 elements of tokens 0, 4, 8 and 12. Quarter q of vector i: elements 4i to 4i + 3 of token 4q.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadEveryFourth<TElements>(byte* tokens, nint stride, out Vector512<float> v0, out Vector512<float> v1, out Vector512<float> v2, out Vector512<float> v3)
        where TElements : struct, IElements
    {
        v0 = TElements.Load16(tokens);
        v1 = TElements.Load16(tokens + (4 * stride));
        v2 = TElements.Load16(tokens + (8 * stride));
        v3 = TElements.Load16(tokens + (12 * stride));
        TransposeQuarters(ref v0, ref v1, ref v2, ref v3);
    }

    // Four elements of all tokens, from vectors whose quarters hold those of one token each, in turn.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddFour(
        ref Vector512<float> s0,
        ref Vector512<float> s1,
        ref Vector512<float> s2,
        ref Vector512<float> s3,
        float* queries,
        Vector512<float> a,
        Vector512<float> b,
        Vector512<float> c,
        Vector512<float> d)
    {
        TransposeWithinQuarters(ref a, ref b, ref c, ref d);
        AddOne(ref s0, ref s1, ref s2, ref s3, queries, a);
        AddOne(ref s0, ref s1, ref s2, ref s3, queries + Rows, b);
        AddOne(ref s0, ref s1, ref s2, ref s3, queries + (2 * Rows), c);
        AddOne(ref s0, ref s1, ref s2, ref s3, queries + (3 * Rows), d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddOne(ref Vector512<float> s0, ref Vector512<float> s1, ref Vector512<float> s2, ref Vector512<float> s3, float* queries, Vector512<float> keys)
    {
        s0 = Vector512.FusedMultiplyAdd(Vector512.Create(queries[0]), keys, s0);
        s1 = Vector512.FusedMultiplyAdd(Vector512.Create(queries[1]), keys, s1);
        s2 = Vector512.FusedMultiplyAdd(Vector512.Create(queries[2]), keys, s2);
        s3 = Vector512.FusedMultiplyAdd(Vector512.Create(queries[3]), keys, s3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddWeighted(ref Vector512<float> left, ref Vector512<float> right, float weight, Vector512<float> leftValue, Vector512<float> rightValue)
    {
        var factor = Vector512.Create(weight);
        left = Vector512.FusedMultiplyAdd(factor, leftValue, left);
        right = Vector512.FusedMultiplyAdd(factor, rightValue, right);
    }

    // Quarter j of vector i becomes quarter i of vector j.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransposeQuarters(ref Vector512<float> a, ref Vector512<float> b, ref Vector512<float> c, ref Vector512<float> d)
    {
        const byte even = 0b10_00_10_00;
        const byte odd = 0b11_01_11_01;
        var abEven = Avx512F.Shuffle4x128(a, b, even);
        var abOdd = Avx512F.Shuffle4x128(a, b, odd);
        var cdEven = Avx512F.Shuffle4x128(c, d, even);
        var cdOdd = Avx512F.Shuffle4x128(c, d, odd);
        a = Avx512F.Shuffle4x128(abEven, cdEven, even);
        b = Avx512F.Shuffle4x128(abOdd, cdOdd, even);
        c = Avx512F.Shuffle4x128(abEven, cdEven, odd);
        d = Avx512F.Shuffle4x128(abOdd, cdOdd, odd);
    }

    // Element j of a quarter of vector i becomes element i of that quarter of vector j.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransposeWithinQuarters(ref Vector512<float> a, ref Vector512<float> b, ref Vector512<float> c, ref Vector512<float> d)
    {
        var abLow = Avx512F.UnpackLow(a, b).AsDouble();
        var abHigh = Avx512F.UnpackHigh(a, b).AsDouble();
        var cdLow = Avx512F.UnpackLow(c, d).AsDouble();
        var cdHigh = Avx512F.UnpackHigh(c, d).AsDouble();
        a = Avx512F.UnpackLow(abLow, cdLow).AsSingle();
        b = Avx512F.UnpackHigh(abLow, cdLow).AsSingle();
        c = Avx512F.UnpackLow(abHigh, cdHigh).AsSingle();
        d = Avx512F.UnpackHigh(abHigh, cdHigh).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Load(float* source, out Vector512<float> left, out Vector512<float> right)
    {
        left = Vector512.Load(source);
        right = Vector512.Load(source + Width);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* target, Vector512<float> left, Vector512<float> right)
    {
        left.Store(target);
        right.Store(target + Width);
    }
}
