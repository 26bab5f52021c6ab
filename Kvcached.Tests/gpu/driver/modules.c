/*
 * Modules. PTX is not executed: its outline is checked, which instructions there are and whether braces match, and each entry is bound to a host function of
 * the same name that was made from the same source. What an entry's arguments are and how much on-chip memory it has, the text says.
 */
#include "driver.h"
#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Module {
    struct Module *next;
    int count;
    Function *functions;
} Module;

/* The section of kernels of 16 lanes (device_host.h). */
extern char __start_kv_lanes_16[] __attribute__((weak, visibility("hidden"))), __stop_kv_lanes_16[] __attribute__((weak, visibility("hidden")));

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Module *modules;

/* Of PTX ISA 8.0, those that compilers make. */
static const char *const opcodes[] = {
    "abs", "activemask", "add", "addc", "and", "atom", "bar", "barrier", "bfe", "bfi", "bfind", "bra", "brev", "brkpt", "call", "clz", "cnot", "copysign", "cos", "cp", "createpolicy", "cvt",
    "cvta", "div", "dp2a", "dp4a", "elect", "ex2", "exit", "fence", "fma", "fns", "getctarank", "griddepcontrol", "isspacep", "ld", "ldmatrix", "ldu", "lg2", "lop3", "mad", "mad24", "madc",
    "mapa", "match", "max", "mbarrier", "membar", "min", "mma", "mov", "movmatrix", "mul", "mul24", "nanosleep", "neg", "not", "or", "pmevent", "popc", "prefetch", "prefetchu", "prmt", "rcp",
    "red", "redux", "rem", "ret", "rsqrt", "sad", "selp", "set", "setmaxnreg", "setp", "shf", "shfl", "shl", "shr", "sin", "slct", "sqrt", "st", "stmatrix", "sub", "subc", "szext", "tanh",
    "testp", "trap", "vote", "wgmma", "wmma", "xor",
};

static int is_opcode(const char *word, size_t length) {
    for (unsigned i = 0; i < sizeof opcodes / sizeof *opcodes; i++) {
        if (strlen(opcodes[i]) == length && memcmp(opcodes[i], word, length) == 0) return 1;
    }

    return 0;
}

/* A copy of the text with blanks for comments. */
static char *without_comments(const char *text) {
    char *copy = strdup(text);
    for (char *at = copy; *at;) {
        if (at[0] == '/' && at[1] == '/') {
            while (*at && *at != '\n') *at++ = ' ';
        } else if (at[0] == '/' && at[1] == '*') {
            char *end = strstr(at, "*/");
            end = end ? end + 2 : at + strlen(at);
            while (at < end) *at++ = ' ';
        } else {
            at++;
        }
    }

    return copy;
}

