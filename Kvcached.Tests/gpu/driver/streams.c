/* Streams: commands run in order, by the thread of the hardware channel that the stream has. Events; graphs, which are lists of commands. */
#include "driver.h"
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum Kind { COPY, FILL, WRITE, WAIT, LAUNCH, HOST_FUNCTION, RECORD } Kind;

enum { AT_LEAST = 0, EQUAL = 1, AND = 2, NOR = 3 };

/* Never given back: a command that is still to run may name it. */
typedef struct Event {
    u64 recordings;
    u64 completed;
    struct timespec time;
} Event;

typedef struct Command {
    struct Command *next;
    Kind kind;
    int width;
    int comparison;
    Address target;
    Address source;
    u64 bytes;
    u64 value;
    Event *event;
    void (*function)(void *);
    void *data;
    Grid grid;
    _Alignas(16) unsigned char arguments[];
} Command;

typedef struct Graph {
    Command *first;
    Command **last;
} Graph;

typedef struct Channel {
    struct Channel *next;
    pthread_cond_t work;
    Command *first;
    Command **last;
    u64 enqueued;
    u64 completed;
    int is_ending;
} Channel;

typedef struct Stream {
    struct Stream *next;
    Channel *channel;
    u64 last;
    Graph *capture;
} Stream;

typedef struct BatchOperation {
    int operation;
    int padding;
    Address address;
    u64 value;
    u32 flags;
    u32 padding2;
    Address alias;
    u64 unused;
} BatchOperation;

_Static_assert(sizeof(BatchOperation) == 48, "CUstreamBatchMemOpParams has 48 bytes.");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress = PTHREAD_COND_INITIALIZER;
static Channel *channels;
static Stream *streams;
static Channel *shared[64];
static u64 created;
static atomic_int generation;

static int has_reached(const Command *c, u64 found) {
    const u64 value = c->width == 4 ? (u32)c->value : c->value;
    switch (c->comparison) {
        case EQUAL: return found == value;
        case AND: return (found & value) != 0;
        case NOR: return (c->width == 4 ? (u32) ~(found | value) : ~(found | value)) != 0;
        default: return c->width == 4 ? (int32_t)((u32)found - (u32)value) >= 0 : (int64_t)(found - value) >= 0;
    }
}

static void touch(void *data) {
    Command *c = data;
    switch (c->kind) {
        case COPY: memcpy((void *)c->target, (const void *)c->source, c->bytes); break;
        case FILL: memset((void *)c->target, (int)c->value, c->bytes); break;
        case WRITE:
            if (c->width == 4) {
                __atomic_store_n((u32 *)c->target, (u32)c->value, __ATOMIC_RELEASE);
            } else {
                __atomic_store_n((u64 *)c->target, c->value, __ATOMIC_RELEASE);
            }

            break;
        default: /* A wait: what is there is left in bytes. */
            c->bytes = c->width == 4 ? __atomic_load_n((u32 *)c->target, __ATOMIC_ACQUIRE) : __atomic_load_n((u64 *)c->target, __ATOMIC_ACQUIRE);
            break;
    }
}

/* Whether what a command touches is there, now. */
static int finds_memory(const Command *c) {
    return c->kind == WAIT ? reaches(c->target, (u64)c->width, REACH_READ)
        : reaches(c->target, c->kind == WRITE ? (u64)c->width : c->bytes, REACH_WRITE) && (c->kind != COPY || reaches(c->source, c->bytes, REACH_READ));
}

static void run_touch(Command *c) {
    hold_memory();
    if (finds_memory(c)) {
        guarded(touch, c);
    } else {
        if (lost() == SUCCESS) say("a command of kind %d touches %#lx (from %#lx), where there is no memory of its", c->kind, c->target, c->source);
        lose(ILLEGAL_ADDRESS);
    }

    release_memory();
}

static void run_wait(Command *c) {
    const int born = atomic_load(&generation);
    for (int looks = 0; lost() == SUCCESS && born == atomic_load(&generation); looks++) {
        run_touch(c);
        if (has_reached(c, c->bytes)) return;
        if (looks < 16) {
            sched_yield();
        } else {
            const struct timespec time = {0, looks < 64 ? 20000 : 200000};
            nanosleep(&time, NULL);
        }
    }
}

static int is_ill(void) {
    static atomic_ullong commands;
    static u64 nth = ~0ull;
    if (nth == ~0ull) nth = setting("STAND_IN_ILL_COMMAND", 0);
    return nth != 0 && atomic_fetch_add(&commands, 1) + 1 == nth;
}

