/* The same in plain OpenCL C, with the header of the table ABI alone: for launching by native handles. */
#include "kvcached.h"

/* Work-item (i, s) takes every so-manieth token of sequence s. Memory objects begin at byte 0 of a memory, so the views come with their offset. */
__kernel void key_norms_native(
    __global const uchar *pool, __global const uint *entries, __global const uchar *views, ulong views_offset, __global float *norms, KvShape shape, uint layer, uint max_tokens) {
    const uint sequence = get_global_id(1);
    const KvSequenceView view = ((__global const KvSequenceView *)(views + views_offset))[sequence];
    const uint end = kv_is_empty(view) ? 0 : min(view.token_count, max_tokens);
    for (uint token = (view.first_visible_block << shape.tokens_per_block_shift) + get_global_id(0); token < end; token += get_global_size(0)) {
        float sum = 0.0f;
        for (uint head = 0; head < shape.heads; head++) {
            __global const float *key = (__global const float *)(pool + kv_offset(entries, view, shape, token, layer, 0, head));
            for (uint i = 0; i < shape.head_dim; i++) {
                sum = fma(key[i], key[i], sum);
            }
        }

        norms[(ulong)sequence * max_tokens + token] = sum;
    }
}
