/* The demo model's kernels: Kvcached.Daemon/Demo/Kernels, where their arguments are explained. Float32 throughout. */
#include "device.h"
#include "softmax.h"

typedef struct DemoRow {
    int request;
    int position;
} DemoRow;

typedef struct DemoStepRowsArguments {
    kv_u64 views;
    kv_u64 requests;
    kv_u64 row_infos;
    kv_u64 row_starts;
    int items;
    int rows;
} DemoStepRowsArguments;

typedef struct DemoEmbedArguments {
    kv_u64 row_infos;
    kv_u64 tokens;
    kv_u64 table;
    kv_u64 output;
    int token_stride;
    int rows;
    int hidden;
} DemoEmbedArguments;

typedef struct DemoRmsNormArguments {
    kv_u64 input;
    kv_u64 gain;
    kv_u64 output;
    int rows;
    int hidden;
} DemoRmsNormArguments;

typedef struct DemoMatMulArguments {
    kv_u64 input;
    kv_u64 weights;
    kv_u64 output;
    int rows;
    int depth;
    int columns;
    int accumulate;
} DemoMatMulArguments;

typedef struct DemoRopeArguments {
    kv_u64 row_infos;
    kv_u64 table;
    kv_u64 heads;
    int rows;
    int head_count;
    int head_dim;
} DemoRopeArguments;

typedef struct DemoSwiGluArguments {
    kv_u64 input;
    kv_u64 output;
    int rows;
    int columns;
} DemoSwiGluArguments;

typedef struct DemoRecord {
    kv_u64 logits_hash;
    int token;
    int written;
} DemoRecord;

typedef struct DemoSampleArguments {
    kv_u64 row_infos;
    kv_u64 logits;
    kv_u64 prompt_tokens;
    kv_u64 tokens;
    kv_u64 records;
    int stride;
    int rows;
    int vocabulary;
} DemoSampleArguments;

KV_ASSERT_BYTES(DemoStepRowsArguments, 40);
KV_ASSERT_BYTES(DemoEmbedArguments, 48);
KV_ASSERT_BYTES(DemoRmsNormArguments, 32);
KV_ASSERT_BYTES(DemoMatMulArguments, 40);
KV_ASSERT_BYTES(DemoRopeArguments, 40);
KV_ASSERT_BYTES(DemoSwiGluArguments, 24);
KV_ASSERT_BYTES(DemoRecord, 16);
KV_ASSERT_BYTES(DemoSampleArguments, 56);

/* Lists the rows of a step from its views. One group; each view counts the rows before its own. */
KV_KERNEL demo_step_rows(const DemoStepRowsArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3)) {
    KV_GLOBAL const KvSequenceView *views = KV_AT(0, const KvSequenceView, a.views);
    KV_GLOBAL const int *requests = KV_AT(1, const int, a.requests);
    KV_GLOBAL DemoRow *rows = KV_AT(2, DemoRow, a.row_infos);
    KV_GLOBAL kv_u32 *starts = KV_AT(3, kv_u32, a.row_starts);
    const kv_u32 row_count = (kv_u32)a.rows;
    for (kv_u32 i = KV_ITEM; i <= (kv_u32)a.items; i += KV_ITEMS) {
        kv_u32 row = 0;
        for (kv_u32 j = 0; j < i; j++) {
            row = kv_min(row + views[j].new_tokens, row_count);
        }

        if (i < (kv_u32)a.items) {
            starts[i] = row;
            const kv_u32 first = views[i].token_count - views[i].new_tokens;
            for (kv_u32 token = 0; token < views[i].new_tokens && row < row_count; token++, row++) {
                rows[row].request = requests[i];
                rows[row].position = (int)(first + token);
            }
        } else {
            for (; row < row_count; row++) {
                rows[row].request = -1;
                rows[row].position = 0;
            }
        }
    }
}

/* A group is one row. */
KV_KERNEL demo_embed(const DemoEmbedArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3)) {
    const kv_u32 row = KV_GROUP(0);
    KV_GLOBAL const DemoRow *info = KV_AT(0, const DemoRow, a.row_infos) + row;
    const int token = info->request < 0 ? 0 : KV_AT(1, const int, a.tokens)[(kv_u64)info->request * (kv_u32)a.token_stride + (kv_u32)info->position];
    KV_GLOBAL const float *source = KV_AT(2, const float, a.table) + (kv_u64)token * (kv_u32)a.hidden;
    KV_GLOBAL float *target = KV_AT(3, float, a.output) + (kv_u64)row * (kv_u32)a.hidden;
    for (kv_u32 i = KV_ITEM; i < (kv_u32)a.hidden; i += KV_ITEMS) {
        target[i] = info->request < 0 ? 0.0f : source[i];
    }
}

