/* Kernels that write tables: entries of the heap, and page tables. */
#ifndef KV_TABLES_H
#define KV_TABLES_H

#include "sequences.h"

#define KV_UPDATES_AT_ONCE 256u

/*
 * Writes (index, value) pairs in their order. One group takes so many at a time: of pairs for one index the last writes, and a barrier stands
 * between it and those that follow.
 */
KV_KERNEL kv_update_table(const KvTableUpdateArguments a KV_MEMORY(0) KV_MEMORY(1)) {
    KV_LOCAL_ARRAY(kv_u32, indices, KV_UPDATES_AT_ONCE);
    KV_GLOBAL kv_u32 *table = KV_AT(0, kv_u32, a.table);
    KV_GLOBAL const kv_u32 *updates = KV_AT(1, const kv_u32, a.updates);
    for (kv_u32 first = 0; first < a.count; first += KV_UPDATES_AT_ONCE) {
        const kv_u32 count = kv_min(KV_UPDATES_AT_ONCE, a.count - first);
        for (kv_u32 i = KV_ITEM; i < count; i += KV_ITEMS) {
            indices[i] = updates[2 * (kv_u64)(first + i)];
        }

        KV_BARRIER();
        for (kv_u32 i = KV_ITEM; i < count; i += KV_ITEMS) {
            kv_u32 is_last = 1;
            for (kv_u32 later = i + 1; later < count; later++) {
                is_last &= indices[later] != indices[i];
            }

            if (is_last) {
                table[indices[i]] = updates[2 * (kv_u64)(first + i) + 1];
            }
        }

        KV_BARRIER_GLOBAL();
    }
}

/* Writes the page tables of a step's views. A group is one sequence, and counts the pages before its own. */
KV_KERNEL kv_page_tables(const KvPageTableArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3) KV_MEMORY(4) KV_MEMORY(5) KV_MEMORY(6)) {
    KV_LOCAL_ARRAY(kv_u32, counts, KV_MAX_ITEMS);
    KV_GLOBAL const KvSequenceView *views = KV_AT(0, const KvSequenceView, a.views);
    const kv_u32 sequence = KV_GROUP(0);
    kv_u32 count = 0;
    for (kv_u32 i = KV_ITEM; i < sequence; i += KV_ITEMS) {
        count += kv_visible_blocks(kv_view(views, i));
    }

    counts[KV_ITEM] = count;
    KV_BARRIER();
    kv_u32 before = 0;
    for (kv_u32 i = 0; i < KV_ITEMS; i++) {
        before += counts[i];
    }

    const KvSequenceView view = kv_view(views, sequence);
    const kv_u32 visible = kv_visible_blocks(view);
    const kv_u32 first = view.first_visible_block;
    KV_GLOBAL const kv_u32 *entries = KV_AT(1, const kv_u32, a.entries) + view.row_start;
    KV_GLOBAL int *row = KV_AT(2, int, a.table.block_table) + (kv_u64)sequence * a.table.max_pages;
    KV_GLOBAL int *indices = KV_AT(5, int, a.table.indices) + before;
    for (kv_u32 i = KV_ITEM; i < visible; i += KV_ITEMS) {
        const int page = (int)(entries[first + i] >> a.granules_per_block_shift);
        indices[i] = page;
        row[first + i] = page;
    }

    /* Entries out of sight are stale, and a kernel that reads a whole row must find pages of the pool. */
    for (kv_u32 i = KV_ITEM; i < first && visible > 0; i += KV_ITEMS) {
        row[i] = (int)(entries[first] >> a.granules_per_block_shift);
    }

    if (KV_ITEM == 0) {
        const kv_u32 tokens = kv_is_empty(view) ? 0 : view.token_count;
        KV_GLOBAL int *indptr = KV_AT(4, int, a.table.indptr);
        KV_AT(3, int, a.table.sequence_lengths)[sequence] = (int)tokens;
        KV_AT(6, int, a.table.last_page_lengths)[sequence] = tokens == 0 ? 0 : (int)((tokens - 1u) & ((1u << a.tokens_per_block_shift) - 1u)) + 1;
        indptr[sequence] = (int)before;
        if (sequence + 1u == a.batch) {
            indptr[a.batch] = (int)(before + visible);
        }
    }
}

#endif
