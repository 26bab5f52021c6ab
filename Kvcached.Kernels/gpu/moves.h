/* Kernels that move bytes: new keys and values, ranges, rows of blocks, windows. Source and target may be device memory or mapped host memory. */
#ifndef KV_MOVES_H
#define KV_MOVES_H

#include "elements.h"
#include "sequences.h"

#define KV_UNIT_BYTES 16u

/* Copies bytes, item by item of the work-items from `item` of `items` on: 16 at a time where both ends lie alike. */
KV_INLINE void kv_copy_bytes(KV_GLOBAL kv_u8 *target, KV_GLOBAL const kv_u8 *source, kv_u64 bytes, kv_u64 item, kv_u64 items) {
    kv_u64 done = 0;
    if ((((kv_u64)target | (kv_u64)source) & (KV_UNIT_BYTES - 1u)) == 0) {
        KV_GLOBAL kv_u32x4 *to = (KV_GLOBAL kv_u32x4 *)target;
        KV_GLOBAL const kv_u32x4 *from = (KV_GLOBAL const kv_u32x4 *)source;
        const kv_u64 units = bytes / KV_UNIT_BYTES;
        kv_u64 i = item;
        for (; i + 3 * items < units; i += 4 * items) {
            const kv_u32x4 a = from[i];
            const kv_u32x4 b = from[i + items];
            const kv_u32x4 c = from[i + 2 * items];
            const kv_u32x4 d = from[i + 3 * items];
            to[i] = a;
            to[i + items] = b;
            to[i + 2 * items] = c;
            to[i + 3 * items] = d;
        }

        for (; i < units; i += items) {
            to[i] = from[i];
        }

        done = units * KV_UNIT_BYTES;
    }

    for (kv_u64 i = done + item; i < bytes; i += items) {
        target[i] = source[i];
    }
}

/* Number of the work-item among all of the launch's first dimension, and how many there are. */
#define KV_GLOBAL_ITEM ((kv_u64)KV_GROUP(0) * KV_ITEMS + KV_ITEM)
#define KV_GLOBAL_ITEMS ((kv_u64)KV_GROUPS(0) * KV_ITEMS)

KV_KERNEL kv_copy(const KvCopyArguments a KV_MEMORY(0) KV_MEMORY(1)) {
    kv_copy_bytes(KV_AT(1, kv_u8, a.target), KV_AT(0, const kv_u8, a.source), a.bytes, KV_GLOBAL_ITEM, KV_GLOBAL_ITEMS);
}

/* Copies ranges at once: a row of groups takes one. */
KV_KERNEL kv_copy_batch(const KvCopyBatchArguments a KV_MEMORY(0) KV_MEMORY(1)) {
    const kv_u32 range = KV_GROUP(1);
    kv_copy_bytes(
        KV_AT(1, kv_u8, a.ranges[range].target), KV_AT(0, const kv_u8, a.ranges[range].source), a.ranges[range].bytes, KV_GLOBAL_ITEM, KV_GLOBAL_ITEMS);
}

KV_KERNEL kv_fill(const KvFillArguments a KV_MEMORY(0)) {
    KV_GLOBAL kv_u8 *target = KV_AT(0, kv_u8, a.target);
    const kv_u64 to_unit = (0 - (kv_u64)target) & (KV_UNIT_BYTES - 1u);
    const kv_u64 head = to_unit < a.bytes ? to_unit : a.bytes;
    const kv_u64 units = (a.bytes - head) / KV_UNIT_BYTES;
    const kv_u32x4 value = (kv_u32x4)((kv_u32)(a.value & 0xFFu) * 0x01010101u);
    KV_GLOBAL kv_u32x4 *wide = (KV_GLOBAL kv_u32x4 *)(target + head);
    for (kv_u64 i = KV_GLOBAL_ITEM; i < units; i += KV_GLOBAL_ITEMS) {
        wide[i] = value;
    }

    /* At most 15 bytes on either side. */
    const kv_u64 tail = head + units * KV_UNIT_BYTES;
    for (kv_u64 i = KV_GLOBAL_ITEM; i < head + a.bytes - tail; i += KV_GLOBAL_ITEMS) {
        target[i < head ? i : tail + i - head] = (kv_u8)a.value;
    }
}

