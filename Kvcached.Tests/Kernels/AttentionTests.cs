using Kvcached.Kernels;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The suite on the cpu kernels.</summary>
public sealed class CpuAttentionConformance() : AttentionConformance(new CpuMachine());

/// <summary>The suite on an OpenCL device.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClAttentionConformance() : AttentionConformance(new OpenClMachine())
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>
/// Attention against float64. The reference sees the keys and values as they are stored, so that what is measured is the kernels'
/// arithmetic; the error of a position is its largest absolute error over its largest absolute reference value.
/// </summary>
public abstract class AttentionConformance(KernelMachine machine) : IDisposable
{
    public void Dispose()
    {
        machine.Dispose();
        GC.SuppressFinalize(this);
    }

    public static TheoryData<int> CaseNumbers => [.. Enumerable.Range(0, Cases.Length)];

    private static AttentionCase[] Cases { get; } =
    [
        new() { ElementType = KvElementType.Float32 },
        new() { ElementType = KvElementType.Float16, AxisOrder = KvAxisOrder.HeadMajor, Group = 2 },
        new() { ElementType = KvElementType.BFloat16, Group = 1 },
        new() { ElementType = KvElementType.Float32, AxisOrder = KvAxisOrder.HeadMajor, KvHeads = 1, Group = 8, HeadDim = 128 },
        new() { ElementType = KvElementType.Float16, KvHeads = 1, Group = 20, HeadDim = 32, TokensPerBlock = 1 },
        new() { ElementType = KvElementType.BFloat16, AxisOrder = KvAxisOrder.HeadMajor, KvHeads = 3, Group = 4, HeadDim = 80, TokensPerBlock = 64 },
        new() { ElementType = KvElementType.Float32, WindowTokens = 100, Group = 2 },
        new() { ElementType = KvElementType.Float16, WindowTokens = 300, Group = 1, KvHeads = 4, AxisOrder = KvAxisOrder.HeadMajor },
        new() { ElementType = KvElementType.Float32, HeadDim = 7, Group = 3, TokensPerBlock = 4 },
        new() { ElementType = KvElementType.Float16, HeadDim = 576, KvHeads = 1, Group = 8, Sequences = [(90, 3), (270, 1)] },
        new() { ElementType = KvElementType.BFloat16, Group = 8, WindowTokens = 1, TokensPerBlock = 1024 },
        new() { ElementType = KvElementType.Float32, HeadDim = 4096, KvHeads = 1, Group = 6, Sequences = [(70, 2)] },
    ];

    [Theory]
    [MemberData(nameof(CaseNumbers))]
    public void Decode_agrees_with_float64(int number)
    {
        var parameters = Cases[number];
        using var problem = new AttentionProblem(machine, parameters);
        if (parameters.HeadDim > machine.MaxHeadDim)
        {
            Assert.Contains($"{machine.MaxHeadDim}", Assert.Throws<ArgumentException>(() => problem.Decode()).Message, StringComparison.Ordinal);
            return;
        }

        var outputs = problem.Decode();
        for (var i = 0; i < parameters.Sequences.Length; i++)
        {
            var last = parameters.Sequences[i].New - 1;
            AssertClose(problem, parameters, outputs, i, last);
            for (var token = 0; token < last; token++)
            {
                Assert.All(problem.Row(outputs, i, token).ToArray(), value => Assert.True(float.IsNaN(value), "A row that decode does not compute was written."));
            }
        }
    }

    [Theory]
    [MemberData(nameof(CaseNumbers))]
    public void Prefill_agrees_with_float64(int number)
    {
        var parameters = Cases[number];
        using var problem = new AttentionProblem(machine, parameters);
        if (parameters.HeadDim > machine.MaxHeadDim)
        {
            Assert.Contains($"{machine.MaxHeadDim}", Assert.Throws<ArgumentException>(() => problem.Prefill()).Message, StringComparison.Ordinal);
            return;
        }

        var outputs = problem.Prefill();
        Assert.DoesNotContain(outputs, float.IsNaN);
        for (var i = 0; i < parameters.Sequences.Length; i++)
        {
            // Every position is compared with decode elsewhere, bit by bit; here a spread of them, the ends included.
            var newTokens = parameters.Sequences[i].New;
            for (var token = 0; token < newTokens; token = int.Max(token + 1, int.Min(token + 97, newTokens - 1)))
            {
                AssertClose(problem, parameters, outputs, i, token);
            }
        }
    }

