/*
 * Runs kernels: host functions made from the same sources. A group runs on one thread, its work-items one after another: each until it ends or comes to a
 * barrier, on a stack of its own in the latter case. Two threads run groups of a launch at a time, the last ones first. On-chip memory is spoiled between groups.
 */
#include "driver.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if !defined(__x86_64__)
#error "Work-items change stacks by instructions of x86-64."
#endif

enum { STACK_BYTES = 64 * 1024, CACHED = 8 };

/* As in device_host.h. */
struct KvItem {
    u32 item;
    u32 items;
    u32 group[3];
    u32 groups[3];
};

typedef enum State { FRESH, AT_BARRIER, ENDED } State;

typedef struct Item {
    void *stack_pointer;
    int stack;
    u32 local_bytes;
    State state;
} Item;

/* A thread that runs groups. */
typedef struct Worker {
    const Grid *grid;
    void *scheduler;
    unsigned char *stacks;
    unsigned char *local;
    u32 local_used;
    Item items[MAX_GROUP];
    int free_stacks[MAX_GROUP];
    int free_count;
    _Alignas(16) unsigned char arguments[MAX_ARGUMENT_BYTES];
    unsigned next_cached;
    struct {
        Address start;
        u64 bytes;
        u64 version;
    } cache[CACHED];
} Worker;

/* Groups that are left, and who runs them. */
typedef struct Job {
    const Grid *grid;
    u64 count;
    atomic_ullong next;
    int helpers;
} Job;

__thread struct KvItem kv_item_now __attribute__((tls_model("initial-exec")));
static __thread Worker *worker __attribute__((tls_model("initial-exec")));

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t offered = PTHREAD_COND_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static pthread_once_t helper_once = PTHREAD_ONCE_INIT;
static Job *job;

/* Keeps what a function must find unchanged, and goes on where another stack was left. */
void change_stack(void **left, void *entered);
__asm__(
    ".text\n"
    ".type change_stack, @function\n"
    "change_stack:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    retq\n"
    ".size change_stack, . - change_stack\n");

static void fail(Result cause, const char *what) {
    if (lost() == SUCCESS) say("%s in %s", what, worker->grid->function->name);
    escape(cause);
}

void *kv_checked_address(u64 address) {
    Worker *w = worker;
    if (address == 0) return NULL;
    const u64 version = memory_version();
    for (unsigned i = 0; i < CACHED; i++) {
        if (address - w->cache[i].start < w->cache[i].bytes && w->cache[i].version == version) return (void *)address;
    }

    Address start = 0, end = 0;
    const unsigned slot = w->next_cached++ % CACHED;
    hold_memory();
    const int is_there = region_of(address, &start, &end, &w->cache[slot].version);
    release_memory();
    w->cache[slot].start = start;
    w->cache[slot].bytes = end - start;
    if (!is_there) {
        if (lost() == SUCCESS) say("%#lx, an argument of %s, is no address that the GPU reaches", address, w->grid->function->name);
        escape(ILLEGAL_ADDRESS);
    }

    return (void *)address;
}

void *kv_local_memory(unsigned long bytes, unsigned long alignment) {
    Item *item = worker->items + kv_item_now.item;
    const u64 start = (item->local_bytes + alignment - 1) / alignment * alignment;
    if (start + bytes > MAX_LOCAL_BYTES) fail(LAUNCH_FAILED, "more on-chip memory than a group has");
    item->local_bytes = (u32)(start + bytes);
    if (worker->local_used < item->local_bytes) worker->local_used = item->local_bytes;
    return worker->local + start;
}

static void leave(Item *item, State state) {
    item->state = state;
    change_stack(&item->stack_pointer, worker->scheduler);
}

void kv_barrier(void) { leave(worker->items + kv_item_now.item, AT_BARRIER); }

/* A struct of up to 16 bytes comes in two registers, a larger one on the stack: both are filled, with at least what the kernel takes. */
#define CALL_WITH(bytes)                                                                             \
    do {                                                                                             \
        typedef struct { unsigned char content[bytes]; } Stack;                                      \
        ((void (*)(u64, u64, Stack))w->grid->function->body)(words[0], words[1], *(const Stack *)words); \
    } while (0)

