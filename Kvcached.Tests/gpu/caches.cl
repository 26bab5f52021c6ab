/* What the tests of whole caches run in their steps: PatternKernel and WindowStamps, which say what they write and count. A group has a sequence, its items have tokens. */
#include "device.h"
#include "sequences.h"

#define TEST_ODD 0x9E3779B97F4A7C15ul

typedef struct PatternExpectation {
    kv_u32 sequence_id;
    kv_u32 tokens;
    kv_u32 new_tokens;
    kv_u32 changed_from;
} PatternExpectation;

/* 64-bit counts, of which the lower halves are enough. */
typedef struct PatternTally {
    kv_u32 right[2];
    kv_u32 wrong[2];
    kv_u32 lost_views[2];
    kv_u32 refused_views[2];
} PatternTally;

typedef struct PatternArguments {
    kv_u64 pool;
    kv_u64 entries;
    kv_u64 views;
    kv_u64 expectations;
    kv_u64 tally;
    KvShape shape;
    kv_u32 count;
    kv_u32 reserved;
} PatternArguments;

typedef struct WindowExpectation {
    kv_u32 sequence_id;
    kv_u32 tokens;
    kv_u32 new_tokens;
    kv_u32 has_window;
    kv_u64 versions;
} WindowExpectation;

typedef struct WindowTally {
    kv_u32 right[2];
    kv_u32 wrong[2];
} WindowTally;

typedef struct WindowStampArguments {
    kv_u64 pool;
    kv_u64 pool_bytes;
    kv_u64 entries;
    kv_u64 views;
    kv_u64 windows;
    kv_u64 expectations;
    kv_u64 tally;
    KvShape block;
    KvShape window;
    kv_u32 batch;
    kv_u32 checks;
} WindowStampArguments;

KV_ASSERT_BYTES(PatternExpectation, 16);
KV_ASSERT_BYTES(PatternTally, 32);
KV_ASSERT_BYTES(PatternArguments, 112);
KV_ASSERT_BYTES(WindowExpectation, 24);
KV_ASSERT_BYTES(WindowTally, 16);
KV_ASSERT_BYTES(WindowStampArguments, 192);

/* Writes or compares all vectors of a token. Returns 1 where something differs. */
KV_INLINE kv_u32 test_walk_pattern(KvShape shape, KV_GLOBAL kv_u8 *pool, kv_u32 entry, kv_u32 sequence, kv_u64 version, kv_u32 token, int writes) {
    const kv_u32 words = shape.head_dim * shape.element_bytes / 8u;
    kv_u64 difference = 0;
    for (kv_u32 layer = 0; layer < shape.layers; layer++) {
        for (kv_u32 plane = 0; plane < shape.planes; plane++) {
            for (kv_u32 head = 0; head < shape.heads; head++) {
                KV_GLOBAL kv_u64 *vector = (KV_GLOBAL kv_u64 *)(pool + kv_block_offset(entry) + kv_offset_in_block(shape, token, layer, plane, head));
                const kv_u64 seed = (((((kv_u64)sequence << 20) | token) * 64u) + layer) * 64u + plane * 32u + head + (version << 60);
                for (kv_u32 i = 0; i < words; i++) {
                    const kv_u64 word = (seed + i + 1u) * TEST_ODD;
                    if (writes) {
                        vector[i] = word;
                    }

                    difference |= vector[i] ^ word;
                }
            }
        }
    }

    return difference != 0;
}

KV_KERNEL test_pattern(const PatternArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3) KV_MEMORY(4)) {
    const kv_u32 sequence = KV_GROUP(0);
    const KvSequenceView view = kv_view(KV_AT(2, const KvSequenceView, a.views), sequence);
    KV_GLOBAL const PatternExpectation *expected = KV_AT(3, const PatternExpectation, a.expectations) + sequence;
    KV_GLOBAL PatternTally *tally = KV_AT(4, PatternTally, a.tally);
    KV_GLOBAL const kv_u32 *entries = KV_AT(1, const kv_u32, a.entries);
    KV_GLOBAL kv_u8 *pool = KV_AT(0, kv_u8, a.pool);
    const int is_lost = view.sequence_id != expected->sequence_id || (view.flags == 0 && (view.token_count != expected->tokens || view.new_tokens != expected->new_tokens));
    const kv_u32 end = is_lost || view.flags != 0 ? 0 : view.token_count;
    kv_u32 right = 0, wrong = 0;

    /* An item reads what it has itself written, or earlier steps. */
    for (kv_u32 token = (view.first_visible_block << a.shape.tokens_per_block_shift) + KV_ITEM; token < end; token += KV_ITEMS) {
        const kv_u32 entry = entries[kv_entry_index(view, a.shape, token)];
        const kv_u64 version = token >= expected->changed_from;
        if (token >= end - view.new_tokens) {
            test_walk_pattern(a.shape, pool, entry, expected->sequence_id, version, token, 1);
        }

        const kv_u32 differs = test_walk_pattern(a.shape, pool, entry, expected->sequence_id, version, token, 0);
        right += 1u - differs;
        wrong += differs;
    }

    if (right != 0) {
        kv_atomic_add(tally->right, right);
    }

    if (wrong != 0) {
        kv_atomic_add(tally->wrong, wrong);
    }

    if (KV_ITEM == 0 && is_lost) {
        kv_atomic_add(tally->lost_views, 1u);
    } else if (KV_ITEM == 0 && view.flags != 0) {
        kv_atomic_add(tally->refused_views, 1u);
    }
}

