/*
 * What the kernels' sources call, for the stand-in driver: stands in place of device.h, whose guard it defines. One lane a work-item, as on a GPU; a
 * group's work-items take turns on one thread, and a barrier lets the next one go on.
 */
#ifndef KV_DEVICE_H
#define KV_DEVICE_H

#include "kvcached.h"

#define KV_MAX_ITEMS 256

/* Lanes of a work-item: one, as on a GPU, unless the source is built for a CPU's vectors. Kernels of so many lanes are in a section of their own. */
#ifndef KV_LANES
#define KV_LANES 1
#endif

/* The work-item that the thread is at. */
struct KvItem {
    kv_u32 item;
    kv_u32 items;
    kv_u32 group[3];
    kv_u32 groups[3];
};

extern "C" {
extern __thread struct KvItem kv_item_now __attribute__((tls_model("initial-exec")));

/* An address of a launch's arguments: it must lie in memory that the GPU could reach, or be 0. */
void *kv_checked_address(kv_u64 address);

/* On-chip memory of the group: the same for the same declaration, in all its work-items. */
void *kv_local_memory(unsigned long bytes, unsigned long alignment);

/* Returns once all work-items of the group have come to it. */
void kv_barrier(void) __attribute__((convergent, noduplicate));
}

#define KV_GLOBAL
#define KV_LOCAL
#define KV_UNROLL_SOME _Pragma("nounroll")
#define KV_UNROLL _Pragma("nounroll")
#if KV_LANES == 16
#define KV_KERNEL extern "C" __attribute__((visibility("default"), section("kv_lanes_16"))) void
#else
#define KV_KERNEL extern "C" __attribute__((visibility("default"))) void
#endif
#define KV_MEMORY(n)
#define KV_AT(n, type, address) ((type *)kv_checked_address(address))
#define KV_LOCAL_ARRAY(type, name, count) type *name = (type *)kv_local_memory(sizeof(type) * (count), alignof(type))
#define KV_ITEM (kv_item_now.item)
#define KV_ITEMS (kv_item_now.items)
#define KV_GROUP(axis) (kv_item_now.group[axis])
#define KV_GROUPS(axis) (kv_item_now.groups[axis])
#define KV_BARRIER() kv_barrier()
#define KV_BARRIER_GLOBAL() kv_barrier()
#include "clang.h"
#if KV_LANES == 16
typedef kv_f32x16 kv_lanes;
typedef float kv_f32x16_anywhere __attribute__((ext_vector_type(16), aligned(4)));
#define KV_LOAD_LANES(pointer) ((kv_lanes)*(const kv_f32x16_anywhere *)(pointer))
#define KV_STORE_LANES(value, pointer) (*(kv_f32x16_anywhere *)(pointer) = (value))
#else
typedef float kv_lanes;
#define KV_LOAD_LANES(pointer) (*(pointer))
#define KV_STORE_LANES(value, pointer) (*(pointer) = (value))
#endif
#define KV_INLINE static inline __attribute__((always_inline))

#define kv_max(a, b) ((a) < (b) ? (b) : (a))

KV_INLINE float kv_as_float(kv_u32 bits) {
    return __builtin_bit_cast(float, bits);
}

KV_INLINE kv_u32 kv_as_uint(float value) {
    return __builtin_bit_cast(kv_u32, value);
}

KV_INLINE kv_u32 kv_min(kv_u32 a, kv_u32 b) {
    return a < b ? a : b;
}

#endif
