/* Initialisation, devices, the context, errors. */
#include "driver.h"
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Context {
    atomic_int is_alive;
} Context;

static pthread_mutex_t context_lock = PTHREAD_MUTEX_INITIALIZER;
static Context *primary;
static int retained;
static atomic_int initialised;
static atomic_int cause_of_loss;
static __thread Context *current;
__thread int in_host_function;

static __thread sigjmp_buf *way_out;
static __thread Result why_out;
static struct sigaction before_segv;
static struct sigaction before_bus;

u64 setting(const char *name, u64 otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

int capability(void) { return (int)setting("STAND_IN_CAPABILITY", 80); }

int driver_version(void) { return (int)setting("STAND_IN_DRIVER", 12000); }

static int device_count(void) { return setting("STAND_IN_DEVICES", 1) != 0; }

void say(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "stand-in driver: %s\n", text);
}

void lose(Result cause) {
    int none = 0;
    atomic_compare_exchange_strong(&cause_of_loss, &none, cause);
}

Result lost(void) { return atomic_load(&cause_of_loss); }

/* STAND_IN_FAIL. */
static Result failure_of(const char *call) {
    static atomic_ullong calls;
    const char *text = getenv("STAND_IN_FAIL");
    const size_t length = strlen(call);
    if (!text || strncmp(text, call, length) != 0 || text[length] != ':') return SUCCESS;
    char *end;
    const u64 nth = strtoull(text + length + 1, &end, 10);
    if (atomic_fetch_add(&calls, 1) + 1 != nth) return SUCCESS;
    return *end == ':' ? atoi(end + 1) : UNKNOWN;
}

Result enter(const char *call, int needs_context) {
    REFUSE_IF(in_host_function, NOT_PERMITTED);
    REFUSE_IF(!atomic_load(&initialised), NOT_INITIALIZED);
    if (needs_context) {
        REFUSE_IF(lost() != SUCCESS, lost());
        REFUSE_IF(!current, INVALID_CONTEXT);
        REFUSE_IF(!atomic_load(&current->is_alive), CONTEXT_IS_DESTROYED);
    }

    return failure_of(call);
}

/* A bad address, where something was run that touches memory by address; else the concern of whoever was there before. */
static void on_fault(int number, siginfo_t *info, void *context) {
    if (way_out) {
        /* No address: not one that there is no memory at, but one that is not aligned. */
        why_out = info->si_code == SI_KERNEL ? MISALIGNED_ADDRESS : ILLEGAL_ADDRESS;
        siglongjmp(*way_out, 1);
    }

    const struct sigaction *before = number == SIGSEGV ? &before_segv : &before_bus;
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(number, info, context);
    } else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(number);
    } else {
        signal(number, SIG_DFL);
    }
}

static void catch_faults(void) {
    struct sigaction action = {0};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &action, &before_segv);
    sigaction(SIGBUS, &action, &before_bus);
}

int guarded(void (*body)(void *), void *data) {
    sigjmp_buf here;
    if (sigsetjmp(here, 1) == 0) {
        way_out = &here;
        body(data);
        way_out = NULL;
        return 0;
    }

    way_out = NULL;
    open_device_memory();
    if (lost() == SUCCESS) say("a command failed with %d", why_out);
    lose(why_out);
    return 1;
}

void escape(Result cause) {
    why_out = cause;
    siglongjmp(*way_out, 1);
}

API Result cuInit(unsigned flags) {
    REFUSE_IF(flags != 0, INVALID_VALUE);
    REFUSE_IF(device_count() == 0, NO_DEVICE);
    if (!atomic_exchange(&initialised, 1)) catch_faults();
    return SUCCESS;
}

API Result cuDriverGetVersion(int *version) {
    REFUSE_IF(!version, INVALID_VALUE);
    *version = driver_version();
    return SUCCESS;
}

API Result cuDeviceGetCount(int *count) {
    ENTER_ANYWHERE(cuDeviceGetCount);
    REFUSE_IF(!count, INVALID_VALUE);
    *count = device_count();
    return SUCCESS;
}

API Result cuDeviceGet(int *device, int ordinal) {
    ENTER_ANYWHERE(cuDeviceGet);
    REFUSE_IF(!device, INVALID_VALUE);
    REFUSE_IF(ordinal < 0 || ordinal >= device_count(), INVALID_DEVICE);
    *device = 0;
    return SUCCESS;
}

API Result cuDeviceGetName(char *name, int bytes, int device) {
    ENTER_ANYWHERE(cuDeviceGetName);
    REFUSE_IF(!name || bytes <= 0, INVALID_VALUE);
    REFUSE_IF(device != 0, INVALID_DEVICE);
    snprintf(name, (size_t)bytes, "stand-in driver, no GPU");
    return SUCCESS;
}

API Result cuDeviceTotalMem_v2(size_t *bytes, int device) {
    ENTER_ANYWHERE(cuDeviceTotalMem);
    REFUSE_IF(!bytes, INVALID_VALUE);
    REFUSE_IF(device != 0, INVALID_DEVICE);
    *bytes = setting("STAND_IN_BYTES", 4ull << 30);
    return SUCCESS;
}

