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

/* Scores of the tokens of a tile, a token a lane; those that are not staged get something. */
KV_INLINE void KV_SIZED(kv_score)(int format, KV_SIZED(KvRows) rows, KV_SIZED(KvScratch) on, kv_u32 tile, kv_u32 first, kv_u32 end) {
    KV_VECTOR scores[KV_LANES];
    KV_UNROLL
    for (kv_u32 i = 0; i < KV_LANES; i++) {
        scores[i] = (KV_VECTOR)(0.0f);
    }

    for (kv_u32 dim = 0; dim < rows.dim; dim += KV_KEY_DIMS(format)) {
        const kv_u32 dims = kv_min(KV_KEY_DIMS(format), rows.dim - dim);
        kv_stage(format, rows.is_wide, rows.keys, on.at + tile % KV_PART_TOKENS + first, end - first, dim, dims, on.stage + first * KV_KEY_WORDS, KV_KEY_WORDS, KV_KEY_DIMS(format));
        KV_BARRIER();
        KV_LOCAL const kv_u32 *keys = on.stage + KV_ITEM * KV_LANES * KV_KEY_WORDS;
#if KV_LANES == 1
        const kv_u32 unit_dims = 16u / KV_ELEMENT_BYTES(format);
        for (kv_u32 i = 0; i < dims; i += unit_dims) {
            const kv_u32x4 unit = *(KV_LOCAL const kv_u32x4 *)(keys + i * KV_ELEMENT_BYTES(format) / 4u);
            KV_UNROLL
            for (kv_u32 j = 0; j < unit_dims; j++) {
                scores[0] = kv_fma((KV_VECTOR)(kv_staged(format, unit, j)), on.queries[dim + i + j], scores[0]);
            }
        }
#else
        for (kv_u32 i = 0; i < dims; i++) {
            const KV_VECTOR query = on.queries[dim + i];
#pragma unroll
            for (kv_u32 j = 0; j < KV_LANES; j++) {
                scores[j] = kv_fma((KV_VECTOR)(((KV_LOCAL const float *)keys)[j * KV_KEY_WORDS + i]), query, scores[j]);
            }
        }
#endif
        KV_BARRIER();
    }

    KV_UNROLL
    for (kv_u32 i = 0; i < KV_LANES; i++) {
        const kv_u32 token = KV_ITEM * KV_LANES + i;
        const KV_INDICES position = (KV_INDICES)((int)(tile + token));
        const KV_VECTOR none = (KV_VECTOR)(KV_MINUS_INFINITY);
        on.weights[token] = position < rows.low ? none : (position < rows.high ? scores[i] : none);
    }

    KV_BARRIER();
}

/* From scores to weights; takes tokens first to end - 1 of the tile into (m, l) and scales acc. */
KV_INLINE void KV_SIZED(kv_weigh)(KV_SIZED(KvScratch) on, KV_SIZED(KvState) * state, kv_u32 first, kv_u32 end) {
    if (KV_ITEM < KV_MAXIMA) {
        KV_VECTOR max = on.weights[KV_ITEM * KV_MAXIMUM_TOKENS];
        KV_UNROLL
        for (kv_u32 i = 1; i < KV_MAXIMUM_TOKENS; i++) {
            max = kv_max(max, on.weights[KV_ITEM * KV_MAXIMUM_TOKENS + i]);
        }

        on.maxima[KV_ITEM] = max;
    }

    KV_BARRIER();
    KV_VECTOR max = state->max;
    KV_UNROLL
    for (kv_u32 i = 0; i < KV_MAXIMA; i++) {
        max = kv_max(max, on.maxima[i]);
    }

    /* A row that has seen nothing has no largest score; any finite one keeps its weights at 0. */
    const KV_VECTOR origin = max < (KV_VECTOR)(KV_LOWEST) ? (KV_VECTOR)(0.0f) : max;
    const KV_VECTOR scale = KV_EXP2(state->max - origin);
    state->max = max;
    KV_UNROLL
    for (kv_u32 i = 0; i < KV_LANES; i++) {
        on.weights[KV_ITEM * KV_LANES + i] = KV_EXP2(on.weights[KV_ITEM * KV_LANES + i] - origin);
    }

    KV_UNROLL
    for (kv_u32 row = 0; row < KV_ROWS; row++) {
        KV_UNROLL
        for (kv_u32 i = 0; i < 2 * KV_SLABS; i++) {
            state->acc[row][i / 2][i % 2] *= KV_AT_ROW(scale, row);
        }
    }

    KV_BARRIER();
    if (KV_LANES > 1 || KV_ITEM == 0) {
        KV_VECTOR sum = (KV_VECTOR)(0.0f);
        for (kv_u32 token = first; token < end; token++) {
            sum += on.weights[token];
        }

        state->sum = kv_fma(state->sum, scale, sum);
    }
}

