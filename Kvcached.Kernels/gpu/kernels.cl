/* The built-in kernels, for CUDA and OpenCL C 1.2. */
#include "moves.h"
#include "tables.h"
#include "stamps.h"
#include "attention.h"

#define KV_ATTENTION_MEMORY(a)                                                                                                              \
    {                                                                                                                                       \
        KV_AT(0, const KvSequenceView, (a).kv.views), KV_AT(1, const kv_u32, (a).kv.entries), KV_AT(2, const kv_u8, (a).kv.pool),            \
            KV_AT(3, const kv_u64, (a).kv.buffers), KV_AT(4, const float, (a).queries), KV_AT(5, float, (a).outputs),                        \
            KV_AT(6, const kv_u32, (a).row_starts), KV_AT(7, float, (a).partials)                                                            \
    }

#define KV_SIZE 4x128
#define KV_ROWS 4
#define KV_SLABS 1
#define KV_IS_PREFILL 0
#include "attention_rows.h"

#define KV_SIZE 8x128
#define KV_ROWS 8
#define KV_SLABS 1
#define KV_IS_PREFILL 0
#include "attention_rows.h"

#define KV_SIZE 4x640
#define KV_ROWS 4
#define KV_SLABS 5
#define KV_IS_PREFILL 0
#include "attention_rows.h"

#define KV_SIZE 16x128
#define KV_ROWS 16
#define KV_SLABS 1
#define KV_IS_PREFILL 1
#include "attention_rows.h"

#define KV_SIZE 4x640
#define KV_ROWS 4
#define KV_SLABS 5
#define KV_IS_PREFILL 1
#include "attention_rows.h"

#include "merge.h"
