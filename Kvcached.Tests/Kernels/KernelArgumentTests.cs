using Kvcached.Kernels;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>Arguments that no kernel can work with are told before the launch, with the value and the limit.</summary>
public class KernelArgumentTests
{
    private static AttentionArguments Good => new()
    {
        Kv = new() { Shape = new AttentionCase().Shape, Format = ElementFormat.Float16, Layer = 1, Batch = 1 },
        QueryHeads = 8,
    };

    [Fact]
    public void Good_arguments_pass() => Good.Validate();

    [Fact]
    public void A_layer_beyond_the_shape_is_named() => AssertNames(Good with { Kv = Good.Kv with { Layer = 2 } }, "Layer 2", "2 layers");

    [Fact]
    public void A_format_of_another_size_is_named() => AssertNames(Good with { Kv = Good.Kv with { Format = ElementFormat.Float32 } }, "Float32", "2 bytes");

    [Fact]
    public void An_undefined_format_is_named() => AssertNames(Good with { Kv = Good.Kv with { Format = 0 } }, "Format 0", "2 bytes");

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    public void Query_heads_that_KV_heads_do_not_divide_are_named(uint heads) => AssertNames(Good with { QueryHeads = heads }, $"QueryHeads is {heads}", "2 KV heads");

    [Fact]
    public void A_head_dimension_beyond_the_limit_is_named()
    {
        var arguments = Good;
        arguments.Kv.Shape.HeadDim = 4097;
        AssertNames(arguments, "4097", "4096");
    }

    [Fact]
    public void A_buffer_whose_plane_has_no_32_bit_size_is_named()
    {
        var error = Assert.Throws<ArgumentOutOfRangeException>(() => ContiguousShape.Of(Good.Kv.Shape, 1 << 24));
        Assert.Contains("4294967296", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_sequence_with_more_parts_than_there_is_room_for_is_passed_over()
    {
        using var problem = new AttentionProblem(new CpuMachine(), new AttentionCase { Sequences = [(257, 1), (256, 1)] });
        var whole = problem.Decode();
        problem.Outputs.Span.Fill(float.NaN);
        var arguments = problem.Arguments with { MaxParts = 1 };
        KernelRunner.Run(KernelNames.DecodePaged, arguments);
        KernelRunner.Run(KernelNames.Merge, arguments);
        Assert.Equal(-1, problem.Row(problem.Outputs.Span, 0, 0).IndexOfAnyExcept(float.NaN));
        Assert.True(problem.Row(whole, 1, 0).SequenceEqual(problem.Row(problem.Outputs.Span, 1, 0)));
    }

    private static void AssertNames(AttentionArguments arguments, params string[] words)
    {
        var error = Assert.Throws<ArgumentException>(arguments.Validate);
        Assert.All(words, word => Assert.Contains(word, error.Message, StringComparison.Ordinal));
    }
}
