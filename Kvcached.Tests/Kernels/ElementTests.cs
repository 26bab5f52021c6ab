using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The formats that keys and values are stored in, as the cpu kernels read and write them.</summary>
public unsafe class ElementTests
{
    internal static readonly float[] Special =
    [
        0f, -0f, 1f, -1f, 65504f, 65519.99f, 65520f, -65520f, 65536f, 1e30f, float.MaxValue, float.PositiveInfinity, float.NegativeInfinity, float.NaN,
        6.1035156e-5f, 6.1e-5f, 5.9604645e-8f, 2.9802322e-8f, 2.98023224e-8f, 2.9802326e-8f, 1e-9f, -1e-9f, float.Epsilon,
        1.00048828125f, 1.00146484375f, 1.001f, 2049f, 2051f, 3.3895314e38f, 3.3961776e38f, -3.4e38f,
    ];

    [Fact]
    public void Every_binary16_widens_exactly()
    {
        var halves = Enumerable.Range(0, 65536).Select(bits => BitConverter.UInt16BitsToHalf((ushort)bits)).ToArray();
        var floats = new float[halves.Length];
        fixed (Half* source = halves)
        {
            fixed (float* target = floats)
            {
                // Lengths around the vectors' so that whole vectors, half ones and single elements all take every kind of value.
                foreach (var length in new[] { 1, 16, 31, 32, 48, 77, 65536 })
                {
                    for (var i = 0; i + length <= halves.Length; i += length)
                    {
                        Float16Elements.Widen((byte*)(source + i), target + i, length);
                    }

                    AssertSame(Array.ConvertAll(halves, half => (float)half), floats, halves.Length / length * length);
                    Array.Clear(floats);
                }
            }
        }
    }

    [Fact]
    public void Every_bfloat16_widens_exactly_and_narrows_to_itself()
    {
        var values = Enumerable.Range(0, 65536).Select(bits => (ushort)bits).ToArray();
        var back = new ushort[values.Length];
        var floats = new float[values.Length];
        fixed (ushort* source = values, narrowed = back)
        {
            fixed (float* target = floats)
            {
                BFloat16Elements.Widen((byte*)source, target, values.Length - 5);
                BFloat16Elements.Widen((byte*)(source + values.Length - 5), target + values.Length - 5, 5);
                AssertSame(Array.ConvertAll(values, bits => BitConverter.UInt32BitsToSingle((uint)bits << 16)), floats, floats.Length);
                BFloat16Elements.Narrow(target, (byte*)narrowed, values.Length);
            }
        }

        for (var i = 0; i < values.Length; i++)
        {
            Assert.True(float.IsNaN(floats[i]) ? (back[i] & 0x7FFF) > 0x7F80 : back[i] == values[i], $"{values[i]:X4} became {back[i]:X4}.");
        }
    }

    [Fact]
    public void Elements_of_16_bits_widen_in_registers_as_they_do_in_memory()
    {
        CheckLoad16<Float16Elements>();
        CheckLoad16<BFloat16Elements>();
    }

    [Fact]
    public void Float16_narrows_to_nearest_even() => CheckNarrowing(
        (source, target, count) => Float16Elements.Narrow((float*)source, (byte*)target, count),
        value => BitConverter.HalfToUInt16Bits((Half)value),
        0x7C00);

    [Fact]
    public void BFloat16_narrows_to_nearest_even() => CheckNarrowing(
        (source, target, count) => BFloat16Elements.Narrow((float*)source, (byte*)target, count),
        value => (ushort)(BitConverter.SingleToUInt32Bits(NearestBFloat16(value)) >> 16),
        0x7F80);

    private static void CheckLoad16<TElements>()
        where TElements : struct, IElements
    {
        if (!Avx512F.IsSupported)
        {
            return;
        }

        var values = Enumerable.Range(0, 65536).Select(bits => (ushort)bits).ToArray();
        var (expected, actual) = (new float[values.Length], new float[values.Length]);
        fixed (ushort* source = values)
        {
            fixed (float* widened = expected, loaded = actual)
            {
                TElements.Widen((byte*)source, widened, values.Length);
                for (var i = 0; i < values.Length; i += 16)
                {
                    TElements.Load16((byte*)(source + i)).Store(loaded + i);
                }
            }
        }

        AssertSame(expected, actual, values.Length);
    }

    // Of the two neighbours the nearer, at equal distance the even one; computed with float64, not with bits.
    internal static float NearestBFloat16(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000;
        var below = BitConverter.UInt32BitsToSingle(bits);
        var above = BitConverter.UInt32BitsToSingle(bits + 0x10000);
        if (!float.IsFinite(value))
        {
            return value;
        }

        // Rounding overflows as though the exponent went on.
        var aboveDistance = (float.IsInfinity(above) ? Math.CopySign(Math.Pow(2, 128), value) : above) - (double)value;
        var difference = Math.Abs((double)value - below) - Math.Abs(aboveDistance);
        return difference < 0 || (difference == 0 && (bits & 0x10000) == 0) ? below : above;
    }

    private static void CheckNarrowing(Action<nint, nint, int> narrow, Func<float, ushort> expected, int infinity)
    {
        var random = new Random(7);
        var values = new float[40_003];
        for (var i = 0; i < values.Length; i++)
        {
            // Exponents of both formats' edges, and ties: mantissas of few bits.
            var bits = (uint)random.NextInt64(1L << 32);
            values[i] = i % 3 == 0 ? MathF.ScaleB(1 + (random.Next(1 << 13) / 4096f), random.Next(-30, 20))
                : i % 3 == 1 ? MathF.ScaleB(random.NextSingle() - 0.5f, random.Next(-30, 20))
                : BitConverter.UInt32BitsToSingle(bits & ((bits & 1) == 0 ? 0xFFFF8000 : 0xFFFFFFFF));
        }

        Special.CopyTo(values, 0);
        Special.CopyTo(values, values.Length - Special.Length);
        var actual = new ushort[values.Length];
        fixed (float* source = values)
        {
            fixed (ushort* target = actual)
            {
                narrow((nint)source, (nint)target, values.Length);
            }
        }

        for (var i = 0; i < values.Length; i++)
        {
            var right = float.IsNaN(values[i]) ? (actual[i] & 0x7FFF) > infinity : actual[i] == expected(values[i]);
            Assert.True(right, $"{values[i]:R} became {actual[i]:X4}, not {expected(values[i]):X4}.");
        }
    }

    private static void AssertSame(float[] expected, float[] actual, int count)
    {
        for (var i = 0; i < count; i++)
        {
            var same = float.IsNaN(expected[i])
                ? float.IsNaN(actual[i])
                : BitConverter.SingleToUInt32Bits(expected[i]) == BitConverter.SingleToUInt32Bits(actual[i]);
            Assert.True(same, $"Element {i} is {actual[i]:R}, not {expected[i]:R}.");
        }
    }
}