    [Fact]
    public void Blocks_before_the_first_visible_one_are_not_read()
    {
        var parameters = new AttentionCase { ElementType = KvElementType.Float32, Sequences = [(333, 21)] };
        using var problem = new AttentionProblem(machine, parameters);
        const int firstVisible = 18;
        problem.Views[0].FirstVisibleBlock = firstVisible;

        var decoded = problem.Decode();
        var prefilled = problem.Prefill();

        var firstToken = firstVisible * parameters.TokensPerBlock;
        var expected = AttentionReference.Row(problem, parameters, 0, 20, firstToken);
        Assert.InRange(AttentionReference.RelativeError(problem.Row(decoded, 0, 20), expected), 0, 1e-5);
        expected = AttentionReference.Row(problem, parameters, 0, 3, firstToken);
        Assert.InRange(AttentionReference.RelativeError(problem.Row(prefilled, 0, 3), expected), 0, 1e-5);
    }

    [Theory]
    [InlineData(19)]
    [InlineData(37)]
    public void Rows_before_the_first_visible_block_see_nothing(int firstVisible)
    {
        // Whole groups of rows lie before it, in its part of the tokens and in parts before.
        var parameters = new AttentionCase { ElementType = KvElementType.Float32, Sequences = [(620, 580)] };
        using var problem = new AttentionProblem(machine, parameters);
        problem.Views[0].FirstVisibleBlock = (uint)firstVisible;
        var first = (firstVisible * parameters.TokensPerBlock) - 40;

        foreach (var prefilled in new[] { problem.Prefill(), problem.PrefillContiguous() })
        {
            Assert.All(prefilled[..(first * parameters.QueryHeads * parameters.HeadDim)], value => Assert.Equal(0, value));
            foreach (var token in new[] { first, first + 1, 579 })
            {
                var expected = AttentionReference.Row(problem, parameters, 0, token, first + 40);
                Assert.InRange(AttentionReference.RelativeError(problem.Row(prefilled, 0, token), expected), 0, 1e-5);
            }
        }
    }

    [Fact]
    public void Decode_passes_a_view_over_whose_last_position_lies_before_the_first_visible_block()
    {
        var parameters = new AttentionCase { Sequences = [(40, 3), (50, 2)] };
        using var problem = new AttentionProblem(machine, parameters);
        problem.Views[0].FirstVisibleBlock = 3;
        var decoded = problem.Decode();
        Assert.All(problem.Row(decoded, 0, 2).ToArray(), value => Assert.True(float.IsNaN(value), "A row that decode does not compute was written."));
        AssertClose(problem, parameters, decoded, 1, 1);
    }

    [Fact]
    public void Large_scores_neither_overflow_nor_lose_the_largest()
    {
        var parameters = new AttentionCase { ElementType = KvElementType.Float32, Sequences = [(600, 1)] };
        using var problem = new AttentionProblem(machine, parameters);
        problem.Outputs.Span.Fill(float.NaN);
        var arguments = problem.Arguments with { Scale = 1e6f };
        machine.Run(KernelNames.DecodePaged, arguments);
        machine.Run(KernelNames.Merge, arguments);

        var query = problem.Query(0, 0);
        for (var head = 0; head < parameters.QueryHeads; head++)
        {
            var q = query.AsSpan(head * 64, 64).ToArray();
            var best = Enumerable.Range(0, 600).MaxBy(token => Enumerable.Range(0, 64).Sum(i => q[i] * problem.Stored(0, token, 0, head / 4, i)));
            for (var i = 0; i < 64; i++)
            {
                Assert.Equal((float)problem.Stored(0, best, 1, head / 4, i), problem.Row(problem.Outputs.Span, 0, 0)[(head * 64) + i]);
            }
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_view_that_is_refused_or_has_no_blocks_is_passed_over(bool refused)
    {
        var parameters = new AttentionCase { Sequences = [(40, 3), (50, 2), (300, 4)] };
        using var problem = new AttentionProblem(machine, parameters);
        var prefilled = problem.Prefill();
        var decoded = problem.Decode();
        ref var view = ref problem.Views[1];
        if (refused)
        {
            view.Flags = ViewFlags.Refused;
        }
        else
        {
            view.BlockCount = 0;
        }

        problem.Row(prefilled, 1, 0).Fill(float.NaN);
        problem.Row(prefilled, 1, 1).Fill(float.NaN);
        problem.Row(decoded, 1, 1).Fill(float.NaN);
        Assert.Equal(prefilled, problem.Prefill());
        Assert.Equal(decoded, problem.Decode());
    }

    private static void AssertClose(AttentionProblem problem, AttentionCase parameters, float[] outputs, int sequence, int newToken)
    {
        var limit = parameters.ElementType switch
        {
            KvElementType.Float32 => 1e-5,
            KvElementType.Float16 => 2e-3,
            _ => 1e-2,
        };
        var expected = AttentionReference.Row(problem, parameters, sequence, newToken);
        var error = AttentionReference.RelativeError(problem.Row(outputs, sequence, newToken), expected);
        Assert.True(error < limit, $"{parameters}: sequence {sequence}, new token {newToken}: relative error {error} is not below {limit}.");
    }
}