/* acc += weights . V for some staged tokens, which all rows see or each row for itself. */
KV_INLINE void KV_SIZED(kv_add)(int format, int all_see, KV_SIZED(KvRows) rows, KV_LOCAL const KV_VECTOR *weights, KV_LOCAL const kv_u32 *values, KV_SIZED(KvState) * state, kv_u32 slab, kv_u32 position, kv_u32 tokens) {
    KV_UNROLL
    for (kv_u32 first = 0; first < KV_ROWS; first += KV_ADDED_ROWS) {
        kv_lanes sums[KV_ADDED_ROWS][2];
#pragma unroll
        for (kv_u32 i = 0; i < 2 * KV_ADDED_ROWS; i++) {
            sums[i / 2][i % 2] = state->acc[first + i / 2][slab][i % 2];
        }

    KV_UNROLL_SOME
        for (kv_u32 token = 0; token < tokens; token++) {
            const kv_lanes left = kv_staged_value(format, values + token * KV_VALUE_WORDS(format), 0);
            const kv_lanes right = kv_staged_value(format, values + token * KV_VALUE_WORDS(format), 1);
            const int at = (int)(position + token);
#pragma unroll
            for (kv_u32 row = 0; row < KV_ADDED_ROWS; row++) {
                if (all_see || (((const int *)&rows.low)[first + row] <= at && at < ((const int *)&rows.high)[first + row])) {
                    const kv_lanes weight = (kv_lanes)(((KV_LOCAL const float *)(weights + token))[first + row]);
                    sums[row][0] = kv_fma(weight, left, sums[row][0]);
                    sums[row][1] = kv_fma(weight, right, sums[row][1]);
                }
            }
        }

#pragma unroll
        for (kv_u32 i = 0; i < 2 * KV_ADDED_ROWS; i++) {
            state->acc[first + i / 2][slab][i % 2] = sums[i / 2][i % 2];
        }
    }
}

/* Adds the values of tokens first to end - 1 of a tile: those before, within and after what all rows see. */
KV_INLINE void KV_SIZED(kv_add_values)(int format, KV_SIZED(KvRows) rows, KV_SIZED(KvScratch) on, KV_SIZED(KvState) * state, kv_u32 tile, kv_u32 first, kv_u32 end) {
    const kv_u32 words = KV_VALUE_WORDS(format);
    KV_UNROLL
    for (kv_u32 slab = 0; slab < KV_SLABS; slab++) {
        for (kv_u32 start = first & ~(KV_VALUE_TOKENS(format) - 1u); start < end && slab * KV_SLAB_DIMS < rows.dim; start += KV_VALUE_TOKENS(format)) {
            const kv_u32 from = first < start ? start : first;
            const kv_u32 to = kv_min(end, start + KV_VALUE_TOKENS(format));
            const kv_u32 dims = kv_min(KV_SLAB_DIMS, rows.dim - slab * KV_SLAB_DIMS);
            kv_stage(format, rows.is_wide, rows.values, on.at + tile % KV_PART_TOKENS + from, to - from, slab * KV_SLAB_DIMS, dims, on.stage, words, KV_SLAB_DIMS);
            KV_BARRIER();
#if KV_IS_PREFILL
            const kv_u32 common = rows.common < tile + from ? from : kv_min(to, rows.common - tile);
            const kv_u32 common_end = rows.common_end < tile + common ? common : kv_min(to, rows.common_end - tile);
            kv_u32 next = from;
#pragma nounroll
            for (kv_u32 i = 0; i < 2; i++) {
                const kv_u32 stop = i == 0 ? common : to;
                KV_SIZED(kv_add)(format, 0, rows, on.weights + next, on.stage + (next - from) * words, state, slab, tile + next, stop - next);
                if (i == 0) {
                    KV_SIZED(kv_add)(format, 1, rows, on.weights + common, on.stage + (common - from) * words, state, slab, tile + common, common_end - common);
                    next = common_end;
                }
            }
#else
            KV_SIZED(kv_add)(format, 1, rows, on.weights + from, on.stage, state, slab, tile + from, to - from);
#endif
            KV_BARRIER();
        }
    }
}