/* Stores the keys and values of new tokens. A group takes every GroupsY-th new token of a sequence. */
KV_INLINE void kv_write(int format, int is_paged, KvWriteArguments a, KV_GLOBAL const KvSequenceView *views, KV_GLOBAL const kv_u32 *entries, KV_GLOBAL kv_u8 *pool, KV_GLOBAL const kv_u64 *buffers, KV_GLOBAL const float *keys, KV_GLOBAL const float *values, KV_GLOBAL const kv_u32 *row_starts) {
    const kv_u32 sequence = KV_GROUP(0);
    const KvSequenceView view = kv_view(views, sequence);
    const kv_u32 count = kv_new_tokens(view);
    const kv_u64 buffer = is_paged || count == 0 ? 0 : buffers[sequence];
    const kv_u32 dims = a.kv.shape.head_dim;
    const kv_u32 elements = a.kv.shape.heads * dims;
    for (kv_u32 i = KV_GROUP(1); i < count; i += KV_GROUPS(1)) {
        const kv_u32 token = view.token_count - view.new_tokens + i;
        const kv_u64 row = ((kv_u64)row_starts[sequence] + i) * elements;
        KV_GLOBAL kv_u8 *target = pool + kv_token_offset(is_paged, a.kv, view, entries, buffer, token);
#if KV_LANES == 16
        for (kv_u32 item = KV_ITEM; item < 2 * a.kv.shape.heads; item += KV_ITEMS) {
            const kv_u32 head = item / 2;
            KV_GLOBAL const float *source = (item % 2 == 0 ? keys : values) + row + head * dims;
            KV_GLOBAL kv_u8 *elements_of_head = target + item % 2 * (kv_u64)a.kv.shape.plane_stride + (kv_u64)head * a.kv.shape.head_stride;
            for (kv_u32 dim = 0; dim < dims; dim++) {
                kv_store_element(format, elements_of_head, dim, source[dim]);
            }
        }
#else
        for (kv_u32 element = KV_ITEM; element < elements; element += KV_ITEMS) {
            const kv_u32 head = element / dims;
            const kv_u32 dim = element % dims;
            kv_store_element(format, target + (kv_u64)head * a.kv.shape.head_stride, dim, keys[row + element]);
            kv_store_element(format, target + a.kv.shape.plane_stride + (kv_u64)head * a.kv.shape.head_stride, dim, values[row + element]);
        }
#endif
    }
}

#define KV_DEFINE_WRITE(function, format, is_paged)                                                                                          \
    KV_KERNEL function(const KvWriteArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3) KV_MEMORY(4) KV_MEMORY(5) KV_MEMORY(6)) { \
        kv_write(                                                                                                                             \
            format, is_paged, a, KV_AT(0, const KvSequenceView, a.kv.views), KV_AT(1, const kv_u32, a.kv.entries), KV_AT(2, kv_u8, a.kv.pool), \
            KV_AT(3, const kv_u64, a.kv.buffers), KV_AT(4, const float, a.keys), KV_AT(5, const float, a.values),                             \
            KV_AT(6, const kv_u32, a.row_starts));                                                                                            \
    }

KV_DEFINE_WRITE(kv_write_paged_f16, KV_FLOAT16, 1)
KV_DEFINE_WRITE(kv_write_paged_bf16, KV_BFLOAT16, 1)
KV_DEFINE_WRITE(kv_write_paged_f32, KV_FLOAT32, 1)
KV_DEFINE_WRITE(kv_write_contiguous_f16, KV_FLOAT16, 0)
KV_DEFINE_WRITE(kv_write_contiguous_bf16, KV_BFLOAT16, 0)
KV_DEFINE_WRITE(kv_write_contiguous_f32, KV_FLOAT32, 0)

/* Copies the visible blocks of sequences out of the pool into buffers, or back. A group takes every GroupsY-th block of a sequence. */
KV_INLINE void kv_move_blocks(int is_gather, KvBlockRowsArguments a, KV_GLOBAL const KvSequenceView *views, KV_GLOBAL const kv_u32 *entries, KV_GLOBAL kv_u8 *pool, KV_GLOBAL const kv_u64 *buffers, KV_GLOBAL kv_u8 *memory) {
    const kv_u32 sequence = KV_GROUP(0);
    const KvSequenceView view = kv_view(views, sequence);
    const kv_u32 visible = kv_visible_blocks(view);
    for (kv_u32 i = KV_GROUP(1); i < visible; i += KV_GROUPS(1)) {
        const kv_u32 block = view.first_visible_block + i;
        KV_GLOBAL kv_u8 *in_pool = pool + kv_block_offset(entries[view.row_start + block]);
        KV_GLOBAL kv_u8 *in_buffer = memory + (buffers[sequence] - a.buffer_memory) + block * a.block_bytes;
        kv_copy_bytes(is_gather ? in_buffer : in_pool, is_gather ? in_pool : in_buffer, a.block_bytes, KV_ITEM, KV_ITEMS);
    }
}

