/* For each token of each sequence, the sum of the squares of its keys in one layer. OpenCL C 1.2 and CUDA C++. */
#include "sequences.h"

/* KeyNormsArguments of KeyNorms.cs, byte for byte. */
typedef struct KeyNormsArguments {
    kv_u64 pool;
    kv_u64 entries;
    kv_u64 views;
    kv_u64 norms; /* float[batch][max_tokens] */
    KvShape shape;
    kv_u32 batch;
    kv_u32 layer;
    kv_u32 max_tokens;
    kv_u32 reserved;
} KeyNormsArguments;

KV_ASSERT_BYTES(KeyNormsArguments, 112);

/* A group is one sequence, and a work-item every so-manieth token: nothing that is summed depends on how many there are. */
KV_KERNEL key_norms(const KeyNormsArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3)) {
    KV_GLOBAL const kv_u8 *pool = KV_AT(0, const kv_u8, a.pool);
    KV_GLOBAL const kv_u32 *entries = KV_AT(1, const kv_u32, a.entries);
    KV_GLOBAL float *norms = KV_AT(3, float, a.norms) + (kv_u64)KV_GROUP(0) * a.max_tokens;
    const KvSequenceView view = kv_view(KV_AT(2, const KvSequenceView, a.views), KV_GROUP(0));
    const kv_u32 first = view.first_visible_block << a.shape.tokens_per_block_shift;
    const kv_u32 end = kv_is_empty(view) ? 0 : kv_min(view.token_count, a.max_tokens);
    for (kv_u32 token = first + KV_ITEM; token < end; token += KV_ITEMS) {
        const kv_u64 block = kv_block_offset(entries[kv_entry_index(view, a.shape, token)]);
        float sum = 0.0f;
        for (kv_u32 head = 0; head < a.shape.heads; head++) {
            KV_GLOBAL const float *key = (KV_GLOBAL const float *)(pool + block + kv_offset_in_block(a.shape, token, a.layer, 0, head));
            for (kv_u32 i = 0; i < a.shape.head_dim; i++) {
                sum = kv_fma(key[i], key[i], sum);
            }
        }

        norms[token] = sum;
    }
}
