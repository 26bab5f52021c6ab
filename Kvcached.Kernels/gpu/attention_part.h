/*
 * The state of one part of the tokens, for the rows of a group: scores, weights and values of its tiles. Included by attention_rows.h for each size.
 */

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

    /* With one slab acc is in registers. With more it is not, but read and written once for all staged tokens. */
#pragma nounroll
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
