namespace Kvcached.Tests.Kernels;

/// <summary>Attention in float64, over the stored (rounded) keys and values and the queries as given.</summary>
internal static class AttentionReference
{
    internal static double[] Row(AttentionProblem problem, AttentionCase parameters, int sequence, int newToken, int firstVisibleToken = 0)
    {
        var view = problem.Views[sequence];
        var position = (int)(view.TokenCount - view.NewTokens) + newToken;
        var low = parameters.WindowTokens == 0 ? 0 : int.Max(0, position + 1 - parameters.WindowTokens);
        low = int.Max(low, firstVisibleToken);
        var query = problem.Query(sequence, newToken);
        var output = new double[query.Length];
        for (var head = 0; head < parameters.QueryHeads; head++)
        {
            var q = query.AsSpan(head * parameters.HeadDim, parameters.HeadDim).ToArray();
            var kvHead = head / parameters.Group;
            var scores = new double[position + 1 - low];
            for (var token = 0; token < scores.Length; token++)
            {
                for (var i = 0; i < q.Length; i++)
                {
                    scores[token] += q[i] * problem.Stored(sequence, low + token, 0, kvHead, i) / Math.Sqrt(q.Length);
                }
            }

            var max = scores.Max();
            var weights = Array.ConvertAll(scores, score => Math.Exp(score - max));
            var sum = weights.Sum();
            for (var token = 0; token < weights.Length; token++)
            {
                for (var i = 0; i < q.Length; i++)
                {
                    output[(head * q.Length) + i] += weights[token] / sum * problem.Stored(sequence, low + token, 1, kvHead, i);
                }
            }
        }

        return output;
    }

    /// <summary>Largest absolute error over largest absolute value, of the rows together.</summary>
    internal static double RelativeError(ReadOnlySpan<float> actual, ReadOnlySpan<double> expected)
    {
        double error = 0, largest = 0;
        for (var i = 0; i < expected.Length; i++)
        {
            error = double.IsNaN(actual[i]) ? double.PositiveInfinity : Math.Max(error, Math.Abs(actual[i] - expected[i]));
            largest = Math.Max(largest, Math.Abs(expected[i]));
        }

        return error / largest;
    }
}