static void begin(void) {
    Worker *w = worker;
    const u64 *words = (const u64 *)w->arguments;
    const u32 size = w->grid->function->argument_bytes;
    if (size <= 64) {
        CALL_WITH(64);
    } else if (size <= 192) {
        CALL_WITH(192);
    } else if (size <= 1024) {
        CALL_WITH(1024);
    } else {
        CALL_WITH(MAX_ARGUMENT_BYTES);
    }

    leave(w->items + kv_item_now.item, ENDED);
    abort();
}

static void give_stack(Worker *w, Item *item) {
    item->stack = w->free_stacks[--w->free_count];
    void **top = (void **)(w->stacks + (u64)(item->stack + 1) * STACK_BYTES);
    *--top = NULL; /* where begin's caller would be: a function finds its stack so aligned */
    *--top = (void *)begin;
    for (int i = 0; i < 6; i++) *--top = NULL;
    item->stack_pointer = top;
}

/* Lets every work-item go on until it ends or comes to a barrier. */
static u32 advance(Worker *w, u32 items) {
    u32 ended = 0;
    for (u32 i = 0; i < items; i++) {
        Item *item = w->items + i;
        kv_item_now.item = i;
        if (item->state == FRESH) give_stack(w, item);
        change_stack(&w->scheduler, item->stack_pointer);
        if (item->state == ENDED) {
            w->free_stacks[w->free_count++] = item->stack;
            ended++;
        }
    }

    return ended;
}

static void run_group(Worker *w, u64 number) {
    const Grid *grid = w->grid;
    const u32 items = grid->group_size / grid->function->lanes;
    kv_item_now = (struct KvItem){.items = items, .groups = {grid->groups[0], grid->groups[1], grid->groups[2]}};
    kv_item_now.group[0] = (u32)(number % grid->groups[0]);
    kv_item_now.group[1] = (u32)(number / grid->groups[0] % grid->groups[1]);
    kv_item_now.group[2] = (u32)(number / grid->groups[0] / grid->groups[1]);
    for (u32 i = 0; i < w->local_used / sizeof(u32); i++) ((u32 *)w->local)[i] = 0xFFC1FFC1u;
    w->local_used = 0;
    for (u32 i = 0; i < items; i++) w->items[i] = (Item){.state = FRESH};
    for (;;) {
        const u32 ended = advance(w, items);
        if (ended == items) return;
        if (ended != 0) fail(LAUNCH_FAILED, "a barrier that not all work-items come to");
    }
}

static Worker *open_worker(void) {
    Worker *w = calloc(1, sizeof *w);
    w->stacks = mmap(NULL, (u64)MAX_GROUP * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    w->local = aligned_alloc(256, MAX_LOCAL_BYTES);
    w->local_used = MAX_LOCAL_BYTES;
    for (int i = 0; i < MAX_GROUP; i++) w->free_stacks[w->free_count++] = MAX_GROUP - 1 - i;
    return w;
}

static void run_groups(void *data) {
    Job *j = data;
    if (!worker) worker = open_worker();
    worker->grid = j->grid;
    memcpy(worker->arguments, j->grid->arguments, j->grid->function->argument_bytes);
    for (u64 number; (number = atomic_fetch_add(&j->next, 1)) < j->count && lost() == SUCCESS;) run_group(worker, j->count - 1 - number);
}

static void *help(void *unused) {
    (void)unused;
    open_device_memory();
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!job) pthread_cond_wait(&offered, &lock);
        Job *taken = job;
        job = NULL;
        taken->helpers++;
        pthread_mutex_unlock(&lock);
        guarded(run_groups, taken);
        pthread_mutex_lock(&lock);
        taken->helpers--;
        pthread_cond_broadcast(&finished);
    }

    return NULL;
}

static void start_helper(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, help, NULL);
    pthread_detach(thread);
}

void run_grid(const Grid *grid) {
    Job own = {.grid = grid, .count = (u64)grid->groups[0] * grid->groups[1] * grid->groups[2]};
    pthread_once(&helper_once, start_helper);
    if (own.count > 1) {
        pthread_mutex_lock(&lock);
        if (!job) {
            job = &own;
            pthread_cond_signal(&offered);
        }

        pthread_mutex_unlock(&lock);
    }

    guarded(run_groups, &own);
    if (own.count > 1) {
        pthread_mutex_lock(&lock);
        if (job == &own) job = NULL;
        while (own.helpers > 0) pthread_cond_wait(&finished, &lock);
        pthread_mutex_unlock(&lock);
    }
}