static int is_name(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%'; }

static const char *skip_space(const char *at) {
    while (isspace((unsigned char)*at)) at++;
    return at;
}

/* What stands at the beginning of a statement of a body: labels and a predicate before an instruction. Null where it is one, or a directive. */
static const char *fault_of(const char *at, const char *end) {
    for (;;) {
        at = skip_space(at);
        const char *word = at;
        if (at >= end || *at == '.') return NULL;
        if (*at == '@') {
            while (at < end && !isspace((unsigned char)*at)) at++;
            continue;
        }

        while (at < end && is_name(*at)) at++;
        if (*skip_space(at) == ':') {
            at = skip_space(at) + 1;
            continue;
        }

        return at > word && is_opcode(word, (size_t)(at - word)) ? NULL : word;
    }
}

/* Whether a brace is one of an instruction's operands, or of a variable's value, and not of a block. */
static int is_operand(const char *start, const char *brace, int depth) {
    const char *last = brace;
    while (last > start && isspace((unsigned char)last[-1])) last--;
    return last > start && (depth > 0 ? last[-1] != ':' : last[-1] == '=' || *brace == '}');
}

/* Writes what is wrong with a text; an empty log if nothing is. */
static void check(const char *text, char *log, size_t room) {
    int depth = 0, line = 1;
    const char *start = text;
    for (const char *at = text; *at; at++) {
        if (*at == '\n') line++;
        if (*at == '{' && is_operand(start, at, depth)) at += strcspn(at, "}");
        if (*at != ';' && *at != '{' && *at != '}') continue;
        if (*at == '}' && is_operand(start, at, depth)) continue;
        const char *fault = depth > 0 ? fault_of(start, at) : NULL;
        if (fault) {
            const int length = (int)strcspn(fault, "; \t\n,");
            snprintf(log, room, "ptxas application ptx input, line %d; fatal   : Parsing error near '%.*s': syntax error", line, length, fault);
            return;
        }

        depth += *at == '{' ? 1 : *at == '}' ? -1 : 0;
        start = at + 1;
    }

    if (depth != 0) snprintf(log, room, "ptxas application ptx input, line %d; fatal   : Parsing error: unbalanced braces", line);
}

/* The number behind a name, the first after an offset into the text; -1 if there is none. */
static int number_after(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? (int)strtol(at + strlen(name), NULL, 10) : -1;
}

/* Bytes of the on-chip arrays that a function declares: the names of its static variables hold its own. */
static u32 local_bytes(const char *text, const char *name) {
    char mark[160];
    u32 bytes = 0;
    snprintf(mark, sizeof mark, "_ZZ%zu%sE", strlen(name), name);
    for (const char *at = strstr(text, ".shared .align"); at; at = strstr(at + 1, ".shared .align")) {
        const char *variable = strstr(at, "_ZZ");
        const char *size = variable ? strchr(variable, '[') : NULL;
        if (size && variable < strchr(at, ';') && strncmp(variable, mark, strlen(mark)) == 0) bytes += (u32)strtoul(size + 1, NULL, 10);
    }

    return bytes;
}

/* Bytes of local memory that a thread of a function takes. */
static u32 spilled_bytes(const char *body) {
    const char *depot = strstr(body, "__local_depot");
    const char *next = strstr(body, ".entry");
    const char *size = depot && (!next || depot < next) ? strchr(depot, '[') : NULL;
    return size ? (u32)strtoul(size + 1, NULL, 10) : 0;
}

static u32 argument_bytes(const char *parameters, const char *end) {
    u32 bytes = 0;
    for (const char *at = strstr(parameters, ".param"); at && at < end; at = strstr(at + 1, ".param")) {
        const char *type = strstr(at, ".b");
        const char *size = strchr(at, '[');
        const char *next = strpbrk(at, ",)");
        bytes += (size && size < next ? (u32)strtoul(size + 1, NULL, 10) : 1) * (type ? (u32)strtoul(type + 2, NULL, 10) / 8 : 0);
    }

    return bytes;
}

/* Finds the entries. False with a log where one cannot be had. */
static int bind(Module *module, const char *text, char *log, size_t room) {
    Dl_info self, found;
    dladdr((void *)bind, &self);
    for (const char *at = strstr(text, ".entry"); at; at = strstr(at + 1, ".entry")) {
        Function function = {.max_group = MAX_GROUP, .lanes = 1};
        const char *name = skip_space(at + 6);
        const char *open = strchr(name, '('), *close = strchr(name, ')'), *body = strchr(name, '{');
        if (!open || !close || !body || (size_t)(open - name) >= sizeof function.name) {
            snprintf(log, room, "ptxas fatal   : Parsing error near '.entry'");
            return 0;
        }

        memcpy(function.name, name, strcspn(name, "( \t\n"));
        function.argument_bytes = argument_bytes(open, close);
        function.local_bytes = local_bytes(text, function.name);
        function.spilled_bytes = spilled_bytes(body);
        const char *limit = strstr(close, "ntid");
        if (limit && limit < body) function.max_group = (u32)strtoul(limit + 4, NULL, 10);
        void *symbol = dlsym(RTLD_DEFAULT, function.name);
        void *handle = dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD);
        symbol = handle ? dlsym(handle, function.name) : symbol;
        const int is_own = symbol && dladdr(symbol, &found) && found.dli_fbase == self.dli_fbase;
        if (!is_own || function.argument_bytes > MAX_ARGUMENT_BYTES || function.local_bytes > MAX_LOCAL_BYTES) {
            const char *why = !is_own ? "the stand-in driver was not built with its source" : function.local_bytes > MAX_LOCAL_BYTES ? "uses too much shared data" : "has too many arguments";
            snprintf(log, room, "ptxas error   : Entry function '%s': %s", function.name, why);
            return 0;
        }

        function.body = (void (*)(void))symbol;
        if ((char *)symbol >= __start_kv_lanes_16 && (char *)symbol < __stop_kv_lanes_16) function.lanes = 16;
        module->functions = realloc(module->functions, (size_t)(module->count + 1) * sizeof function);
        module->functions[module->count++] = function;
    }

    return 1;
}

static void destroy(Module *module) {
    free(module->functions);
    free(module);
}

