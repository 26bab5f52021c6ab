/*
 * Decode and prefill for groups of KV_ROWS rows and heads of up to 128 * KV_SLABS dimensions: included once for each such size.
 * KV_FLOATS and KV_INTS name the vectors of KV_ROWS lanes.
 */
#include "attention.h"

#ifndef KV_SIZED
#define KV_PASTE_(a, b, c, d) a##_##b##_##c##_##d
#define KV_PASTE(a, b, c, d) KV_PASTE_(a, b, c, d)
#define KV_SIZED(name) KV_PASTE(name, KV_SIZE, KV_IS_PREFILL, sized)
#define KV_CAT_(a, b) a##b
#define KV_CAT(a, b) KV_CAT_(a, b)
#define KV_VECTOR KV_CAT(kv_f32x, KV_ROWS)
#define KV_INDICES KV_CAT(kv_i32x, KV_ROWS)
#define KV_EXP2 KV_CAT(kv_exp2_, KV_ROWS)
/* Rows whose sums are in registers at a time. */
#define KV_ADDED_ROWS (KV_LANES == 1 ? KV_ROWS : 4u)
#define KV_AT_ROW(vector, row) (((const float *)&(vector))[row])
#define KV_ENTRY_(name, source, size, format) name##_##source##_##size##_##format
#define KV_ENTRY(name, source, size, format) KV_ENTRY_(name, source, size, format)
#endif

/* On chip, for one group. */
typedef struct KV_SIZED(KvScratch) {
    KV_LOCAL KV_VECTOR *queries; /* [dim], 0 beyond */
    KV_LOCAL KV_VECTOR *weights; /* [token of a tile]: scores, then weights */
    KV_LOCAL KV_VECTOR *maxima;  /* [KV_MAXIMA] */
    KV_LOCAL KV_VECTOR *sums;    /* [1] */
    KV_LOCAL kv_u64 *at;         /* [token of a part]: where it lies in the pool */
    KV_LOCAL kv_u32 *stage;
} KV_SIZED(KvScratch);

/* What the rows of a group are. */
typedef struct KV_SIZED(KvRows) {
    KV_INDICES low;     /* first token that each row sees */
    KV_INDICES high;    /* the token after the last */
    kv_u32 first;       /* first token that any row sees */
    kv_u32 end;         /* the token after the last that any row sees */
    kv_u32 common;      /* first token that all rows see */
    kv_u32 common_end;  /* the token after the last that all rows see */
    KV_GLOBAL const kv_u8 *keys;
    KV_GLOBAL const kv_u8 *values;
    kv_u32 dim;
    int is_wide;
} KV_SIZED(KvRows);

/* m and l of each row, and a work-item's share of acc. l is right in the group's first work-item alone. */
typedef struct KV_SIZED(KvState) {
    KV_VECTOR max;
    KV_VECTOR sum;
    kv_lanes acc[KV_ROWS][KV_SLABS][2];
} KV_SIZED(KvState);

KV_INLINE void KV_SIZED(kv_clear)(KV_SIZED(KvState) * state) {
    state->max = (KV_VECTOR)(KV_MINUS_INFINITY);
    state->sum = (KV_VECTOR)(0.0f);
    KV_UNROLL
    for (kv_u32 row = 0; row < KV_ROWS; row++) {
        KV_UNROLL
        for (kv_u32 i = 0; i < 2 * KV_SLABS; i++) {
            state->acc[row][i / 2][i % 2] = (kv_lanes)(0.0f);
        }
    }
}

/*
 * Reads the queries of rows first to first + count - 1 of a sequence: row r is new token r / group and query head r % group of the KV head's.
 * Rows that there are not see what the last one sees.
 */
KV_INLINE KV_SIZED(KvRows) KV_SIZED(kv_read_rows)(KvAttentionArguments a, KvSequenceView view, KvAttentionMemory in, kv_u64 buffer, kv_u32 sequence, kv_u32 head, kv_u32 group, kv_u32 first, kv_u32 count, KV_SIZED(KvScratch) on) {
    KV_SIZED(KvRows) rows;
    const kv_u32 first_new = view.token_count - view.new_tokens;
    rows.dim = a.kv.shape.head_dim;
    rows.first = 0xFFFFFFFFu;
    rows.end = 0;
    rows.common = 0;
    rows.common_end = 0xFFFFFFFFu;
    KV_UNROLL
    for (kv_u32 row = 0; row < KV_ROWS; row++) {
        const kv_u32 position = first_new + (first + kv_min(row, count - 1u)) / group;
        const kv_u32 low = kv_first_visible(view, a.kv.shape.tokens_per_block_shift, a.window_tokens, position);
        const kv_u32 high = position + 1u;
        ((int *)&rows.low)[row] = (int)low;
        ((int *)&rows.high)[row] = (int)high;
        rows.first = kv_min(rows.first, low);
        rows.end = rows.end < high ? high : rows.end;
        rows.common = rows.common < low ? low : rows.common;
        rows.common_end = kv_min(rows.common_end, high);
    }

    /* Rows before the first visible block see nothing. */
    rows.end = rows.end < rows.first ? rows.first : rows.end;
    KV_GLOBAL const kv_u8 *kv = in.pool + (kv_u64)head * a.kv.shape.head_stride;
    rows.keys = kv;
    rows.values = kv + a.kv.shape.plane_stride;
    rows.is_wide = kv_is_wide(a.kv, (kv_u64)in.pool | (buffer == 0 ? 0 : buffer - a.kv.pool));
    const float factor = a.scale * KV_LOG2_E;
    for (kv_u32 dim = KV_ITEM; dim < KV_SLABS * KV_SLAB_DIMS; dim += KV_ITEMS) {
        KV_VECTOR query;
        KV_UNROLL
        for (kv_u32 row = 0; row < KV_ROWS; row++) {
            const kv_u64 token = (kv_u64)in.row_starts[sequence] + (first + row) / group;
            const kv_u64 at = (token * a.query_heads + head * group + (first + row) % group) * rows.dim;
            ((float *)&query)[row] = row < count && dim < rows.dim ? in.queries[at + dim] * factor : 0.0f;
        }

        on.queries[dim] = query;
    }

    KV_BARRIER();
    return rows;
}

#include "attention_part.h"

#if KV_IS_PREFILL
#include "attention_prefill.h"
#define KV_ATTEND KV_SIZED(kv_prefill)
#else
#include "attention_decode.h"
#define KV_ATTEND KV_SIZED(kv_decode)
#endif

#include "attention_entries.h"

#undef KV_ATTEND
#undef KV_SIZE
#undef KV_ROWS
#undef KV_SLABS
#undef KV_IS_PREFILL
