/* Merges the parts that a decode launch with the same arguments left, in ascending order. A group is one query head of one sequence. */
#include "attention.h"

KV_KERNEL kv_merge(const KvAttentionArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3) KV_MEMORY(4) KV_MEMORY(5) KV_MEMORY(6) KV_MEMORY(7)) {
    const kv_u32 sequence = KV_GROUP(0);
    const kv_u32 head = KV_GROUP(1);
    const kv_u32 dims = a.kv.shape.head_dim;
    const KvSequenceView view = kv_view(KV_AT(0, const KvSequenceView, a.kv.views), sequence);
    kv_u32 first_part;
    const kv_u32 parts = kv_parts(a, view, &first_part);
    if (parts == 0) {
        return;
    }

    KV_GLOBAL const float *partials = KV_AT(7, const float, a.partials);
    const kv_u64 row = (kv_u64)KV_AT(6, const kv_u32, a.row_starts)[sequence] + view.new_tokens - 1u;
    KV_GLOBAL float *output = KV_AT(5, float, a.outputs) + (row * a.query_heads + head) * dims;
    for (kv_u32 dim = KV_ITEM; dim < dims; dim += KV_ITEMS) {
        float max = KV_MINUS_INFINITY;
        float sum = 0.0f;
        float acc = 0.0f;
        for (kv_u32 part = 0; part < parts; part++) {
            KV_GLOBAL const float *partial = partials + kv_partial_offset(a, sequence, part, head);
            const float part_max = partial[dims];
            const float part_sum = partial[dims + 1];
            if (part_max == KV_MINUS_INFINITY) {
                continue;
            }

            if (max == KV_MINUS_INFINITY) {
                max = part_max;
                sum = part_sum;
                acc = partial[dim];
                continue;
            }

            const float both = kv_max(max, part_max);
            const float own = kv_exp2(max - both);
            const float other = kv_exp2(part_max - both);
            max = both;
            sum = kv_fma(sum, own, part_sum * other);
            acc = kv_fma(acc, own, partial[dim] * other);
        }

        output[dim] = sum == 0.0f ? 0.0f : acc / sum;
    }
}
