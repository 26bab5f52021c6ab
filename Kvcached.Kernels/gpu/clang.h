/* What clang calls alike for a GPU and for a CPU: arithmetic, atomics, numbers and vectors. device.h includes it, but for OpenCL C. */
#ifndef KV_CLANG_H
#define KV_CLANG_H

#include "kvcached.h"

#define kv_fma __builtin_elementwise_fma
#define kv_sqrt __builtin_sqrtf
#define kv_atomic_add(address, value) __atomic_fetch_add((unsigned int *)(address), value, __ATOMIC_RELAXED)
#define kv_atomic_exchange(address, value) __atomic_exchange_n((unsigned int *)(address), value, __ATOMIC_RELAXED)
#define kv_atomic_or_local(address, value) __atomic_fetch_or((unsigned int *)(address), value, __ATOMIC_RELAXED)
typedef unsigned char kv_u8;
typedef unsigned short kv_u16;
typedef kv_u32 kv_u32x4 __attribute__((ext_vector_type(4)));
typedef float kv_f32x4 __attribute__((ext_vector_type(4)));
typedef float kv_f32x8 __attribute__((ext_vector_type(8)));
typedef float kv_f32x16 __attribute__((ext_vector_type(16)));
typedef int kv_i32x4 __attribute__((ext_vector_type(4)));
typedef int kv_i32x8 __attribute__((ext_vector_type(8)));
typedef int kv_i32x16 __attribute__((ext_vector_type(16)));

#endif
