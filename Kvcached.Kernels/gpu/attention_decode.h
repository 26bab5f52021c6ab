/* Decode: parts on their own, which kv_merge puts together. Included by attention_rows.h for each size. */

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
