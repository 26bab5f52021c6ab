/* Prefill: the parts of each group of rows, one after the other. Included by attention_rows.h for each size. */

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
