/*
 * Stamps: what a granule holds depends on sequence, position, version and the granule's place in its token, so that a flipped bit, a block that
 * lies elsewhere and content of an earlier version all show.
 *
 *   key = mix(sequence, version)    token = mix(key + position * odd)    granule = token + granule * odd    word k = granule ^ k * odd, k = 0 ... 31
 */
#ifndef KV_STAMPS_H
#define KV_STAMPS_H

#include "sequences.h"

#define KV_POSITION_STEP 0x9E3779B97F4A7C15ul
#define KV_GRANULE_STEP 0xD1B54A32D192ED03ul
#define KV_SALT_STEP 0x2545F4914F6CDD1Dul
#define KV_GRANULE_WORDS 32u

KV_INLINE kv_u64 kv_mix(kv_u64 value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ul;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBul;
    return value ^ (value >> 31);
}

/* The stamp of granule 0 of a token. Positions below changed_from carry version 0. */
KV_INLINE kv_u64 kv_token_stamp(KV_GLOBAL const KvStampedSequence *expected, kv_u32 position) {
    const kv_u32 version = position < expected->changed_from ? 0 : expected->version;
    const kv_u64 key = kv_mix((((kv_u64)version << 32) | expected->sequence_id) + KV_SALT_STEP);
    return kv_mix(key + position * KV_POSITION_STEP);
}

/* Whether a view says what the host expects. A refused view does not. */
KV_INLINE int kv_agrees(KvSequenceView view, KV_GLOBAL const KvStampedSequence *expected, KvShape shape) {
    return view.flags == 0 && view.sequence_id == expected->sequence_id && view.token_count == expected->token_count && view.new_tokens == expected->new_tokens &&
           view.block_count == (expected->token_count + (1u << shape.tokens_per_block_shift) - 1u) >> shape.tokens_per_block_shift;
}

/* Writes the stamps of the tokens that a step appends. A group takes every GroupsY-th of a sequence. */
KV_KERNEL kv_stamp(const KvStampArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3) KV_MEMORY(4)) {
    const kv_u32 sequence = KV_GROUP(0);
    const KvSequenceView view = kv_view(KV_AT(2, const KvSequenceView, a.views), sequence);
    KV_GLOBAL const KvStampedSequence *expected = KV_AT(3, const KvStampedSequence, a.sequences) + sequence;
    const kv_u32 words = a.shape.token_stride / 8u;
    const kv_u32 end = kv_agrees(view, expected, a.shape) ? view.token_count : 0;
    for (kv_u32 position = view.token_count - view.new_tokens + KV_GROUP(1); position < end; position += KV_GROUPS(1)) {
        const kv_u64 block = kv_block_offset(KV_AT(1, const kv_u32, a.entries)[kv_entry_index(view, a.shape, position)]);
        const kv_u64 stamp = kv_token_stamp(expected, position);
        if (block > a.pool_bytes - a.shape.block_bytes) {
            continue;
        }

        KV_GLOBAL kv_u64 *token = (KV_GLOBAL kv_u64 *)(KV_AT(0, kv_u8, a.pool) + block + kv_offset_in_block(a.shape, position, 0, 0, 0));
        for (kv_u32 word = KV_ITEM; word < words; word += KV_ITEMS) {
            token[word] = (stamp + word / KV_GRANULE_WORDS * KV_GRANULE_STEP) ^ (word % KV_GRANULE_WORDS * KV_SALT_STEP);
        }
    }
}

/* A 64-bit count by two 32-bit words: devices need no wider atomic operations. */
KV_INLINE void kv_count(KV_GLOBAL kv_u32 *counter, kv_u64 value) {
    const kv_u32 low = (kv_u32)value;
    const kv_u32 before = kv_atomic_add(counter, low);
    const kv_u32 high = (kv_u32)(value >> 32) + (before + low < before ? 1u : 0u);
    if (high != 0) {
        kv_atomic_add(counter + 1, high);
    }
}

KV_INLINE void kv_count_mismatch(KV_GLOBAL KvStampTally *tally, kv_u32 sequence, kv_u32 position, kv_u32 granule, kv_u64 offset, kv_u64 granules) {
    kv_count(tally->mismatched_granules, granules);
    if (kv_atomic_exchange(&tally->first_claimed, 1u) == 0) {
        tally->first_sequence = sequence;
        tally->first_position = position;
        tally->first_granule = granule;
        tally->first_pool_offset = offset;
    }
}