static void dawdle(void) {
    const u64 microseconds = setting("STAND_IN_DAWDLE", 0);
    const struct timespec time = {(time_t)(microseconds / 1000000), (long)(microseconds % 1000000) * 1000};
    if (microseconds > 0) nanosleep(&time, NULL);
}

static void run(Command *c) {
    dawdle();
    if (is_ill()) lose(ILLEGAL_ADDRESS);
    if (lost() != SUCCESS) return;
    switch (c->kind) {
        case WAIT: run_wait(c); break;
        case LAUNCH: run_grid(&c->grid); break;
        case HOST_FUNCTION:
            in_host_function = 1;
            c->function(c->data);
            in_host_function = 0;
            break;
        case RECORD:
            pthread_mutex_lock(&lock);
            clock_gettime(CLOCK_MONOTONIC, &c->event->time);
            c->event->completed = c->value;
            pthread_mutex_unlock(&lock);
            break;
        default: run_touch(c); break;
    }
}

static void *serve(void *data) {
    Channel *channel = data;
    open_device_memory();
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!channel->first && !channel->is_ending) pthread_cond_wait(&channel->work, &lock);
        Command *c = channel->first;
        if (!c) break;
        channel->first = c->next;
        if (!channel->first) channel->last = &channel->first;
        pthread_mutex_unlock(&lock);
        run(c);
        free(c);
        pthread_mutex_lock(&lock);
        channel->completed++;
        pthread_cond_broadcast(&progress);
    }

    Channel **link = &channels;
    while (*link != channel) link = &(*link)->next;
    *link = channel->next;
    pthread_mutex_unlock(&lock);
    free(channel);
    return NULL;
}

static Channel *open_channel(void) {
    Channel *channel = calloc(1, sizeof *channel);
    pthread_t thread;
    pthread_cond_init(&channel->work, NULL);
    channel->last = &channel->first;
    channel->next = channels;
    channels = channel;
    pthread_create(&thread, NULL, serve, channel);
    pthread_detach(thread);
    return channel;
}

static Channel *channel_of_next(void) {
    u64 count = setting("STAND_IN_CHANNELS", 0);
    if (count == 0) return open_channel();
    count = count > 64 ? 64 : count;
    Channel **place = shared + created++ % count;
    if (!*place) *place = open_channel();
    return *place;
}

/* With the lock. */
static int is_stream(const Stream *stream) {
    const Stream *s = streams;
    while (s && s != stream) s = s->next;
    return s != NULL;
}

static int is_idle(const Stream *stream) { return stream->channel->completed >= stream->last; }

static Command *make(Kind kind, u64 argument_bytes) {
    Command *c = calloc(1, sizeof *c + argument_bytes);
    c->kind = kind;
    return c;
}

/* Commands of which a first one is linked to the others. With the lock; takes them over. */
static Result enqueue_locked(Stream *stream, Command *c) {
    if (!is_stream(stream)) {
        free(c);
        return INVALID_HANDLE;
    }

    if (stream->capture) {
        *stream->capture->last = c;
        stream->capture->last = &c->next;
        return SUCCESS;
    }

    Channel *channel = stream->channel;
    *channel->last = c;
    channel->last = &c->next;
    stream->last = ++channel->enqueued;
    pthread_cond_signal(&channel->work);
    return SUCCESS;
}

static Result enqueue(Stream *stream, Command *c) {
    pthread_mutex_lock(&lock);
    const Result result = enqueue_locked(stream, c);
    pthread_mutex_unlock(&lock);
    return result;
}

void settle(void) {
    if (!setting("STAND_IN_SLOW_CALLS", 0)) return;
    pthread_mutex_lock(&lock);
    for (;;) {
        int is_busy = 0;
        for (Channel *channel = channels; channel; channel = channel->next) is_busy |= channel->completed != channel->enqueued;
        if (!is_busy) break;
        pthread_cond_wait(&progress, &lock);
    }

    pthread_mutex_unlock(&lock);
}

void forget_streams(void) {
    pthread_mutex_lock(&lock);
    atomic_fetch_add(&generation, 1);
    streams = NULL;
    memset(shared, 0, sizeof shared);
    for (Channel *channel = channels; channel; channel = channel->next) {
        for (Command *c = channel->first; c;) {
            Command *next = c->next;
            free(c);
            c = next;
            channel->completed++;
        }

        channel->first = NULL;
        channel->last = &channel->first;
        channel->is_ending = 1;
        pthread_cond_signal(&channel->work);
    }

    pthread_mutex_unlock(&lock);
}

