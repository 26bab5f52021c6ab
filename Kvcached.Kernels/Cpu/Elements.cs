using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Kvcached.Kernels.Cpu;

/// <summary>A storage format: from and to float32. Narrowing rounds to nearest even; widening is exact.</summary>
internal unsafe interface IElements
{
    /// <summary>Bytes of an element.</summary>
    static abstract int Bytes { get; }

    /// <summary>16 elements. Needs AVX-512.</summary>
    static abstract Vector512<float> Load16(byte* source);

    static abstract void Widen(byte* source, float* target, int count);

    static abstract void Narrow(float* source, byte* target, int count);
}

/// <summary>float32 as it is.</summary>
internal readonly unsafe struct Float32Elements : IElements
{
    public static int Bytes => sizeof(float);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load16(byte* source) => Vector512.Load((float*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Widen(byte* source, float* target, int count)
    {
        var i = 0;
        for (; i <= count - Vector512<float>.Count; i += Vector512<float>.Count)
        {
            Vector512.Load((float*)source + i).Store(target + i);
        }

        for (; i < count; i++)
        {
            target[i] = ((float*)source)[i];
        }
    }

    public static void Narrow(float* source, byte* target, int count) => Buffer.MemoryCopy(source, target, count * sizeof(float), count * sizeof(float));
}

/// <summary>bfloat16: the upper half of a float32.</summary>
internal readonly unsafe struct BFloat16Elements : IElements
{
    public static int Bytes => sizeof(ushort);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load16(byte* source) => (Avx512F.ConvertToVector512UInt32(Vector256.Load((ushort*)source)) << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Widen(byte* source, float* target, int count)
    {
        var values = (ushort*)source;
        var i = 0;
        for (; i <= count - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            var (lower, upper) = Vector256.Widen(Vector256.Load(values + i));
            (lower << 16).AsSingle().Store(target + i);
            (upper << 16).AsSingle().Store(target + i + Vector256<float>.Count);
        }

        for (; i < count; i++)
        {
            target[i] = BitConverter.UInt32BitsToSingle((uint)values[i] << 16);
        }
    }

    public static void Narrow(float* source, byte* target, int count)
    {
        var values = (ushort*)target;
        var i = 0;
        for (; i <= count - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            var lower = Round(Vector256.Load(source + i));
            var upper = Round(Vector256.Load(source + i + Vector256<float>.Count));
            Vector256.Narrow(lower, upper).Store(values + i);
        }

        for (; i < count; i++)
        {
            values[i] = (ushort)Round(Vector256.Create(source[i])).ToScalar();
        }
    }

    private static Vector256<uint> Round(Vector256<float> value)
    {
        var bits = value.AsUInt32();
        var odd = (bits >> 16) & Vector256<uint>.One;
        var rounded = (bits + Vector256.Create(0x7FFFu) + odd) >> 16;

        // A NaN stays one: adding to its mantissa could carry it to zero.
        var quiet = (bits >> 16) | Vector256.Create(0x40u);
        return Vector256.ConditionalSelect(Vector256.Equals(value, value).AsUInt32(), rounded, quiet);
    }
}

/// <summary>IEEE 754 binary16, converted by integer arithmetic because the runtime has no vector conversion.</summary>
internal readonly unsafe struct Float16Elements : IElements
{
    /// <summary>The exponent of infinity and NaN.</summary>
    private const int SpecialExponent = 0x7C00;

    public static int Bytes => sizeof(ushort);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load16(byte* source)
    {
        var scaled = Scale(Avx512F.ConvertToVector512Int32(Vector256.Load((short*)source)));

        // What has the exponent of infinity and NaN comes out as 2^16 or more; it gets the one that those have here.
        var isSpecial = Vector512.GreaterThanOrEqual(Vector512.Abs(scaled), Vector512.Create(65536f));
        return Vector512.ConditionalSelect(isSpecial, scaled | Vector512.Create(float.PositiveInfinity), scaled);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Widen(byte* source, float* target, int count)
    {
        var values = (ushort*)source;
        var i = 0;
        if (Vector512.IsHardwareAccelerated)
        {
            for (; i <= count - Vector512<short>.Count; i += Vector512<short>.Count)
            {
                var halves = Vector512.Load((short*)source + i);
                var exponents = halves & Vector512.Create((short)SpecialExponent);
                if (Vector512.EqualsAny(exponents, Vector512.Create((short)SpecialExponent)))
                {
                    WidenOneByOne(values + i, target + i, Vector512<short>.Count);
                    continue;
                }

                var (lower, upper) = Vector512.Widen(halves);
                Scale(lower).Store(target + i);
                Scale(upper).Store(target + i + Vector512<float>.Count);
            }
        }

        for (; i <= count - Vector256<short>.Count; i += Vector256<short>.Count)
        {
            var halves = Vector256.Load((short*)source + i);
            var exponents = halves & Vector256.Create((short)SpecialExponent);
            if (Vector256.EqualsAny(exponents, Vector256.Create((short)SpecialExponent)))
            {
                WidenOneByOne(values + i, target + i, Vector256<short>.Count);
                continue;
            }

            var (lower, upper) = Vector256.Widen(halves);
            Scale(lower).Store(target + i);
            Scale(upper).Store(target + i + Vector256<float>.Count);
        }

        if (i < count)
        {
            WidenOneByOne(values + i, target + i, count - i);
        }
    }

    public static void Narrow(float* source, byte* target, int count)
    {
        var values = (ushort*)target;
        var i = 0;
        for (; i <= count - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            var lower = Round(Vector256.Load(source + i));
            var upper = Round(Vector256.Load(source + i + Vector256<float>.Count));
            Vector256.Narrow(lower, upper).Store(values + i);
        }

        for (; i < count; i++)
        {
            values[i] = (ushort)Round(Vector256.Create(source[i])).ToScalar();
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void WidenOneByOne(ushort* source, float* target, int count)
    {
        for (var i = 0; i < count; i++)
        {
            target[i] = (float)BitConverter.UInt16BitsToHalf(source[i]);
        }
    }

    // Sign, exponent and mantissa moved into place, the copies of the sign masked away, make a float32 that is 2^112 too small, subnormals
    // included; the product is exact. Infinity and NaN do not come here.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Scale(Vector512<int> half) =>
        ((half << 13) & Vector512.Create(unchecked((int)0x8FFFE000))).AsSingle() * Vector512.Create(5.192296858534828e33f);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Scale(Vector256<int> half) =>
        ((half << 13) & Vector256.Create(unchecked((int)0x8FFFE000))).AsSingle() * Vector256.Create(5.192296858534828e33f);

    private static Vector256<uint> Round(Vector256<float> value)
    {
        var bits = value.AsUInt32();
        var magnitude = bits & Vector256.Create(0x7FFFFFFFu);
        var sign = (bits & Vector256.Create(0x80000000u)) >> 16;

        // Normal: rebias the exponent and round away 13 bits; a carry out of the mantissa is the next exponent, up to infinity.
        var odd = (magnitude >> 13) & Vector256<uint>.One;
        var normal = (magnitude - Vector256.Create((112u << 23) - 0xFFFu) + odd) >> 13;

        // Subnormal: adding 0.5, whose last place is the smallest binary16, lets the adder round.
        var subnormal = (magnitude.AsSingle() + Vector256.Create(0.5f)).AsUInt32() - Vector256.Create(0x3F000000u);
        var isSubnormal = Vector256.LessThan(magnitude.AsInt32(), Vector256.Create(0x38800000)).AsUInt32();
        var isLarge = Vector256.GreaterThanOrEqual(magnitude.AsInt32(), Vector256.Create(0x47800000)).AsUInt32();
        var isNan = Vector256.GreaterThan(magnitude.AsInt32(), Vector256.Create(0x7F800000)).AsUInt32();
        var finite = Vector256.ConditionalSelect(isSubnormal, subnormal, normal);
        var nan = Vector256.Create(0x7E00u) | ((magnitude >> 13) & Vector256.Create(0x1FFu));
        var large = Vector256.ConditionalSelect(isNan, nan, Vector256.Create(0x7C00u));
        return sign | Vector256.ConditionalSelect(isLarge, large, finite);
    }
}
