using System.Runtime.Intrinsics;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The softmax's power of two.</summary>
public class SoftmaxTests
{
    [Fact]
    public void A_power_of_two_is_right_to_two_units_in_the_last_place_and_the_same_in_every_width()
    {
        for (var x = 0f; x >= -126; x -= 0.0007f)
        {
            var actual = Exp2(x);
            var expected = Math.Pow(2, x);
            Assert.InRange(Math.Abs(actual - expected) / expected, 0, 2.4e-7);
            Assert.Equal(actual, Softmax<Lanes256, Vector256<float>>.Exp2(Vector256.Create(x)).ToScalar());
            Assert.Equal(actual, Softmax<Lanes512, Vector512<float>>.Exp2(Vector512.Create(x)).ToScalar());
        }
    }

    [Theory]
    [InlineData(0f, 1f)]
    [InlineData(-1f, 0.5f)]
    [InlineData(-126f, 1.17549435e-38f)]
    [InlineData(-126.1f, 0f)]
    [InlineData(-1e30f, 0f)]
    [InlineData(float.NegativeInfinity, 0f)]
    public void The_ends_are_exact(float x, float expected) => Assert.Equal(expected, Exp2(x));

    private static float Exp2(float x) => Softmax<Lanes128, Vector128<float>>.Exp2(Vector128.Create(x)).ToScalar();
}