/* Words that a work-item compares at a time: where it is a thread, neighbours read neighbouring words. */
#define KV_VERIFY_WORDS (KV_LANES == 1 ? 1u : KV_GRANULE_WORDS)

/* Whether any of some words of one granule is not what the token's stamp makes it. */
KV_INLINE int kv_differ(KV_GLOBAL const kv_u64 *token, kv_u64 stamp, kv_u32 first, kv_u32 end) {
    kv_u64 difference = 0;
    for (kv_u32 word = first; word < end; word++) {
        difference |= token[word] ^ (stamp + word / KV_GRANULE_WORDS * KV_GRANULE_STEP) ^ (word % KV_GRANULE_WORDS * KV_SALT_STEP);
    }

    return difference != 0;
}

/* Compares every granule of every visible token with its stamp. A group takes every GroupsY-th token of a sequence. */
KV_KERNEL kv_verify(const KvStampArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3) KV_MEMORY(4)) {
    const kv_u32 sequence = KV_GROUP(0);
    const KvSequenceView view = kv_view(KV_AT(2, const KvSequenceView, a.views), sequence);
    KV_GLOBAL KvStampedSequence *expected = KV_AT(3, KvStampedSequence, a.sequences) + sequence;
    KV_GLOBAL KvStampTally *tally = KV_AT(4, KvStampTally, a.tally);
    const kv_u32 granules = a.shape.token_stride / KV_GRANULE_BYTES;
    const int agrees = kv_agrees(view, expected, a.shape);
    const kv_u32 first_visible = view.first_visible_block << a.shape.tokens_per_block_shift;
    const kv_u32 end = agrees ? view.token_count : 0;
    kv_u64 verified = 0;
    for (kv_u32 position = first_visible + KV_GROUP(1); position < end; position += KV_GROUPS(1)) {
        const kv_u64 block = kv_block_offset(KV_AT(1, const kv_u32, a.entries)[kv_entry_index(view, a.shape, position)]);
        const kv_u64 stamp = kv_token_stamp(expected, position);
        const kv_u64 offset = block + kv_offset_in_block(a.shape, position, 0, 0, 0);
        const int is_inside = block <= a.pool_bytes - a.shape.block_bytes;
        KV_GLOBAL const kv_u64 *token = (KV_GLOBAL const kv_u64 *)(KV_AT(0, const kv_u8, a.pool) + offset);
        for (kv_u32 word = KV_ITEM * KV_VERIFY_WORDS; word < granules * KV_GRANULE_WORDS && is_inside; word += KV_ITEMS * KV_VERIFY_WORDS) {
            const kv_u32 granule = word / KV_GRANULE_WORDS;
            verified += word % KV_GRANULE_WORDS == 0;

            /* Of those who find a granule wrong, one counts it: whose words are the first. */
            if (kv_differ(token, stamp, word, word + KV_VERIFY_WORDS) && !kv_differ(token, stamp, granule * KV_GRANULE_WORDS, word)) {
                kv_count_mismatch(tally, expected->sequence_id, position, granule, offset + granule * (kv_u64)KV_GRANULE_BYTES, 1);
            }
        }

        if (!is_inside && KV_ITEM == 0) {
            kv_count_mismatch(tally, expected->sequence_id, position, 0, 0xFFFFFFFFFFFFFFFFul, granules);
        }
    }

    if (verified != 0) {
        kv_count(tally->verified_granules, verified);
    }

    /* A refused view is told to the host; any other than the one expected is a mismatch of all that it should have led to. */
    if (!agrees && KV_GROUP(1) == 0 && KV_ITEM == 0) {
        if ((view.flags & KV_VIEW_REFUSED) != 0) {
            expected->refused = 1;
        } else if (expected->token_count != 0) {
            kv_count_mismatch(tally, expected->sequence_id, 0, 0, 0xFFFFFFFFFFFFFFFFul, (kv_u64)expected->token_count * granules);
        }
    }
}

#endif
