/*
 * The softmax's arithmetic, in powers of two: queries carry a factor log2(e). A state is (m, l, acc): the largest score so far, the sum of
 * 2^(score - m), and the sum of 2^(score - m) * value; of nothing at all it is (-inf, 0, 0). The same operations in the same order as on the cpu
 * device, so that results have the same bits.
 */
#ifndef KV_SOFTMAX_H
#define KV_SOFTMAX_H

#include "device.h"

#define KV_LOG2_E 1.44269504088896341f
#define KV_LOWEST (-3.40282347e+38f)
#define KV_MINUS_INFINITY kv_as_float(0xFF800000u)

/* 1.5 * 2^23: adding it leaves a small number's nearest integer in the low bits. */
#define KV_ROUNDING_SHIFT 12582912.0f

#if defined(__OPENCL_VERSION__)
#define KV_AS(type, value) as_##type(value)
#else
#define KV_AS(type, value) __builtin_bit_cast(KV_TYPE_##type, value)
#define KV_TYPE_float float
#define KV_TYPE_int int
#define KV_TYPE_float4 kv_f32x4
#define KV_TYPE_int4 kv_i32x4
#define KV_TYPE_float8 kv_f32x8
#define KV_TYPE_int8 kv_i32x8
#define KV_TYPE_float16 kv_f32x16
#define KV_TYPE_int16 kv_i32x16
#endif

/* 2^x for x <= 0, to 1 in 10^7; 0 below the normal numbers, -inf included. On [-1/2, 1/2] a polynomial. */
#define KV_DEFINE_EXP2(name, type, floats, ints)                                                                    \
    KV_INLINE type name(type x) {                                                                                   \
        type shifted = x + (type)(KV_ROUNDING_SHIFT);                                                               \
        type fraction = x - (shifted - (type)(KV_ROUNDING_SHIFT));                                                  \
        type power = (type)(1.535336188319500e-4f);                                                                 \
        power = kv_fma(power, fraction, (type)(1.339887440266574e-3f));                                             \
        power = kv_fma(power, fraction, (type)(9.618437357674640e-3f));                                             \
        power = kv_fma(power, fraction, (type)(5.550332471162809e-2f));                                             \
        power = kv_fma(power, fraction, (type)(2.402264791363012e-1f));                                             \
        power = kv_fma(power, fraction, (type)(6.931472028550421e-1f));                                             \
        power = kv_fma(power, fraction, (type)(1.0f));                                                              \
        power = KV_AS(floats, KV_AS(ints, power) + (KV_AS(ints, shifted) << 23));                                   \
        return x < (type)(-126.0f) ? (type)(0.0f) : power;                                                          \
    }

KV_DEFINE_EXP2(kv_exp2, float, float, int)
KV_DEFINE_EXP2(kv_exp2_4, kv_f32x4, float4, int4)
KV_DEFINE_EXP2(kv_exp2_8, kv_f32x8, float8, int8)
KV_DEFINE_EXP2(kv_exp2_16, kv_f32x16, float16, int16)

#endif
