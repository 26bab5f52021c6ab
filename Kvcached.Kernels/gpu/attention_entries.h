/* Entry points of a size for each element format, through the table and not. Included by attention_rows.h for each size. */

#define KV_GROUP_MEMORY(on)                                       \
    KV_LOCAL_ARRAY(KV_VECTOR, queries, KV_SLABS *KV_SLAB_DIMS);   \
    KV_LOCAL_ARRAY(KV_VECTOR, weights, KV_TILE_TOKENS);           \
    KV_LOCAL_ARRAY(KV_VECTOR, maxima, KV_MAXIMA);                 \
    KV_LOCAL_ARRAY(KV_VECTOR, sums, 1);                           \
    KV_LOCAL_ARRAY(kv_u64, at, KV_PART_TOKENS);                   \
    KV_LOCAL_ARRAY(kv_u32x4, stage, KV_STAGE_WORDS / 4u);         \
    const KV_SIZED(KvScratch) on = {queries, weights, maxima, sums, at, (KV_LOCAL kv_u32 *)stage}

#if defined(__OPENCL_VERSION__)

#define KV_DEFINE_ATTEND(name, format)
#define KV_DEFINE_ATTENTION(function, format, is_paged)                                                                                       \
    KV_KERNEL function(const KvAttentionArguments a KV_MEMORY(0) KV_MEMORY(1) KV_MEMORY(2) KV_MEMORY(3) KV_MEMORY(4) KV_MEMORY(5)              \
                           KV_MEMORY(6) KV_MEMORY(7)) {                                                                                       \
        KV_GROUP_MEMORY(on);                                                                                                                  \
        const KvAttentionMemory in = KV_ATTENTION_MEMORY(a);                                                                                   \
        KV_ATTEND(format, is_paged, a, in, on);                                                                                               \
    }

#else

/*
 * One function for each format; through the table or not is decided when it runs. Its arguments are handed over on chip: by reference or by value,
 * each thread would keep a copy of them in local memory.
 */
#define KV_ARGUMENT_WORDS ((kv_u32)(sizeof(KvAttentionArguments) / sizeof(kv_u64)))
#define KV_DEFINE_ATTEND(name, format)                                                                            \
    static __attribute__((device)) __attribute__((noinline)) void name(int is_paged, KV_LOCAL const kv_u64 *given) { \
        KvAttentionArguments a;                                                                                   \
        _Pragma("unroll") for (kv_u32 i = 0; i < KV_ARGUMENT_WORDS; i++) {                                        \
            const kv_u64 word = given[i];                                                                         \
            __builtin_memcpy((unsigned char *)&a + i * sizeof(word), &word, sizeof(word));                        \
        }                                                                                                         \
                                                                                                                  \
        KV_GROUP_MEMORY(on);                                                                                      \
        const KvAttentionMemory in = KV_ATTENTION_MEMORY(a);                                                       \
        KV_ATTEND(format, is_paged, a, in, on);                                                                   \
    }
#define KV_DEFINE_ATTENTION(function, format, is_paged)                                      \
    KV_KERNEL function(const KvAttentionArguments a) {                                       \
        KV_LOCAL_ARRAY(kv_u64, given, KV_ARGUMENT_WORDS);                                    \
        if (KV_ITEM < KV_ARGUMENT_WORDS) {                                                   \
            kv_u64 word;                                                                     \
            __builtin_memcpy(&word, (const unsigned char *)&a + KV_ITEM * sizeof(word), sizeof(word)); \
            given[KV_ITEM] = word;                                                           \
        }                                                                                    \
                                                                                             \
        KV_BARRIER();                                                                        \
        KV_SIZED(KV_CAT(kv_attend_, format))(is_paged, given);                               \
    }

#endif

KV_DEFINE_ATTEND(KV_SIZED(kv_attend_1), KV_FLOAT16)
KV_DEFINE_ATTEND(KV_SIZED(kv_attend_2), KV_BFLOAT16)
KV_DEFINE_ATTEND(KV_SIZED(kv_attend_3), KV_FLOAT32)

/* Entry points for each element format: NAME_paged_SIZE_f16 and so on. */
#if KV_IS_PREFILL
#define KV_ENTRY_NAME kv_prefill
#else
#define KV_ENTRY_NAME kv_decode
#endif

KV_DEFINE_ATTENTION(KV_ENTRY(KV_ENTRY_NAME, paged, KV_SIZE, f16), KV_FLOAT16, 1)
KV_DEFINE_ATTENTION(KV_ENTRY(KV_ENTRY_NAME, paged, KV_SIZE, bf16), KV_BFLOAT16, 1)
KV_DEFINE_ATTENTION(KV_ENTRY(KV_ENTRY_NAME, paged, KV_SIZE, f32), KV_FLOAT32, 1)
KV_DEFINE_ATTENTION(KV_ENTRY(KV_ENTRY_NAME, contiguous, KV_SIZE, f16), KV_FLOAT16, 0)
KV_DEFINE_ATTENTION(KV_ENTRY(KV_ENTRY_NAME, contiguous, KV_SIZE, bf16), KV_BFLOAT16, 0)
KV_DEFINE_ATTENTION(KV_ENTRY(KV_ENTRY_NAME, contiguous, KV_SIZE, f32), KV_FLOAT32, 0)

#undef KV_GROUP_MEMORY
#undef KV_ARGUMENT_WORDS
#undef KV_DEFINE_ATTENTION
#undef KV_DEFINE_ATTEND
#undef KV_ENTRY_NAME
