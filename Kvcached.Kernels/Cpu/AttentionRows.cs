using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Kvcached.Kernels.Cpu;

/// <summary>
/// Attention of a few rows, (position, query head) pairs of one sequence that share a KV head, to the tokens of that sequence.
/// <code>
///   part of 256 tokens:   (m, l, acc) starts empty
///     tile of 64 tokens:    scores[token][row] = K · Q      one chain of fused multiply-adds over the dimension
///                           m, l, weights                   one lane per row
///                           acc[row][dim] += weights · V    one chain over the tokens
///   parts are merged in ascending order by PartialSum
/// </code>
/// Parts and tiles begin at multiples of their size, and each row takes exactly the tokens that it sees, in order. So a row's result is a
/// function of its query, its visible keys and values and its position: not of other rows, of the batch, of how prompts are cut, or of
/// where blocks lie. Tokens that no row sees are not read.
/// </summary>
internal unsafe struct AttentionRows
{
    private const float Log2E = 1.44269504088896341f;
    private const int KeyPlane = 0;
    private const int ValuePlane = 1;

    private readonly AttentionPlan _plan;
    private readonly float* _queries;
    private readonly float* _scores;
    private readonly float* _step;
    private readonly float* _part;
    private readonly float* _total;
    private readonly float* _totalMax;
    private readonly float* _totalSum;
    private readonly int* _low;
    private readonly int* _high;
    private readonly RowState _state;

    internal AttentionRows(in AttentionPlan plan, float* memory)
    {
        const nuint lineBytes = 64;
        var next = (float*)(((nuint)memory + lineBytes - 1) & ~(lineBytes - 1));
        _plan = plan;
        _queries = Take(ref next, plan.PaddedRows * plan.Dim);
        _scores = Take(ref next, plan.PaddedRows * AttentionPlan.TileTokens);
        _step = Take(ref next, plan.StepTokens * plan.PaddedDim);
        _part = Take(ref next, plan.PaddedRows * plan.PaddedDim);
        _total = Take(ref next, plan.PaddedRows * plan.PaddedDim);
        _state = new RowState(Take(ref next, plan.PaddedRows * RowState.Vectors), plan.PaddedRows);
        _totalMax = Take(ref next, plan.PaddedRows);
        _totalSum = Take(ref next, plan.PaddedRows);
        _low = (int*)Take(ref next, plan.PaddedRows);
        _high = (int*)Take(ref next, plan.PaddedRows);

        // What pads a row is multiplied but never read; zeros keep it from being subnormal, which is slow.
        new Span<float>(_step, plan.StepTokens * plan.PaddedDim).Clear();
        for (var row = 0; row < plan.PaddedRows; row++)
        {
            _totalMax[row] = float.NegativeInfinity;
            _totalSum[row] = 0;
        }
    }

    /// <summary>First token that any row sees.</summary>
    internal int First { get; private set; } = int.MaxValue;

    /// <summary>The token after the last that any row sees.</summary>
    internal int End { get; private set; }

    /// <summary>Puts a query into a row; rows are set in order, all of them.</summary>
    /// <param name="row">The row.</param>
    /// <param name="query">Its query.</param>
    /// <param name="scale">Factor of its scores.</param>
    /// <param name="low">First token that it sees.</param>
    /// <param name="high">The token after the last that it sees.</param>
    internal void SetRow(int row, float* query, float scale, int low, int high)
    {
        var factor = scale * Log2E;
        for (var i = 0; i < _plan.Dim; i++)
        {
            _queries[(i * _plan.PaddedRows) + row] = query[i] * factor;
        }

        _low[row] = low;
        _high[row] = high;
        First = int.Min(First, low);
        End = int.Max(End, high);
        if (row == _plan.Rows - 1)
        {
            FillPadding(low, high);
        }
    }

