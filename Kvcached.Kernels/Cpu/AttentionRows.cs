using System.Runtime.Intrinsics;

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
/// <para>
/// Tokens go in groups, one of two ways that give the same bits. Up to four rows and 16 tokens that all rows see go by <see cref="FourRows"/>,
/// straight from where the tokens are stored. All else is widened to memory first and goes by <see cref="Panels{L, V}"/>.
/// </para>
/// </summary>
internal unsafe partial struct AttentionRows
{
    private const float Log2E = 1.44269504088896341f;

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

    // The tokens that all rows see.
    private int CommonFirst { get; set; }

    private int CommonEnd { get; set; } = int.MaxValue;

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
        CommonFirst = int.Max(CommonFirst, low);
        CommonEnd = int.Min(CommonEnd, high);
        if (row == _plan.Rows - 1)
        {
            FillPadding(low, high);
        }
    }

    /// <summary>Computes the state of one part of the tokens for all rows, read with <see cref="Part"/>.</summary>
    /// <param name="tokens">The tokens.</param>
    /// <param name="part">Number of the part.</param>
    /// <param name="after">What will be read after the part: fetched towards its end.</param>
    internal void ComputePart<TSource, TElements>(in HeadTokens<TSource> tokens, int part, byte* after)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        new Span<float>(_part, _plan.PaddedRows * _plan.PaddedDim).Clear();
        new Span<float>(_state.Max, _plan.PaddedRows).Fill(float.NegativeInfinity);
        new Span<float>(_state.Sum, _plan.PaddedRows).Clear();
        var begin = part * AttentionArguments.PartTokens;
        var first = int.Max(First - begin, 0);
        var end = int.Min(End - begin, AttentionArguments.PartTokens);
        if (_plan.CanStream && tokens.Run >= FourRows.Tokens)
        {
            StreamPart<TSource, TElements>(tokens, begin, first, end, after);
            return;
        }

        for (var tile = first & -AttentionPlan.TileTokens; tile < end; tile += AttentionPlan.TileTokens)
        {
            ComputeTile<TSource, TElements>(tokens, begin + tile, int.Max(first - tile, 0), int.Min(end - tile, AttentionPlan.TileTokens));
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

    // Tokens first to end - 1 of a tile: all keys, then all values, in steps that begin at multiples of their size.
    private readonly void ComputeTile<TSource, TElements>(in HeadTokens<TSource> tokens, int tile, int first, int end)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        var size = _plan.StepTokens;
        for (var start = first & -size; start < end; start += size)
        {
            ScoreWidened<TSource, TElements>(tokens, tile, start, int.Max(first, start), int.Min(end, start + size));
        }

        UpdateWeights(tile, first, end);
        for (var start = first & -size; start < end; start += size)
        {
            AddWidened<TSource, TElements>(tokens, tile, start, int.Max(first, start), int.Min(end, start + size));
        }
    }

    // Looks each group of tokens up once, for its keys and values and for what fetches them ahead.
    private readonly void StreamPart<TSource, TElements>(in HeadTokens<TSource> tokens, int begin, int first, int end, byte* after)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        const int size = FourRows.Tokens;
        const int tileTokens = AttentionPlan.TileTokens;
        var keys = stackalloc byte*[(AttentionArguments.PartTokens / size) + 1];
        for (var start = first & -size; start < end; start += size)
        {
            keys[start / size] = tokens.Locate(KvPlane.Key, begin + int.Max(first, start), out _);
        }

        keys[(end + size - 1) / size] = after;
        for (var tile = first & -tileTokens; tile < end; tile += tileTokens)
        {
            StreamTile<TSource, TElements>(tokens, keys + (tile / size), begin + tile, int.Max(first - tile, 0), int.Min(end - tile, tileTokens));
        }
    }

    // The same as ComputeTile, given where each group's keys lie, and after the last what is read after the tile.
    private readonly void StreamTile<TSource, TElements>(in HeadTokens<TSource> tokens, byte** keys, int tile, int first, int end)
        where TSource : struct, ITokenSource<TSource>
        where TElements : struct, IElements
    {
        const int size = FourRows.Tokens;
        var stride = tokens.Stride;
        var toValues = tokens.ToValues;
        for (var start = first & -size; start < end; start += size)
        {
            var here = keys + (start / size);
            if (AllSee(tile + start))
            {
                var next = start + size < end ? here[1] : keys[first / size] + toValues;
                FourRows.Score<TElements>(here[0], next, stride, _queries, _scores + (start * FourRows.Rows), _plan.Dim);
            }
            else
            {
                ScoreWidened<TSource, TElements>(tokens, tile, start, int.Max(first, start), int.Min(end, start + size));
            }
        }

        UpdateWeights(tile, first, end);
        for (var start = first & -size; start < end; start += size)
        {
            var here = keys + (start / size);
            if (AllSee(tile + start))
            {
                var next = start + size < end ? here[1] + toValues : here[1];
                FourRows.Add<TElements>(here[0] + toValues, next, stride, _scores + (start * FourRows.Rows), _part, _plan.Dim);
            }
            else
            {
                AddWidened<TSource, TElements>(tokens, tile, start, int.Max(first, start), int.Min(end, start + size));
            }
        }
    }

    private readonly bool AllSee(int group) => group >= CommonFirst && group + FourRows.Tokens <= CommonEnd;

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
}