#define DEMO_PARTIAL_SUMS 64u

/* A group is one row. Sums of squares go in a fixed order: element i to sum i % 64, then the sums one after another. */
KV_KERNEL demo_rms_norm(const DemoRmsNormArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2)) {
    KV_LOCAL_ARRAY(float, sums, DEMO_PARTIAL_SUMS);
    const kv_u32 hidden = (kv_u32)a.hidden;
    KV_GLOBAL const float *input = KV_AT(0, const float, a.input) + (kv_u64)KV_GROUP(0) * hidden;
    KV_GLOBAL const float *gain = KV_AT(1, const float, a.gain);
    KV_GLOBAL float *output = KV_AT(2, float, a.output) + (kv_u64)KV_GROUP(0) * hidden;
    for (kv_u32 i = KV_ITEM; i < DEMO_PARTIAL_SUMS; i += KV_ITEMS) {
        float sum = 0.0f;
        for (kv_u32 j = i; j < hidden; j += DEMO_PARTIAL_SUMS) {
            sum = kv_fma(input[j], input[j], sum);
        }

        sums[i] = sum;
    }

    KV_BARRIER();
    float total = 0.0f;
    for (kv_u32 i = 0; i < DEMO_PARTIAL_SUMS; i++) {
        total += sums[i];
    }

    const float scale = 1.0f / kv_sqrt(total / (float)hidden + 1e-5f);
    for (kv_u32 i = KV_ITEM; i < hidden; i += KV_ITEMS) {
        output[i] = input[i] * scale * gain[i];
    }
}

#define DEMO_PANEL_COLUMNS 32u
#define DEMO_TILE_ROWS 12u
#define DEMO_PANEL_ITEMS (DEMO_PANEL_COLUMNS / KV_LANES)

/* Rows first to first + ROWS - 1 of the lanes' columns of a panel: every output is one chain of fma over the depth, whatever the rows. */
#define DEMO_DEFINE_TILE(name, ROWS)                                                                                                               \
    KV_INLINE void name(KV_GLOBAL const float *input, KV_GLOBAL const float *panel, KV_GLOBAL float *output, kv_u32 depth, kv_u32 columns, int add) { \
        kv_lanes sums[ROWS];                                                                                                                        \
        _Pragma("unroll") for (kv_u32 row = 0; row < ROWS; row++) {                                                                                 \
            sums[row] = (kv_lanes)(0.0f);                                                                                                           \
        }                                                                                                                                           \
        for (kv_u32 k = 0; k < depth; k++) {                                                                                                        \
            const kv_lanes weights = KV_LOAD_LANES(panel + (kv_u64)k * DEMO_PANEL_COLUMNS);                                                          \
            _Pragma("unroll") for (kv_u32 row = 0; row < ROWS; row++) {                                                                             \
                sums[row] = kv_fma((kv_lanes)(input[(kv_u64)row * depth + k]), weights, sums[row]);                                                  \
            }                                                                                                                                       \
        }                                                                                                                                           \
        _Pragma("unroll") for (kv_u32 row = 0; row < ROWS; row++) {                                                                                 \
            KV_GLOBAL float *target = output + (kv_u64)row * columns;                                                                               \
            const kv_lanes sum = add ? KV_LOAD_LANES(target) + sums[row] : sums[row];                                                               \
            KV_STORE_LANES(sum, target);                                                                                                            \
        }                                                                                                                                           \
    }

DEMO_DEFINE_TILE(demo_tile_12, 12u)
DEMO_DEFINE_TILE(demo_tile_4, 4u)
DEMO_DEFINE_TILE(demo_tile_1, 1u)

/* A group is a panel of columns and every GroupsY-th tile of rows; its work-items in each 32 lanes take tiles in turn. */
KV_KERNEL demo_matmul(const DemoMatMulArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2)) {
    const kv_u32 depth = (kv_u32)a.depth;
    const kv_u32 columns = (kv_u32)a.columns;
    const kv_u32 rows = (kv_u32)a.rows;
    const kv_u32 column = KV_ITEM % DEMO_PANEL_ITEMS * KV_LANES;
    const kv_u32 tiles_at_once = KV_ITEMS / DEMO_PANEL_ITEMS;
    KV_GLOBAL const float *panel = KV_AT(1, const float, a.weights) + (kv_u64)KV_GROUP(0) * depth * DEMO_PANEL_COLUMNS + column;
    const kv_u32 first_tile = KV_GROUP(1) * tiles_at_once + KV_ITEM / DEMO_PANEL_ITEMS;
    for (kv_u32 tile = first_tile; tile * DEMO_TILE_ROWS < rows; tile += KV_GROUPS(1) * tiles_at_once) {
        kv_u32 row = tile * DEMO_TILE_ROWS;
        const kv_u32 end = kv_min(rows, row + DEMO_TILE_ROWS);
        while (row < end) {
            KV_GLOBAL const float *input = KV_AT(0, const float, a.input) + (kv_u64)row * depth;
            KV_GLOBAL float *output = KV_AT(2, float, a.output) + (kv_u64)row * columns + KV_GROUP(0) * DEMO_PANEL_COLUMNS + column;
            if (end - row == DEMO_TILE_ROWS) {
                demo_tile_12(input, panel, output, depth, columns, a.accumulate);
                row += 12;
            } else if (end - row >= 4) {
                demo_tile_4(input, panel, output, depth, columns, a.accumulate);
                row += 4;
            } else {
                demo_tile_1(input, panel, output, depth, columns, a.accumulate);
                row += 1;
            }
        }
    }
}

