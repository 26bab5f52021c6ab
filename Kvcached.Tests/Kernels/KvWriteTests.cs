using Kvcached.Kernels;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The suite on the cpu kernels.</summary>
public sealed class CpuKvWrites() : KvWrites(new CpuMachine());

/// <summary>The suite on an OpenCL device.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClKvWrites() : KvWrites(new OpenClMachine())
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on an OpenCL device, with what GPUs run.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OneLaneOpenClKvWrites() : KvWrites(new OpenClMachine(lanes: 1))
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>Writing keys and values.</summary>
public abstract class KvWrites(KernelMachine machine) : IDisposable
{
    public void Dispose()
    {
        machine.Dispose();
        GC.SuppressFinalize(this);
    }

    [Theory]
    [InlineData(KvElementType.Float16, KvAxisOrder.TokenMajor, 1)]
    [InlineData(KvElementType.BFloat16, KvAxisOrder.HeadMajor, 16)]
    [InlineData(KvElementType.Float32, KvAxisOrder.HeadMajor, 4)]
    [InlineData(KvElementType.Float16, KvAxisOrder.HeadMajor, 128)]
    public void New_tokens_are_stored_where_the_formula_says_and_nowhere_else(KvElementType type, KvAxisOrder order, int tokensPerBlock)
    {
        var parameters = new AttentionCase
        {
            ElementType = type,
            AxisOrder = order,
            TokensPerBlock = tokensPerBlock,
            HeadDim = 40,
            KvHeads = 3,
            Layers = 3,
            Sequences = [(1, 1), (70, 70), (129, 2)],
        };
        using var problem = new AttentionProblem(machine, parameters);
        var written = 0L;
        for (var sequence = 0; sequence < parameters.Sequences.Length; sequence++)
        {
            for (var token = 0; token < parameters.Sequences[sequence].Tokens; token++)
            {
                for (var element = 0; element < 2 * 3 * 40; element++)
                {
                    var (plane, head, i) = (element / 120, element / 40 % 3, element % 40);
                    var source = AttentionProblem.Source(parameters.Seed, sequence, token, plane, (head * 40) + i);
                    Assert.Equal(Rounded(type, source), problem.Stored(sequence, token, plane, head, i));
                }

                written += 2 * 3 * 40 * problem.Shape.ElementBytes;
            }
        }

        // The pool held 0xFF everywhere, and no stored value has it in any byte but by chance: count what is left.
        var untouched = problem.Pool.Count((byte)0xFF);
        Assert.InRange(untouched, problem.Pool.Length - written, problem.Pool.Length - written + (written / 50));
    }

    [Fact]
    public void A_view_that_is_refused_writes_nothing()
    {
        using var problem = new AttentionProblem(machine, new AttentionCase { Sequences = [(20, 4), (30, 30)] });
        using var rows = machine.Array<float>(34 * 2 * 64);
        using var starts = machine.Array<uint>([0, 4]);
        problem.Views[0].Flags = ViewFlags.Refused;
        problem.Views[1].BlockCount = 0;
        var before = problem.Pool.ToArray();
        machine.Run(KernelNames.WritePaged, new KvWriteArguments { Kv = problem.Kv, Keys = rows.Address, Values = rows.Address, RowStarts = starts.Address });
        Assert.True(problem.Pool.SequenceEqual(before));
    }

    [Theory]
    [InlineData(KvElementType.Float16)]
    [InlineData(KvElementType.BFloat16)]
    [InlineData(KvElementType.Float32)]
    public void Special_values_are_rounded_to_nearest_even(KvElementType type)
    {
        var values = ElementTests.Special;
        var parameters = new AttentionCase { ElementType = type, KvHeads = 1, Group = 1, HeadDim = values.Length, Sequences = [(1, 1)] };
        using var problem = new AttentionProblem(machine, parameters);
        using var rows = machine.Array<float>(values);
        using var starts = machine.Array<uint>([0]);
        problem.Run(KernelNames.WritePaged, new KvWriteArguments { Kv = problem.Kv, Keys = rows.Address, Values = rows.Address, RowStarts = starts.Address });
        for (var i = 0; i < values.Length; i++)
        {
            var (expected, stored) = (Rounded(type, values[i]), problem.Stored(0, 0, 0, 0, i));
            Assert.True(double.IsNaN(expected) ? double.IsNaN(stored) : BitConverter.DoubleToInt64Bits(expected) == BitConverter.DoubleToInt64Bits(stored), $"{values[i]:R} became {stored:R}, not {expected:R}.");
        }
    }

    private static double Rounded(KvElementType type, float value) => type switch
    {
        KvElementType.Float16 => (double)(Half)value,
        KvElementType.BFloat16 => ElementTests.NearestBFloat16(value),
        _ => value,
    };
}
