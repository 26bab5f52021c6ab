/* How elements are stored: from and to float32. Narrowing rounds to nearest even; widening is exact. */
#ifndef KV_ELEMENTS_H
#define KV_ELEMENTS_H

#include "device.h"

#define KV_FLOAT16 1
#define KV_BFLOAT16 2
#define KV_FLOAT32 3

#define KV_ELEMENT_BYTES(format) ((format) == KV_FLOAT32 ? 4u : 2u)

/* The float32 of the bits of an element. */
KV_INLINE float kv_widen(int format, kv_u32 bits) {
    if (format == KV_FLOAT16) {
#if defined(__OPENCL_VERSION__)
        kv_u16 half_bits = (kv_u16)bits;
        return vload_half(0, (const half *)&half_bits);
#else
        return (float)__builtin_bit_cast(_Float16, (kv_u16)bits);
#endif
    }

    return kv_as_float(format == KV_BFLOAT16 ? bits << 16 : bits);
}

/* The bits of the element nearest to a float32. */
KV_INLINE kv_u32 kv_narrow(int format, float value) {
    if (format == KV_FLOAT16) {
#if defined(__OPENCL_VERSION__)
        kv_u16 half_bits;
        vstore_half_rte(value, 0, (half *)&half_bits);
        return half_bits;
#else
        return __builtin_bit_cast(kv_u16, (_Float16)value);
#endif
    }

    kv_u32 bits = kv_as_uint(value);
    if (format == KV_FLOAT32) {
        return bits;
    }

    /* A NaN stays one: adding to its mantissa could carry it to zero. */
    return value == value ? (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16 : (bits >> 16) | 0x40u;
}

/* Element i of a row of stored elements. */
KV_INLINE float kv_element(int format, KV_GLOBAL const kv_u8 *row, kv_u32 i) {
    return format == KV_FLOAT32 ? ((KV_GLOBAL const float *)row)[i] : kv_widen(format, ((KV_GLOBAL const kv_u16 *)row)[i]);
}

KV_INLINE void kv_store_element(int format, KV_GLOBAL kv_u8 *row, kv_u32 i, float value) {
    if (format == KV_FLOAT32) {
        ((KV_GLOBAL float *)row)[i] = value;
    } else {
        ((KV_GLOBAL kv_u16 *)row)[i] = (kv_u16)kv_narrow(format, value);
    }
}

#if KV_LANES == 16
/* 16 elements from element i on. */
KV_INLINE kv_f32x16 kv_elements16(int format, KV_GLOBAL const kv_u8 *row, kv_u32 i) {
    if (format == KV_FLOAT32) {
        return vload16(0, (KV_GLOBAL const float *)row + i);
    }

    if (format == KV_FLOAT16) {
        return vload_half16(0, (KV_GLOBAL const half *)row + i);
    }

    return as_float16(convert_uint16(vload16(0, (KV_GLOBAL const kv_u16 *)row + i)) << 16);
}
#endif

#endif