API Result cuStreamCreate(Stream **stream, unsigned flags) {
    ENTER(cuStreamCreate);
    REFUSE_IF(!stream || flags > 1, INVALID_VALUE);
    pthread_mutex_lock(&lock);
    Stream *created_stream = calloc(1, sizeof *created_stream);
    created_stream->channel = channel_of_next();
    created_stream->next = streams;
    streams = created_stream;
    pthread_mutex_unlock(&lock);
    *stream = created_stream;
    return SUCCESS;
}

/* What is in it goes on; its thread ends behind that. */
API Result cuStreamDestroy_v2(Stream *stream) {
    ENTER(cuStreamDestroy);
    pthread_mutex_lock(&lock);
    Stream **link = &streams;
    while (*link && *link != stream) link = &(*link)->next;
    const int is_known = *link != NULL;
    if (is_known) {
        *link = stream->next;
        int is_shared = 0;
        for (unsigned i = 0; i < 64; i++) is_shared |= shared[i] == stream->channel;
        if (!is_shared) {
            stream->channel->is_ending = 1;
            pthread_cond_signal(&stream->channel->work);
        }

        free(stream);
    }

    pthread_mutex_unlock(&lock);
    return is_known ? SUCCESS : INVALID_HANDLE;
}

API Result cuStreamQuery(Stream *stream) {
    ENTER(cuStreamQuery);
    pthread_mutex_lock(&lock);
    const Result result = !is_stream(stream) ? INVALID_HANDLE : stream->capture ? STREAM_CAPTURE_UNSUPPORTED : is_idle(stream) ? SUCCESS : NOT_READY;
    pthread_mutex_unlock(&lock);
    return lost() != SUCCESS ? lost() : result;
}

/* With the lock. */
static Result await(Stream *stream, u64 place) {
    while (is_stream(stream) && stream->channel->completed < place && lost() == SUCCESS) pthread_cond_wait(&progress, &lock);
    return lost();
}

API Result cuStreamSynchronize(Stream *stream) {
    ENTER(cuStreamSynchronize);
    pthread_mutex_lock(&lock);
    const Result result = !is_stream(stream) ? INVALID_HANDLE : stream->capture ? STREAM_CAPTURE_UNSUPPORTED : await(stream, stream->last);
    pthread_mutex_unlock(&lock);
    return result;
}

static Command *word(Kind kind, Address address, u64 value, int width, unsigned flags) {
    Command *c = make(kind, 0);
    c->target = address;
    c->value = value;
    c->width = width;
    c->comparison = (int)flags;
    return c;
}

static int can_reach(Address address, u64 bytes, int how) {
    hold_memory();
    const int result = reaches(address, bytes, how);
    release_memory();
    if (!result) say("a command names %lu bytes at %#lx, which are neither the GPU's nor registered so", bytes, address);
    return result;
}

API Result cuStreamWaitValue64_v2(Stream *stream, Address address, u64 value, unsigned flags) {
    ENTER(cuStreamWaitValue64);
    REFUSE_IF(address % 8 != 0 || flags > NOR || !can_reach(address, 8, REACH_READ), INVALID_VALUE);
    return enqueue(stream, word(WAIT, address, value, 8, flags));
}

API Result cuStreamWriteValue64_v2(Stream *stream, Address address, u64 value, unsigned flags) {
    ENTER(cuStreamWriteValue64);
    REFUSE_IF(address % 8 != 0 || flags != 0 || !can_reach(address, 8, REACH_WRITE), INVALID_VALUE);
    return enqueue(stream, word(WRITE, address, value, 8, 0));
}

