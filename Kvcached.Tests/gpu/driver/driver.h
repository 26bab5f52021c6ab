/*
 * A stand-in for libcuda.so.1 on machines without a GPU: for tests alone, never shipped. It does on the CPU what the driver API's documentation says, as
 * adversely as that allows, and refuses what a driver refuses or might: it shows faults of who calls it, and nothing about a GPU.
 *
 *   driver.c    calls: initialisation, devices, the context, errors; what the environment asks for
 *   memory.c    calls: allocations, registered host memory, virtual memory on memfds; which addresses may be touched
 *   streams.c   calls: streams, their commands, events, graphs; a thread for each hardware channel
 *   modules.c   calls: modules; the outline of PTX, which is checked and not executed
 *   launch.c    kernels: host functions of the same names, made from the same sources; work-items as coroutines
 *
 * What the environment can ask for:
 *
 *   STAND_IN_DEVICES=0          there is no GPU
 *   STAND_IN_DRIVER=11080       the version of CUDA that the driver is of; 12000 else
 *   STAND_IN_CAPABILITY=75      the compute capability; 80 else
 *   STAND_IN_BYTES=n            bytes of memory that the GPU has; 4 GiB else
 *   STAND_IN_CHANNELS=n         all streams of a process share n hardware channels: what waits holds up what was enqueued behind it in any of them
 *   STAND_IN_SLOW_CALLS=1       allocating, giving back, registering, mapping and loading wait until all streams are idle, as drivers do at times
 *   STAND_IN_FAIL=call:n[:code] the n-th call of that name, cuMemcpyAsync say, fails with that code, 999 else
 *   STAND_IN_ILL_COMMAND=n      the n-th command that runs in a stream fails, and the context is lost
 *   STAND_IN_DAWDLE=n           each command of a stream begins n microseconds after the one before it has ended
 *   STAND_IN_NO_READONLY=1      memory cannot be registered for reading alone
 */
#ifndef STAND_IN_DRIVER_H
#define STAND_IN_DRIVER_H

#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#define API __attribute__((visibility("default")))

typedef uint64_t u64;
typedef uint32_t u32;
typedef u64 Address;
typedef int Result;

enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    INVALID_PTX = 218,
    UNSUPPORTED_PTX_VERSION = 222,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    CONTEXT_IS_DESTROYED = 709,
    HOST_MEMORY_ALREADY_REGISTERED = 712,
    HOST_MEMORY_NOT_REGISTERED = 713,
    MISALIGNED_ADDRESS = 716,
    LAUNCH_FAILED = 719,
    NOT_PERMITTED = 800,
    NOT_SUPPORTED = 801,
    STREAM_CAPTURE_UNSUPPORTED = 900,
    UNKNOWN = 999,
};

/* Most bytes of a kernel's arguments, of its static on-chip memory, and most work-items of a group. */
enum { MAX_ARGUMENT_BYTES = 4096, MAX_LOCAL_BYTES = 48 * 1024, MAX_GROUP = 1024 };

typedef struct Function {
    char name[128];
    void (*body)(void);
    u32 argument_bytes;
    u32 local_bytes;
    u32 spilled_bytes;
    u32 max_group;
    u32 lanes;
} Function;

typedef struct Grid {
    const Function *function;
    u32 groups[3];
    u32 group_size;
    const void *arguments;
} Grid;

/* driver.c */
u64 setting(const char *name, u64 otherwise);
Result enter(const char *call, int needs_context);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The context is lost, by this cause: nothing works any more. */
void lose(Result cause);
Result lost(void);
int capability(void);
int driver_version(void);

/* Set in a thread that runs a host function, which may make no calls. */
extern __thread int in_host_function;

/* Runs something that touches memory by address. Returns nonzero, and the context is lost, where that is not there; calls itself in such a run are refused. */
int guarded(void (*body)(void *), void *data);
void escape(Result cause) __attribute__((noreturn));

/* memory.c */
enum { REACH_READ = 1, REACH_WRITE = 2 };

/* Until then, no memory comes or goes. */
void hold_memory(void);
void release_memory(void);

/* Whether a range lies in memory that the GPU reaches so, all of it; with memory held. */
int reaches(Address address, u64 bytes, int how);

/* Whether it lies in registered host memory. */
int is_host(Address address);

/* The region that an address lies in, and the count that changes with every change of memory; with memory held. False if there is none. */
int region_of(Address address, Address *start, Address *end, u64 *version);
u64 memory_version(void);

/* Lets the calling thread touch the GPU's memory, which others cannot where the processor has protection keys. */
void open_device_memory(void);
void forget_memory(void);

/* streams.c */
void settle(void);
void forget_streams(void);

/* launch.c: runs a grid on the calling thread and a helper. A failure loses the context. */
void run_grid(const Grid *grid);

/* modules.c */
const Function *function_of(const void *handle);
void forget_modules(void);

#define ENTER(call)                                \
    do {                                           \
        const Result entered_ = enter(#call, 1);   \
        if (entered_ != SUCCESS) return entered_;  \
    } while (0)

#define ENTER_ANYWHERE(call)                       \
    do {                                           \
        const Result entered_ = enter(#call, 0);   \
        if (entered_ != SUCCESS) return entered_;  \
    } while (0)

#define REFUSE_IF(condition, result)               \
    do {                                           \
        if (condition) return result;              \
    } while (0)

#endif
