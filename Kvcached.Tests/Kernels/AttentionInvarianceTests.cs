using System.Runtime.InteropServices;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The suite on the cpu kernels.</summary>
public sealed class CpuAttentionInvariance() : AttentionInvariance(new CpuMachine());

/// <summary>The suite on an OpenCL device.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClAttentionInvariance() : AttentionInvariance(new OpenClMachine())
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>A position's result is a function of its sequence alone: compared bit by bit.</summary>
public abstract class AttentionInvariance(KernelMachine machine) : IDisposable
{
    public void Dispose()
    {
        machine.Dispose();
        GC.SuppressFinalize(this);
    }

    public static TheoryData<int> CaseNumbers => [.. Enumerable.Range(0, Cases.Length)];

    private static AttentionCase[] Cases { get; } =
    [
        new(),
        new() { ElementType = KvElementType.Float32, AxisOrder = KvAxisOrder.HeadMajor, Group = 1, KvHeads = 3 },
        new() { ElementType = KvElementType.BFloat16, Group = 8, KvHeads = 1, HeadDim = 128, TokensPerBlock = 32 },
        new() { Group = 3, HeadDim = 40, WindowTokens = 150, TokensPerBlock = 8 },
        new() { Group = 2, WindowTokens = 257, AxisOrder = KvAxisOrder.HeadMajor, TokensPerBlock = 256 },
        new() { Group = 18, KvHeads = 1, HeadDim = 96 },
    ];

    [Theory]
    [MemberData(nameof(CaseNumbers))]
    public void A_sequence_gives_the_same_bits_alone_and_in_a_batch(int number)
    {
        using var batch = new AttentionProblem(machine, Cases[number]);
        var decoded = batch.Decode();
        var prefilled = batch.Prefill();
        for (var i = 0; i < Cases[number].Sequences.Length; i++)
        {
            using var alone = new AttentionProblem(machine, Cases[number], only: [i]);
            var newTokens = Cases[number].Sequences[i].New;
            AssertSameBits(batch.Row(decoded, i, newTokens - 1), alone.Row(alone.Decode(), 0, newTokens - 1));
            var prefilledAlone = alone.Prefill();
            for (var token = 0; token < newTokens; token++)
            {
                AssertSameBits(batch.Row(prefilled, i, token), alone.Row(prefilledAlone, 0, token));
            }
        }
    }

    [Theory]
    [MemberData(nameof(CaseNumbers))]
    public void Neither_workers_nor_their_order_change_a_bit(int number)
    {
        using var problem = new AttentionProblem(machine, Cases[number]);
        AssertSameBits(problem.Decode(), problem.Decode(workers: 3));
        AssertSameBits(problem.Prefill(), problem.Prefill(workers: 3));
    }

    [Theory]
    [MemberData(nameof(CaseNumbers))]
    public void Where_blocks_lie_does_not_change_a_bit(int number)
    {
        using var here = new AttentionProblem(machine, Cases[number], placement: 1);
        using var there = new AttentionProblem(machine, Cases[number], placement: 2);
        Assert.False(here.Pool.SequenceEqual(there.Pool));
        AssertSameBits(here.Decode(), there.Decode());
        AssertSameBits(here.Prefill(), there.Prefill());
    }

    [Theory]
    [MemberData(nameof(CaseNumbers))]
    public void The_contiguous_twin_gives_the_same_bits(int number)
    {
        using var problem = new AttentionProblem(machine, Cases[number]);
        AssertSameBits(problem.Decode(), problem.DecodeContiguous());
        AssertSameBits(problem.Prefill(), problem.PrefillContiguous());
    }

    [Theory]
    [MemberData(nameof(CaseNumbers))]
    public void A_prompt_cut_anywhere_and_decode_give_the_same_bits(int number)
    {
        const int tokens = 600;
        var whole = Cases[number] with { Sequences = [(tokens, tokens)] };
        using var problem = new AttentionProblem(machine, whole);
        var expected = problem.Prefill();
        foreach (var (end, newTokens) in new[] { (1, 1), (64, 1), (65, 3), (256, 256), (257, 1), (271, 1), (274, 1), (300, 44), (599, 299), (600, 1) })
        {
            using var cut = new AttentionProblem(machine, whole with { Sequences = [(end, newTokens)] });
            var prefilled = cut.Prefill();
            for (var token = 0; token < newTokens; token++)
            {
                AssertSameBits(problem.Row(expected, 0, end - newTokens + token), cut.Row(prefilled, 0, token));
            }

            AssertSameBits(problem.Row(expected, 0, end - 1), cut.Row(cut.Decode(), 0, newTokens - 1));
        }
    }

    private static void AssertSameBits(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual) =>
        Assert.True(MemoryMarshal.AsBytes(expected).SequenceEqual(MemoryMarshal.AsBytes(actual)), "The bits differ.");
}