/* The state of one part of the tokens. */
KV_INLINE void KV_SIZED(kv_compute_part)(int format, int is_paged, KvBatch kv, KvSequenceView view, KvAttentionMemory in, kv_u64 buffer, KV_SIZED(KvRows) rows, KV_SIZED(KvScratch) on, KV_SIZED(KvState) * state, kv_u32 part) {
    const kv_u32 begin = part * KV_PART_TOKENS;
    const kv_u32 first = rows.first < begin ? 0 : rows.first - begin;
    const kv_u32 end = kv_min(rows.end - begin, KV_PART_TOKENS);
    KV_SIZED(kv_clear)(state);
    for (kv_u32 token = first + KV_ITEM; token < end; token += KV_ITEMS) {
        on.at[token] = kv_token_offset(is_paged, kv, view, in.entries, buffer, begin + token);
    }

    KV_BARRIER();
    for (kv_u32 tile = first & ~(KV_TILE_TOKENS - 1u); tile < end; tile += KV_TILE_TOKENS) {
        const kv_u32 from = first < tile ? 0 : first - tile;
        const kv_u32 to = kv_min(end - tile, KV_TILE_TOKENS);
        KV_SIZED(kv_score)(format, rows, on, begin + tile, from, to);
        KV_SIZED(kv_weigh)(on, state, from, to);
        KV_SIZED(kv_add_values)(format, rows, on, state, begin + tile, from, to);
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

#if KV_IS_PREFILL

/* Adds the part just computed, which follows, to the total. A row that has seen nothing of it stays as it is. */
KV_INLINE void KV_SIZED(kv_add_part)(KV_SIZED(KvState) * total, KV_SIZED(KvState) * part, KV_SIZED(KvScratch) on) {
    if (KV_ITEM == 0) {
        on.sums[0] = part->sum;
    }

    KV_BARRIER();
    const KV_VECTOR none = (KV_VECTOR)(KV_MINUS_INFINITY);
    const KV_VECTOR max = kv_max(total->max, part->max);
    const KV_VECTOR own = KV_EXP2(total->max - max);
    const KV_VECTOR other = KV_EXP2(part->max - max);
    const KV_VECTOR both = kv_fma(total->sum, own, on.sums[0] * other);
    KV_UNROLL
    for (kv_u32 row = 0; row < KV_ROWS; row++) {
        const int is_first = KV_AT_ROW(total->max, row) == KV_AT_ROW(none, row);
        if (KV_AT_ROW(part->max, row) != KV_AT_ROW(none, row)) {
            KV_UNROLL
            for (kv_u32 i = 0; i < 2 * KV_SLABS; i++) {
                const kv_lanes scaled = part->acc[row][i / 2][i % 2] * KV_AT_ROW(other, row);
                const kv_lanes merged = kv_fma(total->acc[row][i / 2][i % 2], (kv_lanes)(KV_AT_ROW(own, row)), scaled);
                total->acc[row][i / 2][i % 2] = is_first ? part->acc[row][i / 2][i % 2] : merged;
            }
        }
    }

    total->sum = total->max == none ? on.sums[0] : (part->max == none ? total->sum : both);
    total->max = max;
}

/* Causal attention of all new tokens of one sequence for one KV head. Every work-item has the right l of the total. */
KV_INLINE void KV_SIZED(kv_prefill)(int format, int is_paged, KvAttentionArguments a, KvAttentionMemory in, KV_SIZED(KvScratch) on) {
    const kv_u32 sequence = KV_GROUP(0);
    const kv_u32 head = KV_GROUP(1);
    const KvSequenceView view = kv_view(in.views, sequence);
    const kv_u64 buffer = is_paged ? 0 : in.buffers[sequence];
    const kv_u32 group = a.query_heads / a.kv.shape.heads;
    const kv_u32 row_count = kv_new_tokens(view) * group;
    for (kv_u32 first = KV_GROUP(2) * KV_ROWS; first < row_count; first += KV_GROUPS(2) * KV_ROWS) {
        const kv_u32 count = kv_min(KV_ROWS, row_count - first);
        const KV_SIZED(KvRows) rows = KV_SIZED(kv_read_rows)(a, view, in, buffer, sequence, head, group, first, count, on);
        KV_SIZED(KvState) total;
        KV_SIZED(KvState) state;
        KV_SIZED(kv_clear)(&total);
        for (kv_u32 part = rows.first / KV_PART_TOKENS; part * KV_PART_TOKENS < rows.end; part++) {
            KV_SIZED(kv_compute_part)(format, is_paged, a.kv, view, in, buffer, rows, on, &state, part);
            KV_SIZED(kv_add_part)(&total, &state, on);
        }

        KV_UNROLL
        for (kv_u32 row = 0; row < KV_ROWS; row++) {
            const kv_u64 token = (kv_u64)in.row_starts[sequence] + (first + row) / group;
            const kv_u64 at = (token * a.query_heads + head * group + (first + row) % group) * rows.dim;
            const float sum = KV_AT_ROW(total.sum, row);
            KV_UNROLL
            for (kv_u32 i = 0; i < 2 * KV_SLABS; i++) {
                const kv_lanes result = sum == 0.0f ? (kv_lanes)(0.0f) : total.acc[row][i / 2][i % 2] / sum;
                if (row < count) {
                    kv_write_lanes(in.outputs + at, kv_first_dim(i / 2, i % 2), rows.dim, result);
                }
            }
        }

        KV_BARRIER();
    }
}

#define KV_ATTEND KV_SIZED(kv_prefill)

#else

/* Attention of the last position of one sequence, for some query heads of one KV head: every GroupsZ-th part of its tokens. */
KV_INLINE void KV_SIZED(kv_decode)(int format, int is_paged, KvAttentionArguments a, KvAttentionMemory in, KV_SIZED(KvScratch) on) {
    const kv_u32 sequence = KV_GROUP(0);
    const kv_u32 group = a.query_heads / a.kv.shape.heads;
    const kv_u32 passes = (group + KV_ROWS - 1u) / KV_ROWS;
    const kv_u32 head = KV_GROUP(1) / passes;
    const kv_u32 first = KV_GROUP(1) % passes * KV_ROWS;
    const kv_u32 count = kv_min(KV_ROWS, group - first);
    const KvSequenceView view = kv_view(in.views, sequence);
    const kv_u64 buffer = is_paged ? 0 : in.buffers[sequence];
    kv_u32 first_part;
    const kv_u32 parts = kv_parts(a, view, &first_part);
    KV_SIZED(KvRows) rows;
    if (KV_GROUP(2) < parts) {
        rows = KV_SIZED(kv_read_rows)(a, view, in, buffer, sequence, head, group, (view.new_tokens - 1u) * group + first, count, on);
    }

    for (kv_u32 slot = KV_GROUP(2); slot < parts; slot += KV_GROUPS(2)) {
        KV_SIZED(KvState) state;
        KV_SIZED(kv_compute_part)(format, is_paged, a.kv, view, in, buffer, rows, on, &state, first_part + slot);
        KV_UNROLL
        for (kv_u32 row = 0; row < KV_ROWS; row++) {
            KV_GLOBAL float *partial = in.partials + kv_partial_offset(a, sequence, slot, head * group + first + row);
            KV_UNROLL
            for (kv_u32 i = 0; i < 2 * KV_SLABS; i++) {
                if (row < count) {
                    kv_write_lanes(partial, kv_first_dim(i / 2, i % 2), rows.dim, state.acc[row][i / 2][i % 2]);
                }
            }

            if (row < count && KV_ITEM == 0) {
                partial[rows.dim] = KV_AT_ROW(state.max, row);
                partial[rows.dim + 1] = KV_AT_ROW(state.sum, row);
            }
        }

        KV_BARRIER();
    }
}

#define KV_ATTEND KV_SIZED(kv_decode)

#endif

/* For CUDA one function for each format; through the table or not is decided when it runs. OpenCL's compilers put everything in place anyway. */
#if defined(__OPENCL_VERSION__)
#define KV_DEFINE_ATTEND(name, format)
#define KV_CALL_ATTEND(format, is_paged, a, in, on) KV_ATTEND(format, is_paged, a, in, on)
#else
#define KV_DEFINE_ATTEND(name, format)                                                                                                        \
    static __attribute__((device)) __attribute__((noinline)) void name(                                                                       \
        int is_paged, const KvAttentionArguments &a, const KvAttentionMemory &in, const KV_SIZED(KvScratch) & on) {                           \
        KV_ATTEND(format, is_paged, a, in, on);                                                                                               \
    }
#define KV_CALL_ATTEND(format, is_paged, a, in, on) KV_SIZED(KV_CAT(kv_attend_, format))(is_paged, a, in, on)
#endif
KV_DEFINE_ATTEND(KV_SIZED(kv_attend_1), KV_FLOAT16)
KV_DEFINE_ATTEND(KV_SIZED(kv_attend_2), KV_BFLOAT16)
KV_DEFINE_ATTEND(KV_SIZED(kv_attend_3), KV_FLOAT32)

#define KV_DEFINE_ATTENTION(function, format, is_paged)                                                                                       \
    KV_KERNEL function(const KvAttentionArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3) KV_MEMORY(4) KV_MEMORY(5)              \
                           KV_MEMORY(6) KV_MEMORY(7)) {                                                                                       \
        KV_LOCAL_ARRAY(KV_VECTOR, queries, KV_SLABS * KV_SLAB_DIMS);                                                                           \
        KV_LOCAL_ARRAY(KV_VECTOR, weights, KV_TILE_TOKENS);                                                                                    \
        KV_LOCAL_ARRAY(KV_VECTOR, maxima, KV_MAXIMA);                                                                                          \
        KV_LOCAL_ARRAY(KV_VECTOR, sums, 1);                                                                                                    \
        KV_LOCAL_ARRAY(kv_u64, at, KV_PART_TOKENS);                                                                                            \
        KV_LOCAL_ARRAY(kv_u32x4, stage, KV_STAGE_WORDS / 4u);                                                                                  \
        const KV_SIZED(KvScratch) on = {queries, weights, maxima, sums, at, (KV_LOCAL kv_u32 *)stage};                                         \
        const KvAttentionMemory in = KV_ATTENTION_MEMORY(a);                                                                                   \
        KV_CALL_ATTEND(format, is_paged, a, in, on);                                                                                           \
    }

/* Entry points for each element format: NAME_paged_SIZE_f16 and so on. */
#if KV_IS_PREFILL
#define KV_ENTRY_NAME kv_prefill
#else
#define KV_ENTRY_NAME kv_decode
#endif

KV_DEFINE_ATTENTION(KV_ENTRY(KV_ENTRY_NAME, paged, KV_SIZE, f16), KV_FLOAT16, 1)
KV_DEFINE_ATTENTION(KV_ENTRY(KV_ENTRY_NAME, paged, KV_SIZE, bf16), KV_BFLOAT16, 1)
KV_DEFINE_ATTENTION(KV_ENTRY(KV_ENTRY_NAME, paged, KV_SIZE, f32), KV_FLOAT32, 1)
KV_DEFINE_ATTENTION(KV_ENTRY(KV_ENTRY_NAME, contiguous, KV_SIZE, f16), KV_FLOAT16, 0)
KV_DEFINE_ATTENTION(KV_ENTRY(KV_ENTRY_NAME, contiguous, KV_SIZE, bf16), KV_BFLOAT16, 0)
KV_DEFINE_ATTENTION(KV_ENTRY(KV_ENTRY_NAME, contiguous, KV_SIZE, f32), KV_FLOAT32, 0)

#undef KV_DEFINE_ATTENTION
#undef KV_CALL_ATTEND
#undef KV_DEFINE_ATTEND
#undef KV_ENTRY_NAME
#undef KV_ATTEND
#undef KV_SIZE
#undef KV_ROWS
#undef KV_SLABS
#undef KV_IS_PREFILL