#define KV_DEFINE_MOVE_BLOCKS(function, is_gather)                                                                                           \
    KV_KERNEL function(const KvBlockRowsArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3) KV_MEMORY(4)) {                       \
        kv_move_blocks(                                                                                                                       \
            is_gather, a, KV_AT(0, const KvSequenceView, a.views), KV_AT(1, const kv_u32, a.entries), KV_AT(2, kv_u8, a.pool),                \
            KV_AT(3, const kv_u64, a.buffers), KV_AT(4, kv_u8, a.buffer_memory));                                                             \
    }

KV_DEFINE_MOVE_BLOCKS(kv_gather_blocks, 1)
KV_DEFINE_MOVE_BLOCKS(kv_scatter_blocks, 0)

/* Copies tokens of sequences that have a window from their blocks to it, or its new ones back. A group takes every GroupsY-th token. */
KV_INLINE void kv_move_windows(int is_gather, KvWindowArguments a, KV_GLOBAL const KvSequenceView *views, KV_GLOBAL const kv_u32 *entries, KV_GLOBAL kv_u8 *pool, KV_GLOBAL const kv_u64 *windows, KV_GLOBAL const kv_u32 *first_tokens) {
    const kv_u32 sequence = KV_GROUP(0);
    const KvSequenceView view = kv_view(views, sequence);
    const kv_u64 window = windows[sequence];
    const kv_u32 first_new = view.token_count - view.new_tokens;
    const kv_u32 first = is_gather ? first_tokens[sequence] : first_new;
    const kv_u32 end = kv_is_empty(view) || window == 0 ? 0 : is_gather ? first_new : view.token_count;

    /* Heads that lie side by side in the block as well are copied at once. */
    const kv_u32 heads = a.block.head_stride == a.window.head_stride ? 1u : a.block.heads;
    const kv_u32 bytes = a.window.plane_stride / heads;
    const kv_u32 runs = a.block.layers * a.block.planes * heads;
    KV_GLOBAL kv_u8 *in_window = pool + (window + a.displacement - a.pool);
    for (kv_u32 token = first + KV_GROUP(1); token < end; token += KV_GROUPS(1)) {
        const kv_u64 block = kv_block_offset(entries[kv_entry_index(view, a.block, token)]);
        for (kv_u32 run = 0; run < runs; run++) {
            const kv_u32 head = run % heads;
            const kv_u32 plane = run / heads % a.block.planes;
            const kv_u32 layer = run / heads / a.block.planes;
            KV_GLOBAL kv_u8 *x = pool + block + kv_offset_in_block(a.block, token, layer, plane, head);
            KV_GLOBAL kv_u8 *y = in_window + (kv_u64)token * a.window.token_stride + layer * a.window.layer_stride + (kv_u64)plane * a.window.plane_stride + (kv_u64)head * a.window.head_stride;
            kv_copy_bytes(is_gather ? y : x, is_gather ? x : y, bytes, KV_ITEM, KV_ITEMS);
        }
    }
}

#define KV_DEFINE_MOVE_WINDOWS(function, is_gather)                                                                                          \
    KV_KERNEL function(const KvWindowArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3) KV_MEMORY(4)) {                          \
        kv_move_windows(                                                                                                                      \
            is_gather, a, KV_AT(0, const KvSequenceView, a.views), KV_AT(1, const kv_u32, a.entries), KV_AT(2, kv_u8, a.pool),                \
            KV_AT(3, const kv_u64, a.windows), KV_AT(4, const kv_u32, a.first_tokens));                                                       \
    }

KV_DEFINE_MOVE_WINDOWS(kv_gather_windows, 1)
KV_DEFINE_MOVE_WINDOWS(kv_store_windows, 0)

#endif