/* Writes or compares the first and last word of each vector of a token that begins at a place. Returns whether all were right. */
KV_INLINE int test_walk_stamps(KvShape shape, KV_GLOBAL kv_u8 *start, kv_u32 sequence, kv_u32 version, kv_u32 token, int writes) {
    int is_right = 1;
    for (kv_u32 vector = 0; vector < shape.layers * shape.planes * shape.heads; vector++) {
        const kv_u32 plane = vector / shape.heads;
        KV_GLOBAL kv_u8 *place = start + kv_offset_in_block(shape, 0, plane / shape.planes, plane % shape.planes, vector % shape.heads);
        KV_GLOBAL kv_u64 *first = (KV_GLOBAL kv_u64 *)place;
        KV_GLOBAL kv_u64 *last = (KV_GLOBAL kv_u64 *)(place + shape.head_dim * shape.element_bytes - 8u);
        const kv_u64 stamp = ((((((kv_u64)sequence << 24) + token) << 8) + version) * 64u + vector) * TEST_ODD;
        if (writes) {
            *first = stamp;
            *last = ~stamp;
        } else {
            is_right = is_right && *first == stamp && *last == ~stamp;
        }
    }

    return is_right;
}

KV_KERNEL test_window(const WindowStampArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3) KV_MEMORY(4) KV_MEMORY(5)) {
    const kv_u32 sequence = KV_GROUP(0);
    const KvSequenceView view = kv_view(KV_AT(2, const KvSequenceView, a.views), sequence);
    const kv_u64 window = KV_AT(3, const kv_u64, a.windows)[sequence];
    KV_GLOBAL const WindowExpectation *expected = KV_AT(4, const WindowExpectation, a.expectations) + sequence;
    KV_GLOBAL WindowTally *tally = KV_AT(5, WindowTally, a.tally) + sequence;
    KV_GLOBAL const kv_u32 *entries = KV_AT(1, const kv_u32, a.entries);
    KV_GLOBAL kv_u8 *pool = KV_AT(0, kv_u8, a.pool);
    KV_GLOBAL const kv_u8 *versions = KV_AT(4, const kv_u8, a.expectations) + (expected->versions - a.expectations);
    const int is_wrong = view.sequence_id != expected->sequence_id || view.token_count != expected->tokens || view.new_tokens != expected->new_tokens ||
                         (window != 0) != (expected->has_window != 0) || (window != 0 && window - a.pool >= a.pool_bytes);
    const kv_u32 end = is_wrong ? 0 : view.token_count;
    kv_u32 right = 0, wrong = KV_ITEM == 0 && is_wrong;
    for (kv_u32 token = KV_ITEM; token < end; token += KV_ITEMS) {
        KV_GLOBAL kv_u8 *in_block = pool + kv_block_offset(entries[kv_entry_index(view, a.block, token)]) + kv_offset_in_block(a.block, token, 0, 0, 0);
        KV_GLOBAL kv_u8 *in_window = window == 0 ? pool : pool + (window - a.pool) + (kv_u64)token * a.window.token_stride;
        if (a.checks == 0 && token >= end - view.new_tokens) {
            if (window != 0) {
                test_walk_stamps(a.window, in_window, view.sequence_id, versions[token], token, 1);
            } else {
                test_walk_stamps(a.block, in_block, view.sequence_id, versions[token], token, 1);
            }
        } else {
            const int is_right = (window == 0 || test_walk_stamps(a.window, in_window, view.sequence_id, versions[token], token, 0)) &&
                                 ((window != 0 && a.checks == 0) || test_walk_stamps(a.block, in_block, view.sequence_id, versions[token], token, 0));
            right += is_right ? 1u : 0u;
            wrong += is_right ? 0u : 1u;
        }
    }

    if (right != 0) {
        kv_atomic_add(tally->right, right);
    }

    if (wrong != 0) {
        kv_atomic_add(tally->wrong, wrong);
    }
}
