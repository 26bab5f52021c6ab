/*
 * Attention of a few rows, (position, query head) pairs of one sequence that share a KV head, to the tokens of that sequence: what decode and
 * prefill have in common, whatever the rows of a group.
 *
 *   part of 256 tokens:   (m, l, acc) starts empty; where each token lies is looked up once and kept
 *     tile of 64 tokens:    a lane owns one token: scores[token][row] = K . Q     one chain of fma over the dimension
 *                           m, l, weights                                         one vector lane per row
 *                           a lane owns two dimensions of 128: acc += weights . V one chain of fma over the tokens
 *   parts are merged in ascending order
 *
 * Parts and tiles begin at multiples of their size, and each row takes exactly the tokens that it sees, in order: the arithmetic of the cpu
 * device, bit for bit. A group has 64 lanes. Keys and values are staged on chip: as they are stored where a lane is a thread, read 16 bytes at a
 * time if they lie so, and as float32 where it is part of a CPU's vector.
 */
#ifndef KV_ATTENTION_H
#define KV_ATTENTION_H

#include "elements.h"
#include "sequences.h"
#include "softmax.h"

#define KV_PART_TOKENS 256u
#define KV_TILE_TOKENS 64u
#define KV_GROUP_LANES 64u
#define KV_SLAB_DIMS 128u

/* Lanes of the group's maxima: each takes so many tokens of a tile. */
#define KV_MAXIMUM_TOKENS (KV_LANES > 8 ? KV_LANES : 8u)
#define KV_MAXIMA (KV_TILE_TOKENS / KV_MAXIMUM_TOKENS)

#define KV_STAGED_BYTES(format) (KV_LANES == 1 ? KV_ELEMENT_BYTES(format) : 4u)

/* Keys are staged so many dimensions at a time, in rows that are a quarter of the banks apart, and values so many tokens. */
#define KV_KEY_DIMS(format) (256u / KV_STAGED_BYTES(format))
#define KV_KEY_WORDS 68u
#define KV_VALUE_TOKENS(format) (128u / KV_STAGED_BYTES(format))
#define KV_VALUE_WORDS(format) (KV_SLAB_DIMS * KV_STAGED_BYTES(format) / 4u)
#define KV_STAGE_WORDS (KV_TILE_TOKENS * KV_KEY_WORDS)

typedef struct KvAttentionMemory {
    KV_GLOBAL const KvSequenceView *views;
    KV_GLOBAL const kv_u32 *entries;
    KV_GLOBAL const kv_u8 *pool;
    KV_GLOBAL const kv_u64 *buffers;
    KV_GLOBAL const float *queries;
    KV_GLOBAL float *outputs;
    KV_GLOBAL const kv_u32 *row_starts;
    KV_GLOBAL float *partials;
} KvAttentionMemory;

/* Whether all keys and values lie at multiples of 16 bytes, and are whole ones. */
KV_INLINE int kv_is_wide(KvBatch kv, kv_u64 first) {
    return ((first | kv.shape.layer_stride | kv.shape.plane_stride | kv.shape.head_stride | kv.shape.token_stride | kv.shape.head_dim * kv.shape.element_bytes) & 15u) == 0;
}

/*
 * Dimensions first to first + dims - 1 of some tokens into rows of row_dims elements, words apart. at: where each token lies; plane: from there
 * to the head's keys or values. Dimensions up to row_dims that there are not become 0, if only up to whole 16 bytes.
 */
