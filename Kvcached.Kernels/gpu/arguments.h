/* Arguments of the built-in kernels: the structs of Kvcached.Kernels/Arguments, where their fields are explained, byte for byte. */
#ifndef KV_ARGUMENTS_H
#define KV_ARGUMENTS_H

#include "kvcached.h"

typedef struct KvBatch {
    kv_u64 views;
    kv_u64 entries;
    kv_u64 pool;
    kv_u64 buffers;
    KvShape shape;
    kv_u32 batch;
    kv_u32 layer;
    kv_u32 format;
    kv_u32 reserved;
} KvBatch;

typedef struct KvWriteArguments {
    KvBatch kv;
    kv_u64 keys;
    kv_u64 values;
    kv_u64 row_starts;
} KvWriteArguments;

typedef struct KvAttentionArguments {
    KvBatch kv;
    kv_u64 queries;
    kv_u64 outputs;
    kv_u64 row_starts;
    kv_u64 partials;
    kv_u32 max_parts;
    kv_u32 query_heads;
    kv_u32 window_tokens;
    float scale;
} KvAttentionArguments;

typedef struct KvCopyArguments {
    kv_u64 source;
    kv_u64 target;
    kv_u64 bytes;
} KvCopyArguments;

#define KV_COPY_RANGES 32

typedef struct KvCopyBatchArguments {
    kv_u64 source;
    kv_u64 target;
    kv_u32 count;
    kv_u32 reserved;
    KvCopyArguments ranges[KV_COPY_RANGES];
} KvCopyBatchArguments;

typedef struct KvFillArguments {
    kv_u64 target;
    kv_u64 bytes;
    kv_u64 value;
} KvFillArguments;

typedef struct KvBlockRowsArguments {
    kv_u64 views;
    kv_u64 entries;
    kv_u64 pool;
    kv_u64 buffers;
    kv_u64 buffer_memory;
    kv_u64 block_bytes;
    kv_u32 batch;
    kv_u32 reserved;
} KvBlockRowsArguments;

typedef struct KvPageTableArguments {
    kv_u64 views;
    kv_u64 entries;
    KvPageTable table;
    kv_u32 batch;
    kv_u32 tokens_per_block_shift;
    kv_u32 granules_per_block_shift;
    kv_u32 reserved;
} KvPageTableArguments;

typedef struct KvWindowArguments {
    kv_u64 views;
    kv_u64 entries;
    kv_u64 pool;
    kv_u64 windows;
    kv_u64 first_tokens;
    kv_u64 displacement;
    KvShape block;
    KvShape window;
    kv_u32 batch;
    kv_u32 reserved;
} KvWindowArguments;

typedef struct KvTableUpdateArguments {
    kv_u64 table;
    kv_u64 updates;
    kv_u32 count;
    kv_u32 reserved;
} KvTableUpdateArguments;

typedef struct KvStampedSequence {
    kv_u32 sequence_id;
    kv_u32 token_count;
    kv_u32 new_tokens;
    kv_u32 changed_from;
    kv_u32 version;
    kv_u32 refused;
} KvStampedSequence;

typedef struct KvStampTally {
    kv_u32 verified_granules[2];
    kv_u32 mismatched_granules[2];
    kv_u32 first_claimed;
    kv_u32 first_sequence;
    kv_u32 first_position;
    kv_u32 first_granule;
    kv_u64 first_pool_offset;
    kv_u64 reserved[3];
} KvStampTally;

typedef struct KvStampArguments {
    kv_u64 pool;
    kv_u64 pool_bytes;
    kv_u64 entries;
    kv_u64 views;
    kv_u64 sequences;
    kv_u64 tally;
    KvShape shape;
    int count;
} KvStampArguments;

KV_ASSERT_BYTES(KvBatch, 112);
KV_ASSERT_BYTES(KvWriteArguments, 136);
KV_ASSERT_BYTES(KvAttentionArguments, 160);
KV_ASSERT_BYTES(KvCopyArguments, 24);
KV_ASSERT_BYTES(KvCopyBatchArguments, 792);
KV_ASSERT_BYTES(KvFillArguments, 24);
KV_ASSERT_BYTES(KvBlockRowsArguments, 56);
KV_ASSERT_BYTES(KvPageTableArguments, 80);
KV_ASSERT_BYTES(KvWindowArguments, 184);
KV_ASSERT_BYTES(KvTableUpdateArguments, 24);
KV_ASSERT_BYTES(KvStampedSequence, 24);
KV_ASSERT_BYTES(KvStampTally, 64);
KV_ASSERT_BYTES(KvStampArguments, 120);

#endif