API Result cuStreamBatchMemOp_v2(Stream *stream, unsigned count, BatchOperation *operations, unsigned flags) {
    const int wait32 = 1, write32 = 2, wait64 = 4, write64 = 5;
    ENTER(cuStreamBatchMemOp);
    REFUSE_IF(count == 0 || count >= 256 || !operations || flags != 0, INVALID_VALUE);
    for (unsigned i = 0; i < count; i++) {
        const BatchOperation *o = operations + i;
        const int is_wait = o->operation == wait32 || o->operation == wait64;
        const int width = o->operation == wait64 || o->operation == write64 ? 8 : 4;
        REFUSE_IF(!is_wait && o->operation != write32 && o->operation != write64, INVALID_VALUE);
        REFUSE_IF(o->address % (u64)width != 0 || o->flags > (is_wait ? NOR : 0) || !can_reach(o->address, (u64)width, is_wait ? REACH_READ : REACH_WRITE), INVALID_VALUE);
    }

    pthread_mutex_lock(&lock);
    Result result = SUCCESS;
    for (unsigned i = 0; i < count && result == SUCCESS; i++) {
        const BatchOperation *o = operations + i;
        const int is_wait = o->operation == wait32 || o->operation == wait64;
        result = enqueue_locked(stream, word(is_wait ? WAIT : WRITE, o->address, o->value, o->operation == wait64 || o->operation == write64 ? 8 : 4, o->flags));
    }

    pthread_mutex_unlock(&lock);
    return result;
}

API Result cuLaunchHostFunc(Stream *stream, void (*function)(void *), void *data) {
    ENTER(cuLaunchHostFunc);
    REFUSE_IF(!function, INVALID_VALUE);
    Command *c = make(HOST_FUNCTION, 0);
    c->function = function;
    c->data = data;
    return enqueue(stream, c);
}

/* "For transfers from any host memory to any host memory, the function is fully synchronous with respect to the host." */
API Result cuMemcpyAsync(Address target, Address source, size_t bytes, Stream *stream) {
    ENTER(cuMemcpyAsync);
    REFUSE_IF(bytes == 0, SUCCESS);
    REFUSE_IF(!can_reach(target, bytes, REACH_WRITE) || !can_reach(source, bytes, REACH_READ), INVALID_VALUE);
    hold_memory();
    const int is_synchronous = is_host(target) && is_host(source);
    release_memory();
    Command *c = make(COPY, 0);
    c->target = target;
    c->source = source;
    c->bytes = bytes;
    pthread_mutex_lock(&lock);
    Result result = enqueue_locked(stream, c);
    if (result == SUCCESS && is_synchronous && !stream->capture) result = await(stream, stream->last);
    pthread_mutex_unlock(&lock);
    return result;
}

API Result cuMemsetD8Async(Address target, unsigned char value, size_t bytes, Stream *stream) {
    ENTER(cuMemsetD8Async);
    REFUSE_IF(bytes == 0, SUCCESS);
    REFUSE_IF(!can_reach(target, bytes, REACH_WRITE), INVALID_VALUE);
    Command *c = make(FILL, 0);
    c->target = target;
    c->value = value;
    c->bytes = bytes;
    return enqueue(stream, c);
}

/* The arguments of a launch: one struct, as a pointer to it, or as a buffer of its size. */
static const void *arguments_of(const Function *function, void **parameters, void **extra) {
    const void *buffer = NULL;
    u64 bytes = 0;
    if (parameters || !extra) return parameters && !extra ? *parameters : NULL;
    for (; (u64)*extra != 0; extra += 2) {
        if ((u64)extra[0] == 1) {
            buffer = extra[1];
        } else if ((u64)extra[0] == 2) {
            bytes = *(size_t *)extra[1];
        } else {
            return NULL;
        }
    }

    if (bytes != function->argument_bytes) say("%s takes %u bytes of arguments and was given %lu", function->name, function->argument_bytes, bytes);
    return bytes == function->argument_bytes ? buffer : NULL;
}

API Result cuLaunchKernel(void *handle, unsigned x, unsigned y, unsigned z, unsigned block_x, unsigned block_y, unsigned block_z, unsigned local_bytes, Stream *stream, void **parameters, void **extra) {
    ENTER(cuLaunchKernel);
    const Function *function = function_of(handle);
    REFUSE_IF(!function, INVALID_HANDLE);
    REFUSE_IF(x == 0 || y == 0 || z == 0 || x > 0x7FFFFFFFu || y > 65535 || z > 65535, INVALID_VALUE);
    REFUSE_IF(block_x == 0 || block_x > function->max_group || block_x % function->lanes != 0 || block_y != 1 || block_z != 1 || local_bytes != 0, INVALID_VALUE);
    const void *arguments = arguments_of(function, parameters, extra);
    REFUSE_IF(!arguments, INVALID_VALUE);
    Command *c = make(LAUNCH, function->argument_bytes);
    memcpy(c->arguments, arguments, function->argument_bytes);
    c->grid = (Grid){.function = function, .groups = {x, y, z}, .group_size = block_x, .arguments = c->arguments};
    return enqueue(stream, c);
}