    /// <summary>Computes the state of one part of the tokens for all rows, read with <see cref="Part"/>.</summary>
    internal void ComputePart<TSource, TElements>(KvBatch* kv, TSource source, int head, int part)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        new Span<float>(_part, _plan.PaddedRows * _plan.PaddedDim).Clear();
        new Span<float>(_state.Max, _plan.PaddedRows).Fill(float.NegativeInfinity);
        new Span<float>(_state.Sum, _plan.PaddedRows).Clear();
        var end = int.Min(End, (part + 1) * AttentionArguments.PartTokens);
        for (var tile = part * AttentionArguments.PartTokens; tile < end; tile += AttentionPlan.TileTokens)
        {
            var first = int.Max(First - tile, 0);
            var last = int.Min(end - tile, AttentionPlan.TileTokens);
            if (first < last)
            {
                ComputeTile<TSource, TElements>(kv, source, head, tile, first, last);
            }
        }
    }

    /// <summary>The state of a row after <see cref="ComputePart"/>.</summary>
    internal readonly PartialSum Part(int row) => new(_state.Max[row], _state.Sum[row], _part + (row * _plan.PaddedDim));

    /// <summary>Adds the part just computed to every row's total.</summary>
    internal readonly void AddPartToTotal()
    {
        for (var row = 0; row < _plan.Rows; row++)
        {
            var total = Total(row);
            total.Add(Part(row), _plan.Dim);
            _totalMax[row] = total.Max;
            _totalSum[row] = total.Sum;
        }
    }

    /// <summary>The state of a row over all parts added.</summary>
    internal readonly PartialSum Total(int row) => new(_totalMax[row], _totalSum[row], _total + (row * _plan.PaddedDim));

    private static float* Take(ref float* next, int floats)
    {
        var taken = next;
        next += floats;
        return taken;
    }

    private readonly void FillPadding(int low, int high)
    {
        for (var row = _plan.Rows; row < _plan.PaddedRows; row++)
        {
            _low[row] = low;
            _high[row] = high;
            for (var i = 0; i < _plan.Dim; i++)
            {
                _queries[(i * _plan.PaddedRows) + row] = 0;
            }
        }
    }

    private readonly void ComputeTile<TSource, TElements>(KvBatch* kv, TSource source, int head, int tile, int first, int end)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        var step = _plan.StepTokens;
        for (var start = first & -step; start < end; start += step)
        {
            var from = int.Max(first, start);
            var to = int.Min(end, start + step);
            Widen<TSource, TElements>(kv, source, KeyPlane, head, tile + from, tile + to, _step + ((from - start) * _plan.PaddedDim));
            ComputeScores(start, from, to);
        }

        UpdateWeights(tile, first, end);
        for (var start = first & -step; start < end; start += step)
        {
            var from = int.Max(first, start);
            var to = int.Min(end, start + step);
            Widen<TSource, TElements>(kv, source, ValuePlane, head, tile + from, tile + to, _step + ((from - start) * _plan.PaddedDim));
            AddValues(start, from, to);
        }
    }

    // Tokens from to to − 1 of one plane and head, to float32, one entry read per block. What is widened next, the values of these tokens or
    // the keys of the next tile, is fetched meanwhile: rows of blocks are too short for the processor to see a pattern in time.
    private readonly void Widen<TSource, TElements>(KvBatch* kv, TSource source, int plane, int head, int from, int to, float* target)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        ref readonly var shape = ref kv->Shape;
        var inToken = ((ulong)(uint)plane * shape.PlaneStride) + ((ulong)(uint)head * shape.HeadStride);
        var stride = (nint)shape.TokenStride;
        var bytes = (int)(shape.HeadDim * shape.ElementBytes);
        for (var token = from; token < to;)
        {
            var elements = source.Locate(token, out var run) + inToken;
            run = int.Min(run, to - token);
            var next = elements + shape.PlaneStride;
            if (plane == ValuePlane)
            {
                var nextToken = int.Min(token + AttentionPlan.TileTokens, End - 1);
                next = source.Locate(nextToken, out _) + inToken - shape.PlaneStride;
            }

            token += run;
            for (; run > 0; run--, elements += stride, next += stride, target += _plan.PaddedDim)
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

    private readonly void UpdateWeights(int tile, int first, int end)
    {
        var masked = false;
        for (var row = 0; row < _plan.PaddedRows; row++)
        {
            var low = _low[row] - tile;
            var high = _high[row] - tile;
            masked |= low > first || high < end;
            _state.Low[row] = low;
            _state.High[row] = high;
        }

        if (_plan.PaddedRows == 4)
        {
            Softmax<Lanes128, Vector128<float>>.Update(_scores, _plan.PaddedRows, first, end, masked, _state);
        }
        else if (_plan.PaddedRows == 8 || !Vector512.IsHardwareAccelerated)
        {
            Softmax<Lanes256, Vector256<float>>.Update(_scores, _plan.PaddedRows, first, end, masked, _state);
        }
        else
        {
            Softmax<Lanes512, Vector512<float>>.Update(_scores, _plan.PaddedRows, first, end, masked, _state);
        }

        for (var row = 0; row < _plan.Rows; row++)
        {
            if (_state.Scale[row] != 1)
            {
                Softmax<Lanes256, Vector256<float>>.Scale(_part + (row * _plan.PaddedDim), _plan.PaddedDim, _state.Scale[row]);
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