API Result cuDeviceGetAttribute(int *value, int attribute, int device) {
    ENTER_ANYWHERE(cuDeviceGetAttribute);
    REFUSE_IF(!value, INVALID_VALUE);
    REFUSE_IF(device != 0, INVALID_DEVICE);
    switch (attribute) {
        case 1: *value = MAX_GROUP; break;        /* MAX_THREADS_PER_BLOCK */
        case 8: *value = MAX_LOCAL_BYTES; break;  /* MAX_SHARED_MEMORY_PER_BLOCK */
        case 10: *value = 32; break;              /* WARP_SIZE */
        case 16: *value = 4; break;               /* MULTIPROCESSOR_COUNT */
        case 41: *value = 1; break;               /* UNIFIED_ADDRESSING */
        case 75: *value = capability() / 10; break;
        case 76: *value = capability() % 10; break;
        case 91:                                  /* CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM */
        case 99:                                  /* HOST_REGISTER_SUPPORTED */
        case 102:                                 /* VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED */
        case 103:                                 /* HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED */
        case 122: *value = 1; break;              /* CAN_USE_64_BIT_STREAM_MEM_OPS */
        case 113: *value = !setting("STAND_IN_NO_READONLY", 0); break;
        default: say("attribute %d is not one that it knows", attribute); return INVALID_VALUE;
    }

    return SUCCESS;
}

API Result cuDevicePrimaryCtxRetain(Context **context, int device) {
    ENTER_ANYWHERE(cuDevicePrimaryCtxRetain);
    REFUSE_IF(!context, INVALID_VALUE);
    REFUSE_IF(device != 0, INVALID_DEVICE);
    REFUSE_IF(lost() != SUCCESS, lost());
    pthread_mutex_lock(&context_lock);
    if (retained++ == 0) {
        primary = calloc(1, sizeof *primary);
        atomic_store(&primary->is_alive, 1);
    }

    *context = primary;
    pthread_mutex_unlock(&context_lock);
    return SUCCESS;
}

/* The last one destroys the context with all that was made in it. What is left of it is never given back: somebody may still have it. */
API Result cuDevicePrimaryCtxRelease_v2(int device) {
    ENTER_ANYWHERE(cuDevicePrimaryCtxRelease);
    REFUSE_IF(device != 0, INVALID_DEVICE);
    pthread_mutex_lock(&context_lock);
    const int was_retained = retained > 0;
    const int is_last = was_retained && --retained == 0;
    if (is_last) {
        atomic_store(&primary->is_alive, 0);
        primary = NULL;
    }

    pthread_mutex_unlock(&context_lock);
    REFUSE_IF(!was_retained, INVALID_CONTEXT);
    if (is_last) {
        forget_streams();
        forget_modules();
        forget_memory();
    }

    return SUCCESS;
}

/* May return the error of an earlier command, too. */
API Result cuCtxSetCurrent(Context *context) {
    ENTER_ANYWHERE(cuCtxSetCurrent);
    REFUSE_IF(lost() != SUCCESS, lost());
    pthread_mutex_lock(&context_lock);
    const int is_known = !context || context == primary;
    pthread_mutex_unlock(&context_lock);
    REFUSE_IF(!is_known, INVALID_CONTEXT);
    current = context;
    return SUCCESS;
}

/* The stack of a thread is the one limit that it knows. */
static size_t stack_bytes = 1024;

API Result cuCtxGetLimit(size_t *value, int which) {
    ENTER(cuCtxGetLimit);
    REFUSE_IF(!value || which != 0, INVALID_VALUE);
    *value = stack_bytes;
    return SUCCESS;
}

API Result cuCtxSetLimit(int which, size_t value) {
    ENTER(cuCtxSetLimit);
    REFUSE_IF(which != 0 || value > 512 * 1024, INVALID_VALUE);
    settle();
    stack_bytes = value;
    return SUCCESS;
}

static const struct {
    Result result;
    const char *name;
    const char *text;
} results[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {HOST_MEMORY_ALREADY_REGISTERED, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED", "part or all of the requested memory range is already mapped"},
    {HOST_MEMORY_NOT_REGISTERED, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", "pointer does not correspond to a registered memory region"},
    {MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {NOT_PERMITTED, "CUDA_ERROR_NOT_PERMITTED", "operation not permitted"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static int result_index(Result result) {
    for (unsigned i = 0; i < sizeof results / sizeof *results; i++) {
        if (results[i].result == result) return (int)i;
    }

    return -1;
}

API Result cuGetErrorName(Result result, const char **name) {
    const int i = result_index(result);
    REFUSE_IF(!name || i < 0, INVALID_VALUE);
    *name = results[i].name;
    return SUCCESS;
}

API Result cuGetErrorString(Result result, const char **text) {
    const int i = result_index(result);
    REFUSE_IF(!text || i < 0, INVALID_VALUE);
    *text = results[i].text;
    return SUCCESS;
}
