using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Kvcached.Kernels.Cpu;

/// <summary>The general way: any number of rows, any head dimension, any vectors. Keys or values of a group of tokens are widened to memory.</summary>
internal unsafe partial struct AttentionRows
{
    private readonly void ScoreWidened<TSource, TElements>(in HeadTokens<TSource> tokens, int tile, int start, int from, int to)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        Widen<TSource, TElements>(tokens, KvPlane.Key, tile + from, tile + to, _step + ((from - start) * _plan.PaddedDim));
        ComputeScores(start, from, to);
    }

    private readonly void AddWidened<TSource, TElements>(in HeadTokens<TSource> tokens, int tile, int start, int from, int to)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        Widen<TSource, TElements>(tokens, KvPlane.Value, tile + from, tile + to, _step + ((from - start) * _plan.PaddedDim));
        AddValues(start, from, to);
    }

    // Tokens from to to - 1 of one plane to float32, one entry read per block. What is widened next, the values of these tokens or the keys of
    // the next tile, is fetched meanwhile: rows of blocks are too short for the processor to see a pattern in time.
    private readonly void Widen<TSource, TElements>(in HeadTokens<TSource> tokens, KvPlane plane, int from, int to, float* target)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        var bytes = _plan.Dim * TElements.Bytes;
        for (var token = from; token < to;)
        {
            var elements = tokens.Locate(plane, token, out var run);
            run = int.Min(run, to - token);
            var next = plane == KvPlane.Key
                ? tokens.Locate(KvPlane.Value, token, out _)
                : tokens.Locate(KvPlane.Key, int.Min(token + AttentionPlan.TileTokens, End - 1), out _);
            token += run;
            for (; run > 0; run--, elements += tokens.Stride, next += tokens.Stride, target += _plan.PaddedDim)
            {
                Prefetch(next, bytes);
                TElements.Widen(elements, target, _plan.Dim);
            }
        }
    }

    // A hint: it cannot fault, and reads nothing that a kernel computes with.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(byte* address, int bytes)
    {
        if (Sse.IsSupported)
        {
            const int lineBytes = 64;
            for (var i = 0; i < bytes; i += lineBytes)
            {
                Sse.Prefetch0(address + i);
            }
        }
    }

    // Scores of tokens in whole groups of eight; those before from and from to on are of no meaning.
    private readonly void ComputeScores(int start, int from, int to)
    {
        const int group = 8;
        var rows = _plan.PaddedRows;
        for (var token = from & -group; token < to; token += group)
        {
            var keys = _step + ((token - start) * _plan.PaddedDim);
            var scores = _scores + (token * rows);
            switch (rows)
            {
                case 4:
                    Panels<Lanes128, Vector128<float>>.Product8x1(keys, _plan.PaddedDim, _queries, rows, scores, rows, _plan.Dim);
                    break;
                case >= 32 when Vector512.IsHardwareAccelerated:
                    for (var row = 0; row < rows; row += 32)
                    {
                        Panels<Lanes512, Vector512<float>>.Product8x2(keys, _plan.PaddedDim, _queries + row, rows, scores + row, rows, _plan.Dim);
                    }

                    break;
                case 16 when Vector512.IsHardwareAccelerated:
                    Panels<Lanes512, Vector512<float>>.Product8x1(keys, _plan.PaddedDim, _queries, rows, scores, rows, _plan.Dim);
                    break;
                default:
                    for (var row = 0; row < rows; row += 8)
                    {
                        Panels<Lanes256, Vector256<float>>.Product8x1(keys, _plan.PaddedDim, _queries + row, rows, scores + row, rows, _plan.Dim);
                    }

                    break;
            }
        }
    }

    private readonly void AddValues(int start, int from, int to)
    {
        if (Vector512.IsHardwareAccelerated)
        {
            AddValues<Lanes512, Vector512<float>>(start, from, to);
        }
        else
        {
            AddValues<Lanes256, Vector256<float>>(start, from, to);
        }
    }

    // Rows go in groups over the tokens that all of the group see; what one sees beyond those, it takes alone.
    private readonly void AddValues<L, V>(int start, int from, int to)
        where L : struct, ILanes<V>
        where V : struct
    {
        var rows = _plan.PaddedRows;
        var group = int.Min(rows, 8);
        for (var row = 0; row < _plan.Rows; row += group)
        {
            var low = from;
            var high = to;
            for (var i = row; i < row + group; i++)
            {
                low = int.Max(low, (int)_state.Low[i]);
                high = int.Min(high, (int)_state.High[i]);
            }

            if (low >= high)
            {
                low = high = to;
            }

            AddValuesAlone<L, V>(row, group, start, from, low);
            AddValuesTogether<L, V>(row, group, start, low, high);
            AddValuesAlone<L, V>(row, group, start, high, to);
        }
    }

    private readonly void AddValuesTogether<L, V>(int row, int group, int start, int from, int to)
        where L : struct, ILanes<V>
        where V : struct
    {
        if (from >= to)
        {
            return;
        }

        nint rows = _plan.PaddedRows;
        nint dims = _plan.PaddedDim;
        var weights = _scores + (from * rows) + row;
        var values = _step + ((from - start) * dims);
        var sums = _part + (row * dims);
        for (nint dim = 0; dim < dims; dim += 2 * L.Count)
        {
            if (group == 4)
            {
                Panels<L, V>.Accumulate4x2(weights, rows, values + dim, dims, sums + dim, dims, to - from);
            }
            else
            {
                Panels<L, V>.Accumulate8x2(weights, rows, values + dim, dims, sums + dim, dims, to - from);
            }
        }
    }

    private readonly void AddValuesAlone<L, V>(int row, int group, int start, int from, int to)
        where L : struct, ILanes<V>
        where V : struct
    {
        if (from >= to)
        {
            return;
        }

        nint dims = _plan.PaddedDim;
        for (var i = row; i < int.Min(row + group, _plan.Rows); i++)
        {
            var low = int.Max(from, (int)_state.Low[i]);
            var high = int.Min(to, (int)_state.High[i]);
            for (nint dim = 0; dim < dims && low < high; dim += 2 * L.Count)
            {
                var weights = _scores + (low * _plan.PaddedRows) + i;
                Panels<L, V>.Accumulate1x2(weights, _plan.PaddedRows, _step + ((low - start) * dims) + dim, dims, _part + (i * dims) + dim, high - low);
            }
        }
    }
}