KV_INLINE void kv_stage(int format, int is_wide, KV_GLOBAL const kv_u8 *plane, KV_LOCAL const kv_u64 *at, kv_u32 tokens, kv_u32 first, kv_u32 dims, KV_LOCAL kv_u32 *stage, kv_u32 words, kv_u32 row_dims) {
    const kv_u32 element_bytes = KV_ELEMENT_BYTES(format);
#if KV_LANES == 16
    for (kv_u32 token = KV_ITEM; token < tokens; token += KV_ITEMS) {
        KV_GLOBAL const kv_u8 *row = plane + at[token];
        KV_LOCAL float *target = (KV_LOCAL float *)(stage + token * words);
        kv_u32 dim = 0;
        for (; dim + 16 <= dims; dim += 16) {
            vstore16(kv_elements16(format, row, first + dim), 0, target + dim);
        }

        for (; dim < dims; dim++) {
            target[dim] = kv_element(format, row, first + dim);
        }
    }

    (void)is_wide;
    (void)row_dims;
    (void)element_bytes;
#else
    if (is_wide) {
        /* All loads before the first store: 16 are on their way at a time. */
        const kv_u32 unit_dims = 16u / element_bytes;
        const kv_u32 units = row_dims / unit_dims;
        kv_u32x4 held[16];
#pragma unroll
        for (kv_u32 i = 0; i < 16; i++) {
            const kv_u32 unit = (i * KV_GROUP_LANES + KV_ITEM) % units;
            const kv_u32 token = (i * KV_GROUP_LANES + KV_ITEM) / units;
            if (token < tokens && unit * unit_dims < dims) {
                held[i] = *(KV_GLOBAL const kv_u32x4 *)(plane + at[token] + (first + unit * unit_dims) * element_bytes);
            }
        }

#pragma unroll
        for (kv_u32 i = 0; i < 16; i++) {
            const kv_u32 unit = (i * KV_GROUP_LANES + KV_ITEM) % units;
            const kv_u32 token = (i * KV_GROUP_LANES + KV_ITEM) / units;
            if (token < tokens && unit * unit_dims < dims) {
                *(KV_LOCAL kv_u32x4 *)(stage + token * words + unit * 4u) = held[i];
            }
        }
    } else {
#pragma nounroll
        for (kv_u32 i = KV_ITEM; i < tokens * row_dims; i += KV_GROUP_LANES) {
            const kv_u32 token = i / row_dims;
            const kv_u32 dim = i % row_dims;
            KV_GLOBAL const kv_u8 *row = plane + at[token] + first * element_bytes;
            if (element_bytes == 4) {
                stage[token * words + dim] = dim < dims ? ((KV_GLOBAL const kv_u32 *)row)[dim] : 0;
            } else {
                ((KV_LOCAL kv_u16 *)(stage + token * words))[dim] = dim < dims ? ((KV_GLOBAL const kv_u16 *)row)[dim] : (kv_u16)0;
            }
        }
    }
#endif
}

#if KV_LANES == 1
/* Element i of 16 bytes of a stage. */
KV_INLINE float kv_staged(int format, kv_u32x4 unit, kv_u32 i) {
    if (format == KV_FLOAT32) {
        return kv_as_float(((const kv_u32 *)&unit)[i]);
    }

    return kv_widen(format, (((const kv_u32 *)&unit)[i / 2] >> (i % 2 * 16)) & 0xFFFFu);
}
#endif

/* Part j of the lanes' dimensions of a token's staged value: a lane's are two neighbours of the slab. */
KV_INLINE kv_lanes kv_staged_value(int format, KV_LOCAL const kv_u32 *row, kv_u32 j) {
#if KV_LANES == 16
    (void)format;
    return vload16(0, (KV_LOCAL const float *)row + KV_ITEM * 32u + j * 16u);
#else
    if (format == KV_FLOAT32) {
        return kv_as_float(row[KV_ITEM * 2u + j]);
    }

    return kv_widen(format, (row[KV_ITEM] >> (j * 16u)) & 0xFFFFu);
#endif
}

/* First dimension of part j of a work-item's lanes. */
KV_INLINE kv_u32 kv_first_dim(kv_u32 slab, kv_u32 j) {
    return slab * KV_SLAB_DIMS + KV_ITEM * 2u * KV_LANES + j * KV_LANES;
}

/* Writes the lanes whose dimensions there are. */
KV_INLINE void kv_write_lanes(KV_GLOBAL float *row, kv_u32 dim, kv_u32 dims, kv_lanes value) {
    if (dim + KV_LANES <= dims) {
        KV_STORE_LANES(value, row + dim);
    } else if (KV_LANES > 1) {
        for (kv_u32 i = 0; dim + i < dims; i++) {
            row[dim + i] = ((const float *)&value)[i];
        }
    }
}

/* Parts that hold tokens which the last position sees; 0 where there is nothing to do. */
KV_INLINE kv_u32 kv_parts(KvAttentionArguments a, KvSequenceView view, kv_u32 *first_part) {
    *first_part = 0;
    if (kv_new_tokens(view) == 0) {
        return 0;
    }

    kv_u32 last = view.token_count - 1;
    kv_u32 low = kv_first_visible(view, a.kv.shape.tokens_per_block_shift, a.window_tokens, last);
    *first_part = low / KV_PART_TOKENS;
    kv_u32 parts = low > last ? 0 : last / KV_PART_TOKENS - *first_part + 1;
    return parts <= a.max_parts ? parts : 0;
}

/* Where a query head's state of a part is kept: acc, m, l. */
KV_INLINE kv_u64 kv_partial_offset(KvAttentionArguments a, kv_u32 sequence, kv_u32 slot, kv_u32 query_head) {
    return (((kv_u64)sequence * a.max_parts + slot) * a.query_heads + query_head) * (a.kv.shape.head_dim + 2u);
}

#endif