API Result cuEventCreate(Event **event, unsigned flags) {
    ENTER(cuEventCreate);
    REFUSE_IF(!event || flags > 7, INVALID_VALUE);
    *event = calloc(1, sizeof **event);
    return SUCCESS;
}

API Result cuEventDestroy_v2(Event *event) {
    ENTER(cuEventDestroy);
    return event ? SUCCESS : INVALID_HANDLE;
}

API Result cuEventRecord(Event *event, Stream *stream) {
    ENTER(cuEventRecord);
    REFUSE_IF(!event, INVALID_HANDLE);
    Command *c = make(RECORD, 0);
    pthread_mutex_lock(&lock);
    c->event = event;
    c->value = ++event->recordings;
    const Result result = enqueue_locked(stream, c);
    pthread_mutex_unlock(&lock);
    return result;
}

API Result cuEventElapsedTime(float *milliseconds, Event *start, Event *end) {
    ENTER(cuEventElapsedTime);
    REFUSE_IF(!milliseconds || !start || !end, INVALID_VALUE);
    pthread_mutex_lock(&lock);
    const Result result = start->recordings == 0 || end->recordings == 0 ? INVALID_HANDLE
        : start->completed != start->recordings || end->completed != end->recordings ? NOT_READY : SUCCESS;
    *milliseconds = (float)((double)(end->time.tv_sec - start->time.tv_sec) * 1e3 + (double)(end->time.tv_nsec - start->time.tv_nsec) / 1e6);
    pthread_mutex_unlock(&lock);
    return result;
}

API Result cuStreamBeginCapture_v2(Stream *stream, int mode) {
    ENTER(cuStreamBeginCapture);
    REFUSE_IF(mode < 0 || mode > 2, INVALID_VALUE);
    pthread_mutex_lock(&lock);
    const Result result = !is_stream(stream) ? INVALID_HANDLE : stream->capture ? INVALID_VALUE : SUCCESS;
    if (result == SUCCESS) {
        stream->capture = calloc(1, sizeof *stream->capture);
        stream->capture->last = &stream->capture->first;
    }

    pthread_mutex_unlock(&lock);
    return result;
}

API Result cuStreamEndCapture(Stream *stream, Graph **graph) {
    ENTER(cuStreamEndCapture);
    REFUSE_IF(!graph, INVALID_VALUE);
    pthread_mutex_lock(&lock);
    const Result result = !is_stream(stream) ? INVALID_HANDLE : !stream->capture ? INVALID_VALUE : SUCCESS;
    if (result == SUCCESS) {
        *graph = stream->capture;
        stream->capture = NULL;
    }

    pthread_mutex_unlock(&lock);
    return result;
}

static Command *copy_of(const Command *c) {
    const u64 argument_bytes = c->kind == LAUNCH ? c->grid.function->argument_bytes : 0;
    Command *copy = malloc(sizeof *copy + argument_bytes);
    memcpy(copy, c, sizeof *copy + argument_bytes);
    copy->grid.arguments = copy->arguments;
    copy->next = NULL;
    return copy;
}

API Result cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, u64 flags) {
    ENTER(cuGraphInstantiateWithFlags);
    REFUSE_IF(!executable || !graph || flags != 0, INVALID_VALUE);
    Graph *copy = calloc(1, sizeof *copy);
    copy->last = &copy->first;
    for (Command *c = graph->first; c; c = c->next) {
        *copy->last = copy_of(c);
        copy->last = &(*copy->last)->next;
    }

    *executable = copy;
    return SUCCESS;
}

API Result cuGraphLaunch(Graph *executable, Stream *stream) {
    ENTER(cuGraphLaunch);
    REFUSE_IF(!executable, INVALID_HANDLE);
    Result result = SUCCESS;
    pthread_mutex_lock(&lock);
    for (Command *c = executable->first; c && result == SUCCESS; c = c->next) result = enqueue_locked(stream, copy_of(c));
    pthread_mutex_unlock(&lock);
    return result;
}

static Result destroy(Graph *graph) {
    REFUSE_IF(!graph, INVALID_HANDLE);
    for (Command *c = graph->first; c;) {
        Command *next = c->next;
        free(c);
        c = next;
    }

    free(graph);
    return SUCCESS;
}

API Result cuGraphExecDestroy(Graph *executable) {
    ENTER(cuGraphExecDestroy);
    return destroy(executable);
}

API Result cuGraphDestroy(Graph *graph) {
    ENTER(cuGraphDestroy);
    return destroy(graph);
}