API Result cuModuleLoadDataEx(Module **result, const char *image, unsigned options, const int *names, void **values) {
    const int error_log = 5, error_log_bytes = 6;
    char log[512] = "";
    char *buffer = NULL;
    size_t room = 0;
    size_t *written = NULL;
    ENTER(cuModuleLoadDataEx);
    REFUSE_IF(!result || !image || (options > 0 && (!names || !values)), INVALID_VALUE);
    for (unsigned i = 0; i < options; i++) {
        REFUSE_IF(names[i] != error_log && names[i] != error_log_bytes, INVALID_VALUE);
        if (names[i] == error_log) {
            buffer = values[i];
        } else {
            room = (size_t)values[i];
            written = (size_t *)(values + i);
        }
    }

    settle();
    char *text = without_comments(image);
    Module *module = calloc(1, sizeof *module);
    const char *version = strstr(text, ".version");
    const int driver = driver_version(), isa = number_after(text, ".version ") * 10 + (version && strchr(version, '.') ? number_after(version + 1, ".") : 0);
    Result failure = !version || !strstr(text, ".address_size 64") ? INVALID_PTX
        : isa > 10 * (driver / 1000 - 4) + driver % 1000 / 10 ? UNSUPPORTED_PTX_VERSION
        : number_after(text, ".target sm_") > capability() ? NO_BINARY_FOR_GPU : SUCCESS;
    if (failure == SUCCESS) {
        check(text, log, sizeof log);
        failure = *log || !bind(module, text, log, sizeof log) ? INVALID_PTX : SUCCESS;
    }

    free(text);
    if (buffer && room > 0) {
        const int length = snprintf(buffer, room, "%s", log);
        if (written) *written = length < 0 ? 0 : (size_t)length < room ? (size_t)length : room;
    }

    if (failure != SUCCESS) {
        destroy(module);
        return failure;
    }

    pthread_mutex_lock(&lock);
    module->next = modules;
    modules = module;
    pthread_mutex_unlock(&lock);
    *result = module;
    return SUCCESS;
}

static Module **link_to(const Module *module) {
    Module **link = &modules;
    while (*link && *link != module) link = &(*link)->next;
    return link;
}

API Result cuModuleUnload(Module *module) {
    ENTER(cuModuleUnload);
    settle();
    pthread_mutex_lock(&lock);
    Module **link = link_to(module);
    const int is_known = *link != NULL;
    if (is_known) {
        *link = module->next;
        destroy(module);
    }

    pthread_mutex_unlock(&lock);
    return is_known ? SUCCESS : INVALID_HANDLE;
}

void forget_modules(void) {
    pthread_mutex_lock(&lock);
    while (modules) {
        Module *module = modules;
        modules = module->next;
        destroy(module);
    }

    pthread_mutex_unlock(&lock);
}

const Function *function_of(const void *handle) {
    const Function *found = NULL;
    pthread_mutex_lock(&lock);
    for (Module *module = modules; module && !found; module = module->next) {
        for (int i = 0; i < module->count; i++) {
            if (handle == module->functions + i) found = module->functions + i;
        }
    }

    pthread_mutex_unlock(&lock);
    return found;
}

API Result cuModuleGetFunction(const Function **function, const Module *module, const char *name) {
    ENTER(cuModuleGetFunction);
    REFUSE_IF(!function || !name, INVALID_VALUE);
    pthread_mutex_lock(&lock);
    const int is_known = *link_to(module) != NULL;
    *function = NULL;
    for (int i = 0; is_known && i < module->count; i++) {
        if (strcmp(module->functions[i].name, name) == 0) *function = module->functions + i;
    }

    pthread_mutex_unlock(&lock);
    return !is_known ? INVALID_HANDLE : *function ? SUCCESS : NOT_FOUND;
}

API Result cuFuncGetAttribute(int *value, int attribute, const void *handle) {
    ENTER(cuFuncGetAttribute);
    const Function *function = function_of(handle);
    REFUSE_IF(!value, INVALID_VALUE);
    REFUSE_IF(!function, INVALID_HANDLE);
    settle(); /* the first use of a function may load it */
    switch (attribute) {
        case 0: *value = (int)function->max_group; break;
        case 1: *value = (int)function->local_bytes; break;
        case 3: *value = (int)function->spilled_bytes; break;
        case 4: *value = 64; break; /* registers: nothing is known of them */
        default: return INVALID_VALUE;
    }

    return SUCCESS;
}
