/* Kernels of the tests: those of the device conformance suite, and the table ABI's golden vectors. */
#include "device.h"
#include "sequences.h"

typedef struct TestAddArguments {
    kv_u64 address;
    kv_u32 words;
    kv_u32 addend;
} TestAddArguments;

typedef struct TestCopyIndirectArguments {
    kv_u64 index;
    kv_u64 words;
    kv_u64 target;
} TestCopyIndirectArguments;

typedef struct TestCountItemsArguments {
    kv_u64 items;
    kv_u64 counters;
} TestCountItemsArguments;

/* A golden vector: what the lookup is told, and what it finds. */
typedef struct TestGoldenVector {
    KvShape shape;
    KvSequenceView view;
    kv_u32 token;
    kv_u32 layer;
    kv_u32 plane;
    kv_u32 head;
    kv_u32 entry;
    kv_u32 found_index;
    kv_u64 found_offset;
} TestGoldenVector;

typedef struct TestGoldenArguments {
    kv_u64 vectors;
    kv_u32 count;
    kv_u32 reserved;
} TestGoldenArguments;

KV_ASSERT_BYTES(TestAddArguments, 16);
KV_ASSERT_BYTES(TestCopyIndirectArguments, 24);
KV_ASSERT_BYTES(TestCountItemsArguments, 16);
KV_ASSERT_BYTES(TestGoldenVector, 128);
KV_ASSERT_BYTES(TestGoldenArguments, 16);

#define TEST_ITEM (KV_GROUP(0) * KV_ITEMS + KV_ITEM)
#define TEST_ITEMS (KV_GROUPS(0) * KV_ITEMS)

KV_KERNEL test_add_u32(const TestAddArguments a KV_MEMORY(0)) {
    for (kv_u32 i = TEST_ITEM; i < a.words; i += TEST_ITEMS) {
        KV_AT(0, kv_u32, a.address)[i] += a.addend;
    }
}

KV_KERNEL test_copy_indirect(const TestCopyIndirectArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2)) {
    if (TEST_ITEM == 0) {
        *KV_AT(2, kv_u32, a.target) = KV_AT(1, const kv_u32, a.words)[*KV_AT(0, const kv_u32, a.index)];
    }
}

KV_KERNEL test_count_items(const TestCountItemsArguments a KV_MEMORY(0) KV_MEMORY(1)) {
    const kv_u32 items = *KV_AT(0, const kv_u32, a.items);
    for (kv_u32 i = TEST_ITEM; i < items; i += TEST_ITEMS) {
        KV_AT(1, kv_u32, a.counters)[i] += 1;
    }
}

/* Looks up what each vector says. */
KV_KERNEL test_golden(const TestGoldenArguments a KV_MEMORY(0)) {
    for (kv_u32 i = TEST_ITEM; i < a.count; i += TEST_ITEMS) {
        KV_GLOBAL TestGoldenVector *vector = KV_AT(0, TestGoldenVector, a.vectors) + i;
        const KvShape shape = kv_shape(&vector->shape);
        const KvSequenceView view = kv_view(&vector->view, 0);
        vector->found_index = kv_entry_index(view, shape, vector->token);
        vector->found_offset = kv_block_offset(vector->entry) + kv_offset_in_block(shape, vector->token, vector->layer, vector->plane, vector->head);
    }
}