/* A group is one row; a lane turns pairs (i, i + head_dim / 2). */
KV_KERNEL demo_rope(const DemoRopeArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2)) {
    const kv_u32 row = KV_GROUP(0);
    const kv_u32 dim = (kv_u32)a.head_dim;
    const kv_u32 half_dim = dim / 2;
    KV_GLOBAL const float *cosines = KV_AT(1, const float, a.table) + (kv_u64)(kv_u32)KV_AT(0, const DemoRow, a.row_infos)[row].position * dim;
    KV_GLOBAL float *heads = KV_AT(2, float, a.heads) + (kv_u64)row * (kv_u32)a.head_count * dim;
    for (kv_u32 i = KV_ITEM; i < half_dim * (kv_u32)a.head_count; i += KV_ITEMS) {
        const kv_u32 at = i % half_dim;
        KV_GLOBAL float *head = heads + (kv_u64)(i / half_dim) * dim + at;
        const float x = head[0];
        const float y = head[half_dim];
        head[0] = x * cosines[at] - y * cosines[half_dim + at];
        head[half_dim] = x * cosines[half_dim + at] + y * cosines[at];
    }
}

/* e^-|x|, by powers of two. */
KV_INLINE float demo_exp_of_minus(float magnitude) {
    return kv_exp2(-magnitude * KV_LOG2_E);
}

/* output = gate * sigmoid(gate) * value. A group is one row. */
KV_KERNEL demo_swiglu(const DemoSwiGluArguments a KV_MEMORY(0) KV_MEMORY(1)) {
    const kv_u32 columns = (kv_u32)a.columns;
    KV_GLOBAL const float *gates = KV_AT(0, const float, a.input) + 2 * (kv_u64)KV_GROUP(0) * columns;
    KV_GLOBAL float *output = KV_AT(1, float, a.output) + (kv_u64)KV_GROUP(0) * columns;
    for (kv_u32 i = KV_ITEM; i < columns; i += KV_ITEMS) {
        const float gate = gates[i];
        const float small = demo_exp_of_minus(gate < 0.0f ? -gate : gate);
        const float sigmoid = (gate < 0.0f ? small : 1.0f) / (1.0f + small);
        output[i] = gate * sigmoid * gates[columns + i];
    }
}

/* Greedy sampling: the first of the largest logits. The hash is one chain over the logits: one work-item does a row, and a group is one. */
KV_KERNEL demo_sample(const DemoSampleArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3) KV_MEMORY(4)) {
    const kv_u32 row = KV_GROUP(0);
    if (KV_ITEM != 0 || KV_AT(0, const DemoRow, a.row_infos)[row].request < 0) {
        return;
    }

    const int request = KV_AT(0, const DemoRow, a.row_infos)[row].request;
    const int position = KV_AT(0, const DemoRow, a.row_infos)[row].position;
    KV_GLOBAL const float *logits = KV_AT(1, const float, a.logits) + (kv_u64)row * (kv_u32)a.vocabulary;
    float largest = logits[0];
    int token = 0;
    kv_u64 hash = 0xCBF29CE484222325ul;
    for (int i = 0; i < a.vocabulary; i++) {
        const float logit = logits[i];
        hash = (hash ^ kv_as_uint(logit)) * 0x9E3779B97F4A7C15ul;
        hash ^= hash >> 29;
        if (logit > largest) {
            largest = logit;
            token = i;
        }
    }

    const kv_u64 place = (kv_u64)request * (kv_u32)a.stride + (kv_u32)position;
    KV_GLOBAL DemoRecord *record = KV_AT(4, DemoRecord, a.records) + place;
    record->logits_hash = hash;
    record->token = token;
    record->written = 1;
    if (position + 1 >= KV_AT(2, const int, a.prompt_tokens)[request]) {
        KV_AT(3, int, a.tokens)[place + 1] = token;
    }
}
