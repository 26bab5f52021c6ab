using System.Runtime.CompilerServices;

namespace Kvcached.Kernels.Cpu;

/// <summary>
/// Products of small float32 matrices, c += a · b or c = a · b. Every element of c is one chain of fused multiply-adds in ascending k,
/// whatever the sizes and the vector width: that makes results independent of how rows and tokens are grouped.
/// Rows of c and b are vectors; a is read element by element. L is a vector's lanes, V the vector.
/// </summary>
internal static unsafe class Panels<L, V>
    where L : struct, ILanes<V>
    where V : struct
{
    /// <summary>c[8][2 vectors] = a · b with the rows of a <paramref name="lda"/> apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static void Product8x2(float* a, nint lda, float* b, nint ldb, float* c, nint ldc, int k)
    {
        V c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default, c30 = default, c31 = default;
        V c40 = default, c41 = default, c50 = default, c51 = default, c60 = default, c61 = default, c70 = default, c71 = default;
        var upper = a + (4 * lda);
        var lda2 = 2 * lda;
        var lda3 = 3 * lda;
        for (; k > 0; k--, a++, upper++, b += ldb)
        {
            var b0 = L.Load(b);
            var b1 = L.Load(b + L.Count);
            Add(ref c00, ref c01, a[0], b0, b1);
            Add(ref c10, ref c11, a[lda], b0, b1);
            Add(ref c20, ref c21, a[lda2], b0, b1);
            Add(ref c30, ref c31, a[lda3], b0, b1);
            Add(ref c40, ref c41, upper[0], b0, b1);
            Add(ref c50, ref c51, upper[lda], b0, b1);
            Add(ref c60, ref c61, upper[lda2], b0, b1);
            Add(ref c70, ref c71, upper[lda3], b0, b1);
        }

        Store(c, c00, c01);
        Store(c + ldc, c10, c11);
        Store(c + (2 * ldc), c20, c21);
        Store(c + (3 * ldc), c30, c31);
        Store(c + (4 * ldc), c40, c41);
        Store(c + (5 * ldc), c50, c51);
        Store(c + (6 * ldc), c60, c61);
        Store(c + (7 * ldc), c70, c71);
    }

    /// <summary>c[8][1 vector] = a · b with the rows of a <paramref name="lda"/> apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static void Product8x1(float* a, nint lda, float* b, nint ldb, float* c, nint ldc, int k)
    {
        V c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default, c6 = default, c7 = default;
        var upper = a + (4 * lda);
        var lda2 = 2 * lda;
        var lda3 = 3 * lda;
        for (; k > 0; k--, a++, upper++, b += ldb)
        {
            var b0 = L.Load(b);
            c0 = L.MultiplyAdd(L.Broadcast(a[0]), b0, c0);
            c1 = L.MultiplyAdd(L.Broadcast(a[lda]), b0, c1);
            c2 = L.MultiplyAdd(L.Broadcast(a[lda2]), b0, c2);
            c3 = L.MultiplyAdd(L.Broadcast(a[lda3]), b0, c3);
            c4 = L.MultiplyAdd(L.Broadcast(upper[0]), b0, c4);
            c5 = L.MultiplyAdd(L.Broadcast(upper[lda]), b0, c5);
            c6 = L.MultiplyAdd(L.Broadcast(upper[lda2]), b0, c6);
            c7 = L.MultiplyAdd(L.Broadcast(upper[lda3]), b0, c7);
        }

        L.Store(c0, c);
        L.Store(c1, c + ldc);
        L.Store(c2, c + (2 * ldc));
        L.Store(c3, c + (3 * ldc));
        L.Store(c4, c + (4 * ldc));
        L.Store(c5, c + (5 * ldc));
        L.Store(c6, c + (6 * ldc));
        L.Store(c7, c + (7 * ldc));
    }

    /// <summary>c[8][2 vectors] += aᵀ · b: element (i, k) of the factor is a[k * lda + i].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static void Accumulate8x2(float* a, nint lda, float* b, nint ldb, float* c, nint ldc, int k)
    {
        Load(c, out var c00, out var c01);
        Load(c + ldc, out var c10, out var c11);
        Load(c + (2 * ldc), out var c20, out var c21);
        Load(c + (3 * ldc), out var c30, out var c31);
        Load(c + (4 * ldc), out var c40, out var c41);
        Load(c + (5 * ldc), out var c50, out var c51);
        Load(c + (6 * ldc), out var c60, out var c61);
        Load(c + (7 * ldc), out var c70, out var c71);
        for (; k > 0; k--, a += lda, b += ldb)
        {
            var b0 = L.Load(b);
            var b1 = L.Load(b + L.Count);
            Add(ref c00, ref c01, a[0], b0, b1);
            Add(ref c10, ref c11, a[1], b0, b1);
            Add(ref c20, ref c21, a[2], b0, b1);
            Add(ref c30, ref c31, a[3], b0, b1);
            Add(ref c40, ref c41, a[4], b0, b1);
            Add(ref c50, ref c51, a[5], b0, b1);
            Add(ref c60, ref c61, a[6], b0, b1);
            Add(ref c70, ref c71, a[7], b0, b1);
        }

        Store(c, c00, c01);
        Store(c + ldc, c10, c11);
        Store(c + (2 * ldc), c20, c21);
        Store(c + (3 * ldc), c30, c31);
        Store(c + (4 * ldc), c40, c41);
        Store(c + (5 * ldc), c50, c51);
        Store(c + (6 * ldc), c60, c61);
        Store(c + (7 * ldc), c70, c71);
    }

    /// <summary>c[4][2 vectors] += aᵀ · b: element (i, k) of the factor is a[k * lda + i].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static void Accumulate4x2(float* a, nint lda, float* b, nint ldb, float* c, nint ldc, int k)
    {
        Load(c, out var c00, out var c01);
        Load(c + ldc, out var c10, out var c11);
        Load(c + (2 * ldc), out var c20, out var c21);
        Load(c + (3 * ldc), out var c30, out var c31);
        for (; k > 0; k--, a += lda, b += ldb)
        {
            var b0 = L.Load(b);
            var b1 = L.Load(b + L.Count);
            Add(ref c00, ref c01, a[0], b0, b1);
            Add(ref c10, ref c11, a[1], b0, b1);
            Add(ref c20, ref c21, a[2], b0, b1);
            Add(ref c30, ref c31, a[3], b0, b1);
        }

        Store(c, c00, c01);
        Store(c + ldc, c10, c11);
        Store(c + (2 * ldc), c20, c21);
        Store(c + (3 * ldc), c30, c31);
    }

    /// <summary>c[1][2 vectors] += aᵀ · b: element k of the factor is a[k * lda].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    internal static void Accumulate1x2(float* a, nint lda, float* b, nint ldb, float* c, int k)
    {
        Load(c, out var c00, out var c01);
        for (; k > 0; k--, a += lda, b += ldb)
        {
            Add(ref c00, ref c01, a[0], L.Load(b), L.Load(b + L.Count));
        }

        Store(c, c00, c01);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(ref V left, ref V right, float a, V b0, V b1)
    {
        var factor = L.Broadcast(a);
        left = L.MultiplyAdd(factor, b0, left);
        right = L.MultiplyAdd(factor, b1, right);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Load(float* source, out V left, out V right)
    {
        left = L.Load(source);
        right = L.Load(source + L.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* target, V left, V right)
    {
        L.Store(left, target);
        L.Store(right, target + L.Count);
    }
}
