/*
 * The table ABI of Kvcached, version 1: how a kernel finds a token's keys and values (docs/table-abi.md).
 * Compiles alone as CUDA C++, as OpenCL C 1.2 and as C11; includes nothing. Nothing is checked: layer, plane, head and token must lie in the
 * shape and in the view, from first_visible_block on.
 *
 *   entry = entries[view.row_start + token / tokens per block]
 *   byte  = entry * 256 + layer * layer_stride + plane * plane_stride + head * head_stride + (token % tokens per block) * token_stride
 */
#ifndef KVCACHED_H
#define KVCACHED_H

#if defined(__OPENCL_VERSION__)
typedef uint kv_u32;
typedef ulong kv_u64;
#define KV_HEAP __global
#define KV_FUNCTION static inline
#define KV_ASSERT_BYTES(type, bytes) typedef char type##_has_##bytes##_bytes[sizeof(type) == bytes ? 1 : -1]
#else
typedef unsigned int kv_u32;
typedef unsigned long long kv_u64;
#if defined(__CUDA__) || defined(__CUDACC__)
#define KV_HEAP
#define KV_FUNCTION static inline __attribute__((host)) __attribute__((device))
#else
#define KV_HEAP
#define KV_FUNCTION static inline
#endif
#if defined(__cplusplus)
#define KV_ASSERT_BYTES(type, bytes) static_assert(sizeof(type) == bytes, "The table ABI is laid out by bytes.")
#else
#define KV_ASSERT_BYTES(type, bytes) _Static_assert(sizeof(type) == bytes, "The table ABI is laid out by bytes.")
#endif
#endif

#define KV_TABLE_ABI_VERSION 1

/* Bytes of a granule, the unit that entries count in. */
#define KV_GRANULE_BYTES 256

/* KvSequenceView.flags: the step was refused for this sequence, and there is nothing to do for it. */
#define KV_VIEW_REFUSED 1u

/* What a kernel gets for one sequence of a step: constant from the step's begin point to its end point. */
typedef struct KvSequenceView {
    kv_u32 row_start;           /* index in the entry heap of the entry of block 0 */
    kv_u32 block_count;         /* blocks that hold token_count tokens */
    kv_u32 token_count;         /* tokens of the sequence after this step, the step's own included */
    kv_u32 new_tokens;          /* tokens that this step writes: positions token_count - new_tokens to token_count - 1 */
    kv_u32 first_visible_block; /* first block that a kernel may read; entries before it are stale */
    kv_u32 flags;               /* KV_VIEW_REFUSED */
    kv_u32 sequence_id;         /* number of the sequence, never given twice by one cache */
    kv_u32 reserved;            /* 0 */
} KvSequenceView;

/* Strides of one layout, in bytes. */
typedef struct KvShape {
    kv_u64 block_bytes;            /* a multiple of KV_GRANULE_BYTES */
    kv_u64 layer_stride;
    kv_u32 plane_stride;
    kv_u32 head_stride;
    kv_u32 token_stride;
    kv_u32 tokens_per_block_shift; /* binary logarithm of the tokens in a block */
    kv_u32 layers;
    kv_u32 planes;                 /* 2 for K and V, 1 for an MLA latent */
    kv_u32 heads;
    kv_u32 head_dim;
    kv_u32 element_bytes;
    kv_u32 page_shift;             /* where the layout has page tables: binary logarithm of block_bytes; else 0 */
    kv_u64 reserved;               /* 0 */
} KvShape;

/* Where the page tables of one layout of a step lie: addresses of arrays of int32. */
typedef struct KvPageTable {
    kv_u64 block_table;       /* [batch][max_pages] */
    kv_u64 sequence_lengths;  /* [batch] */
    kv_u64 indptr;            /* [batch + 1] */
    kv_u64 indices;           /* [indptr[batch]] */
    kv_u64 last_page_lengths; /* [batch] */
    kv_u32 max_pages;
    kv_u32 reserved;          /* 0 */
} KvPageTable;

KV_ASSERT_BYTES(KvSequenceView, 32);
KV_ASSERT_BYTES(KvShape, 64);
KV_ASSERT_BYTES(KvPageTable, 48);

/* Whether there is nothing to do for a view. */
KV_FUNCTION int kv_is_empty(KvSequenceView view) {
    return (view.flags & KV_VIEW_REFUSED) != 0 || view.block_count == 0 || view.token_count == 0;
}

/* Index in the entry heap of the entry that covers a token. */
KV_FUNCTION kv_u32 kv_entry_index(KvSequenceView view, KvShape shape, kv_u32 token) {
    return view.row_start + (token >> shape.tokens_per_block_shift);
}

/* Byte in the pool at which the block of an entry starts. */
KV_FUNCTION kv_u64 kv_block_offset(kv_u32 entry) {
    return (kv_u64)entry * KV_GRANULE_BYTES;
}

/* Bytes from the start of its block to a token's elements. */
KV_FUNCTION kv_u64 kv_offset_in_block(KvShape shape, kv_u32 token, kv_u32 layer, kv_u32 plane, kv_u32 head) {
    kv_u32 token_in_block = token & ((1u << shape.tokens_per_block_shift) - 1u);
    return layer * shape.layer_stride + (kv_u64)plane * shape.plane_stride + (kv_u64)head * shape.head_stride + (kv_u64)token_in_block * shape.token_stride;
}

/* Byte in the pool of element 0 of one head of one token. */
KV_FUNCTION kv_u64 kv_offset(KV_HEAP const kv_u32 *entries, KvSequenceView view, KvShape shape, kv_u32 token, kv_u32 layer, kv_u32 plane, kv_u32 head) {
    return kv_block_offset(entries[kv_entry_index(view, shape, token)]) + kv_offset_in_block(shape, token, layer, plane, head);
}

#endif
