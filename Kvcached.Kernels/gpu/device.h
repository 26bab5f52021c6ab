/*
 * What CUDA and OpenCL C 1.2 call differently. Sources include this, and clang compiles them for CUDA with no toolkit.
 *
 *   KV_KERNEL name(Arguments a KV_MEMORY(0) KV_MEMORY(1)) { KV_GLOBAL float *x = KV_AT(0, float, a.address); … }
 *
 * Addresses in arguments are those of DeviceMemory.Address. A CUDA pointer is one; OpenCL gets a memory object beside it and the address of the
 * memory's byte 0, in the order in which GpuKernel names the addresses.
 */
#ifndef KV_DEVICE_H
#define KV_DEVICE_H

#include "kvcached.h"

/* Most work-items of a group. */
#define KV_MAX_ITEMS 256

/* Lanes of which a work-item does the work: those of a vector where a CPU runs the kernels, else 1. */
#ifndef KV_LANES
#define KV_LANES 1
#endif

#if defined(__OPENCL_VERSION__)

#pragma OPENCL FP_CONTRACT OFF
#define KV_GLOBAL __global
#define KV_UNROLL_SOME
#define KV_LOCAL __local
#define KV_KERNEL __kernel void
#define KV_MEMORY(n) , __global uchar *memory##n, ulong base##n
#define KV_AT(n, type, address) ((__global type *)(memory##n + ((address) - base##n)))
#define KV_LOCAL_ARRAY(type, name, count) __local type name[count]
#define KV_ITEM ((kv_u32)get_local_id(0))
#define KV_ITEMS ((kv_u32)get_local_size(0))
#define KV_GROUP(axis) ((kv_u32)get_group_id(axis))
#define KV_GROUPS(axis) ((kv_u32)get_num_groups(axis))
#define KV_BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define KV_BARRIER_GLOBAL() barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#define kv_fma fma
#define kv_sqrt sqrt
#define kv_atomic_add(address, value) atomic_add((volatile __global uint *)(address), value)
#define kv_atomic_exchange(address, value) atomic_xchg((volatile __global uint *)(address), value)
#define kv_atomic_or_local(address, value) atomic_or((volatile __local uint *)(address), value)
typedef uchar kv_u8;
typedef ushort kv_u16;
typedef uint4 kv_u32x4;
typedef float4 kv_f32x4;
typedef float8 kv_f32x8;
typedef float16 kv_f32x16;
typedef int4 kv_i32x4;
typedef int8 kv_i32x8;
typedef int16 kv_i32x16;

#else

#define KV_GLOBAL __attribute__((address_space(1)))
#define KV_UNROLL_SOME _Pragma("unroll 2")
#define KV_LOCAL __attribute__((address_space(3)))
#define KV_KERNEL extern "C" __attribute__((global)) void
#define KV_MEMORY(n)
#define KV_AT(n, type, address) ((KV_GLOBAL type *)(address))
#define KV_LOCAL_ARRAY(type, name, count)              \
    __attribute__((shared)) type name##_storage[count]; \
    KV_LOCAL type *name = (KV_LOCAL type *)name##_storage
#define KV_ITEM ((kv_u32)__nvvm_read_ptx_sreg_tid_x())
#define KV_ITEMS ((kv_u32)__nvvm_read_ptx_sreg_ntid_x())
#define KV_GROUP_0 ((kv_u32)__nvvm_read_ptx_sreg_ctaid_x())
#define KV_GROUP_1 ((kv_u32)__nvvm_read_ptx_sreg_ctaid_y())
#define KV_GROUP_2 ((kv_u32)__nvvm_read_ptx_sreg_ctaid_z())
#define KV_GROUP(axis) KV_GROUP_##axis
#define KV_GROUPS_0 ((kv_u32)__nvvm_read_ptx_sreg_nctaid_x())
#define KV_GROUPS_1 ((kv_u32)__nvvm_read_ptx_sreg_nctaid_y())
#define KV_GROUPS_2 ((kv_u32)__nvvm_read_ptx_sreg_nctaid_z())
#define KV_GROUPS(axis) KV_GROUPS_##axis
#define KV_BARRIER() __syncthreads()
#define KV_BARRIER_GLOBAL() __syncthreads()
#include "clang.h"

#endif

/* The lanes of a work-item. */
#if KV_LANES == 16
typedef kv_f32x16 kv_lanes;
#define KV_LOAD_LANES(pointer) vload16(0, pointer)
#define KV_STORE_LANES(value, pointer) vstore16(value, 0, pointer)
#else
typedef float kv_lanes;
#define KV_LOAD_LANES(pointer) (*(pointer))
#define KV_STORE_LANES(value, pointer) (*(pointer) = (value))
#endif

/* A function of kernels alone, put in place so that constant arguments specialise it. */
#if defined(__OPENCL_VERSION__)
#define KV_INLINE static inline __attribute__((always_inline))
#else
#define KV_INLINE static inline __attribute__((device)) __attribute__((always_inline))
#endif

/*
 * Loops over rows and dimensions whose counts are constant. Where a lane is a thread their arrays are registers; elsewhere they are memory, and
 * a CPU's compiler is given little to do.
 */
#if KV_LANES == 1
#define KV_UNROLL _Pragma("unroll")
#else
#define KV_UNROLL _Pragma("nounroll")
#endif

/* The larger one, lane by lane. */
#define kv_max(a, b) ((a) < (b) ? (b) : (a))

KV_INLINE float kv_as_float(kv_u32 bits) {
#if defined(__OPENCL_VERSION__)
    return as_float(bits);
#else
    return __builtin_bit_cast(float, bits);
#endif
}

KV_INLINE kv_u32 kv_as_uint(float value) {
#if defined(__OPENCL_VERSION__)
    return as_uint(value);
#else
    return __builtin_bit_cast(kv_u32, value);
#endif
}

KV_INLINE kv_u32 kv_min(kv_u32 a, kv_u32 b) {
    return a < b ? a : b;
}

#endif
