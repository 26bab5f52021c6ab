/* What the kernels derive from a view, and where the tokens of its sequence lie. */
#ifndef KV_SEQUENCES_H
#define KV_SEQUENCES_H

#include "arguments.h"
#include "device.h"

/* One of the views of a step. Field by field: C++ copies no struct from another address space. */
KV_INLINE KvSequenceView kv_view(KV_GLOBAL const KvSequenceView *views, kv_u32 sequence) {
    KvSequenceView view;
    view.row_start = views[sequence].row_start;
    view.block_count = views[sequence].block_count;
    view.token_count = views[sequence].token_count;
    view.new_tokens = views[sequence].new_tokens;
    view.first_visible_block = views[sequence].first_visible_block;
    view.flags = views[sequence].flags;
    view.sequence_id = views[sequence].sequence_id;
    view.reserved = 0;
    return view;
}

/* A shape in device memory. */
KV_INLINE KvShape kv_shape(KV_GLOBAL const KvShape *from) {
    KvShape shape;
    shape.block_bytes = from->block_bytes;
    shape.layer_stride = from->layer_stride;
    shape.plane_stride = from->plane_stride;
    shape.head_stride = from->head_stride;
    shape.token_stride = from->token_stride;
    shape.tokens_per_block_shift = from->tokens_per_block_shift;
    shape.layers = from->layers;
    shape.planes = from->planes;
    shape.heads = from->heads;
    shape.head_dim = from->head_dim;
    shape.element_bytes = from->element_bytes;
    shape.page_shift = from->page_shift;
    shape.reserved = 0;
    return shape;
}

/* New tokens that there are to compute. */
KV_INLINE kv_u32 kv_new_tokens(KvSequenceView view) {
    return kv_is_empty(view) ? 0 : view.new_tokens;
}

/* Blocks that may be read. */
KV_INLINE kv_u32 kv_visible_blocks(KvSequenceView view) {
    return kv_is_empty(view) || view.block_count < view.first_visible_block ? 0 : view.block_count - view.first_visible_block;
}

/* First position that a position sees. */
KV_INLINE kv_u32 kv_first_visible(KvSequenceView view, kv_u32 tokens_per_block_shift, kv_u32 window_tokens, kv_u32 position) {
    kv_u32 first = view.first_visible_block << tokens_per_block_shift;
    kv_u32 in_window = window_tokens == 0 || position < window_tokens ? 0 : position + 1 - window_tokens;
    return first < in_window ? in_window : first;
}

/*
 * Byte, from byte 0 of the memory in which KV lies, of a token's elements of plane 0, head 0 of the batch's layer: through the table, or in
 * a buffer of the sequence's own. The one difference between the paged kernels and their contiguous twins.
 */
KV_INLINE kv_u64 kv_token_offset(int is_paged, KvBatch kv, KvSequenceView view, KV_GLOBAL const kv_u32 *entries, kv_u64 buffer, kv_u32 token) {
    if (is_paged) {
        return kv_block_offset(entries[kv_entry_index(view, kv.shape, token)]) + kv_offset_in_block(kv.shape, token, kv.layer, 0, 0);
    }

    return buffer - kv.pool + kv.layer * kv.shape.layer_stride + (kv_u64)token * kv.shape.token_stride;
}

#endif
