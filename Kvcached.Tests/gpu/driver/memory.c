/*
 * Memory of the GPU, host memory that it reaches, and which addresses commands may touch. A region is what one call made reachable; they are kept in order
 * of their addresses. New memory is full of what are no numbers in any format that kernels know. Memory of the GPU is closed to host threads where the
 * processor has protection keys.
 */
#include "driver.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, ALIGNMENT = 256, GRANULARITY = 2 << 20 };

typedef enum Kind { ALLOCATED, REGISTERED, MAPPED } Kind;

/* Physical memory under a file descriptor: there until it has neither a handle nor a mapping. */
typedef struct Physical {
    struct Physical *next;
    int descriptor;
    u64 bytes;
    int is_imported;
    int is_exportable;
    int handles;
    int mappings;
} Physical;

typedef struct Region {
    Address start;
    Address end;
    Kind kind;
    int reach;
    Physical *physical;
    void *pages;
    u64 page_bytes;
} Region;

typedef struct Reservation {
    struct Reservation *next;
    Address start;
    u64 bytes;
} Reservation;

typedef struct Location {
    int type;
    int id;
} Location;

typedef struct AllocationProperties {
    int type;
    int handle_types;
    Location location;
    void *win32_meta_data;
    unsigned char compression;
    unsigned char rdma;
    unsigned short usage;
    unsigned char reserved[4];
} AllocationProperties;

typedef struct AccessDescription {
    Location location;
    int flags;
} AccessDescription;

static pthread_rwlock_t lock = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static Region *regions;
static int region_count;
static int region_room;
static Reservation *reservations;
static Physical *physicals;
static u64 used;
static atomic_ullong version = 1;
static int key = -1;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void make_key(void) { key = pkey_alloc(0, PKEY_DISABLE_ACCESS); }

static void protect(void *pages, u64 bytes, int protection) {
    pthread_once(&key_once, make_key);
    if (key < 0 || pkey_mprotect(pages, bytes, protection, key) != 0) mprotect(pages, bytes, protection);
}

void open_device_memory(void) {
    pthread_once(&key_once, make_key);
    if (key >= 0) pkey_set(key, 0);
}

void hold_memory(void) { pthread_rwlock_rdlock(&lock); }

void release_memory(void) { pthread_rwlock_unlock(&lock); }

u64 memory_version(void) { return atomic_load(&version); }

static u64 limit(void) { return setting("STAND_IN_BYTES", 4ull << 30); }

static u64 round_up(u64 bytes, u64 unit) { return (bytes + unit - 1) / unit * unit; }

/* The first region that ends behind an address. */
static int find(Address address) {
    int low = 0, high = region_count;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (regions[middle].end > address) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }

    return low;
}

static int overlaps(Address start, u64 bytes) {
    const int i = find(start);
    return i < region_count && regions[i].start < start + bytes;
}

static Region *insert(Region region) {
    if (region_count == region_room) {
        region_room = region_room * 2 + 64;
        regions = realloc(regions, (size_t)region_room * sizeof *regions);
    }

    const int at = find(region.start);
    memmove(regions + at + 1, regions + at, (size_t)(region_count - at) * sizeof *regions);
    regions[at] = region;
    region_count++;
    atomic_fetch_add(&version, 1);
    return regions + at;
}

static void erase(int at) {
    region_count--;
    memmove(regions + at, regions + at + 1, (size_t)(region_count - at) * sizeof *regions);
    atomic_fetch_add(&version, 1);
}

/* The region of a kind that begins at an address; -1 if there is none. */
static int starting(Address start, Kind kind) {
    const int i = find(start);
    return i < region_count && regions[i].start == start && regions[i].kind == kind ? i : -1;
}

int reaches(Address address, u64 bytes, int how) {
    int i = find(address);
    if (bytes == 0 || i == region_count || regions[i].start > address) return 0;
    for (; (regions[i].reach & how) == how; i++) {
        if (regions[i].end - address >= bytes) return 1;
        bytes -= regions[i].end - address;
        address = regions[i].end;
        if (regions[i].kind != MAPPED || i + 1 == region_count || regions[i + 1].start != address || regions[i + 1].kind != MAPPED) return 0;
    }

    return 0;
}

int is_host(Address address) {
    const int i = find(address);
    return i < region_count && regions[i].start <= address && regions[i].kind == REGISTERED;
}

int region_of(Address address, Address *start, Address *end, u64 *now) {
    const int i = find(address);
    *now = memory_version();
    if (i == region_count || regions[i].start > address || regions[i].reach == 0) return 0;
    *start = regions[i].start;
    *end = regions[i].end;
    return 1;
}

/* No number as float32, float16 or bfloat16, and far outside as an index. */
static void spoil(void *memory, u64 bytes) {
    u32 *words = memory;
    for (u64 i = 0; i < bytes / sizeof *words; i++) words[i] = 0xFFC1FFC1u;
}

API Result cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    ENTER(cuMemGetInfo);
    REFUSE_IF(!free_bytes || !total, INVALID_VALUE);
    hold_memory();
    *total = limit();
    *free_bytes = used < *total ? *total - used : 0;
    release_memory();
    return SUCCESS;
}

/* Aligned to what is documented and no more; it ends as near as that lets it to a page that is not there. */
API Result cuMemAlloc_v2(Address *pointer, size_t bytes) {
    ENTER(cuMemAlloc);
    REFUSE_IF(!pointer || bytes == 0, INVALID_VALUE);
    settle();
    pthread_rwlock_wrlock(&lock);
    const u64 rounded = round_up(bytes, ALIGNMENT);
    const u64 pages = round_up(rounded + ALIGNMENT, PAGE);
    char *memory = used + rounded > limit() || rounded < bytes ? MAP_FAILED : mmap(NULL, pages + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        pthread_rwlock_unlock(&lock);
        return OUT_OF_MEMORY;
    }

    Address start = (Address)memory + pages - rounded;
    if (start % PAGE == 0) start -= ALIGNMENT;
    spoil(memory, pages);
    mprotect(memory + pages, PAGE, PROT_NONE);
    protect(memory, pages, PROT_READ | PROT_WRITE);
    used += rounded;
    insert((Region){.start = start, .end = start + rounded, .kind = ALLOCATED, .reach = REACH_READ | REACH_WRITE, .pages = memory, .page_bytes = pages + PAGE});
    pthread_rwlock_unlock(&lock);
    *pointer = start;
    return SUCCESS;
}

API Result cuMemFree_v2(Address pointer) {
    ENTER(cuMemFree);
    REFUSE_IF(pointer == 0, SUCCESS);
    settle();
    pthread_rwlock_wrlock(&lock);
    const int i = starting(pointer, ALLOCATED);
    if (i >= 0) {
        used -= regions[i].end - regions[i].start;
        munmap(regions[i].pages, regions[i].page_bytes);
        erase(i);
    }

    pthread_rwlock_unlock(&lock);
    return i >= 0 ? SUCCESS : INVALID_VALUE;
}

/* Whether this process has all of a range mapped, and may do as much with it. */
static int is_mapped(Address start, u64 bytes, int must_write) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    Address at = start;
    while (maps && at < start + bytes && fgets(line, sizeof line, maps)) {
        u64 low, high;
        char read, write;
        if (sscanf(line, "%lx-%lx %c%c", &low, &high, &read, &write) != 4 || high <= at) continue;
        if (low > at || read != 'r' || (must_write && write != 'w')) break;
        at = high;
    }

    if (maps) fclose(maps);
    return at >= start + bytes;
}

API Result cuMemHostRegister_v2(void *address, size_t bytes, unsigned flags) {
    const unsigned portable = 1, device_map = 2, read_only = 8;
    ENTER(cuMemHostRegister);
    REFUSE_IF(!address || bytes == 0 || (flags & ~(portable | device_map | read_only)), INVALID_VALUE);
    REFUSE_IF((flags & read_only) && setting("STAND_IN_NO_READONLY", 0), NOT_SUPPORTED);
    REFUSE_IF(!is_mapped((Address)address, bytes, !(flags & read_only)), INVALID_VALUE);
    settle();
    pthread_rwlock_wrlock(&lock);
    const int is_known = overlaps((Address)address, bytes);
    if (!is_known) {
        insert((Region){.start = (Address)address, .end = (Address)address + bytes, .kind = REGISTERED, .reach = REACH_READ | (flags & read_only ? 0 : REACH_WRITE)});
    }

    pthread_rwlock_unlock(&lock);
    return is_known ? HOST_MEMORY_ALREADY_REGISTERED : SUCCESS;
}

API Result cuMemHostUnregister(void *address) {
    ENTER(cuMemHostUnregister);
    settle();
    pthread_rwlock_wrlock(&lock);
    const int i = starting((Address)address, REGISTERED);
    if (i >= 0) erase(i);
    pthread_rwlock_unlock(&lock);
    return i >= 0 ? SUCCESS : HOST_MEMORY_NOT_REGISTERED;
}

/* What the destroyed context had. Virtual memory is the process's. */
void forget_memory(void) {
    pthread_rwlock_wrlock(&lock);
    for (int i = region_count - 1; i >= 0; i--) {
        if (regions[i].kind == ALLOCATED) {
            used -= regions[i].end - regions[i].start;
            munmap(regions[i].pages, regions[i].page_bytes);
        }

        if (regions[i].kind != MAPPED) erase(i);
    }

    pthread_rwlock_unlock(&lock);
}

static int is_valid(const AllocationProperties *properties) {
    return properties && properties->type == 1 && properties->location.type == 1 && properties->location.id == 0 && (properties->handle_types & ~1) == 0 && properties->compression == 0;
}

API Result cuMemGetAllocationGranularity(size_t *bytes, const AllocationProperties *properties, int option) {
    ENTER_ANYWHERE(cuMemGetAllocationGranularity);
    REFUSE_IF(!bytes || !is_valid(properties) || (option != 0 && option != 1), INVALID_VALUE);
    *bytes = GRANULARITY;
    return SUCCESS;
}

static Physical *physical_of(u64 handle) {
    for (Physical *physical = physicals; physical; physical = physical->next) {
        if ((u64)physical == handle && physical->handles > 0) return physical;
    }

    return NULL;
}

static void drop_unused(Physical *physical) {
    if (physical->handles > 0 || physical->mappings > 0) return;
    Physical **link = &physicals;
    while (*link != physical) link = &(*link)->next;
    *link = physical->next;
    if (!physical->is_imported) used -= physical->bytes;
    close(physical->descriptor);
    free(physical);
}

static Physical *add_physical(int descriptor, u64 bytes, int is_imported, int is_exportable) {
    Physical *physical = calloc(1, sizeof *physical);
    *physical = (Physical){.next = physicals, .descriptor = descriptor, .bytes = bytes, .is_imported = is_imported, .is_exportable = is_exportable, .handles = 1};
    physicals = physical;
    return physical;
}

API Result cuMemCreate(u64 *handle, size_t bytes, const AllocationProperties *properties, u64 flags) {
    ENTER(cuMemCreate);
    REFUSE_IF(!handle || bytes == 0 || bytes % GRANULARITY != 0 || flags != 0 || !is_valid(properties), INVALID_VALUE);
    settle();
    pthread_rwlock_wrlock(&lock);
    const int descriptor = used + bytes > limit() ? -1 : memfd_create("stand-in", MFD_CLOEXEC);
    void *pages = descriptor < 0 || ftruncate(descriptor, (off_t)bytes) != 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (pages == MAP_FAILED) {
        if (descriptor >= 0) close(descriptor);
        pthread_rwlock_unlock(&lock);
        return OUT_OF_MEMORY;
    }

    spoil(pages, bytes);
    munmap(pages, bytes);
    used += bytes;
    *handle = (u64)add_physical(descriptor, bytes, 0, properties->handle_types != 0);
    pthread_rwlock_unlock(&lock);
    return SUCCESS;
}

API Result cuMemRelease(u64 handle) {
    ENTER(cuMemRelease);
    settle();
    pthread_rwlock_wrlock(&lock);
    Physical *physical = physical_of(handle);
    if (physical) {
        physical->handles--;
        drop_unused(physical);
    }

    pthread_rwlock_unlock(&lock);
    return physical ? SUCCESS : INVALID_VALUE;
}

API Result cuMemExportToShareableHandle(void *shareable, u64 handle, int type, u64 flags) {
    ENTER(cuMemExportToShareableHandle);
    REFUSE_IF(!shareable || type != 1 || flags != 0, INVALID_VALUE);
    pthread_rwlock_wrlock(&lock);
    Physical *physical = physical_of(handle);
    const int descriptor = physical && physical->is_exportable ? fcntl(physical->descriptor, F_DUPFD_CLOEXEC, 0) : -1;
    pthread_rwlock_unlock(&lock);
    REFUSE_IF(descriptor < 0, INVALID_VALUE);
    *(int *)shareable = descriptor;
    return SUCCESS;
}

API Result cuMemImportFromShareableHandle(u64 *handle, void *shareable, int type) {
    ENTER(cuMemImportFromShareableHandle);
    REFUSE_IF(!handle || type != 1, INVALID_VALUE);
    char link[64], target[64] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", (int)(intptr_t)shareable);
    REFUSE_IF(readlink(link, target, sizeof target - 1) < 0 || strncmp(target, "/memfd:stand-in", 15) != 0, INVALID_VALUE);
    const int descriptor = fcntl((int)(intptr_t)shareable, F_DUPFD_CLOEXEC, 0);
    struct stat status;
    REFUSE_IF(descriptor < 0 || fstat(descriptor, &status) != 0, INVALID_VALUE);
    pthread_rwlock_wrlock(&lock);
    *handle = (u64)add_physical(descriptor, (u64)status.st_size, 1, 1);
    pthread_rwlock_unlock(&lock);
    return SUCCESS;
}

API Result cuMemAddressReserve(Address *pointer, size_t bytes, size_t alignment, Address wanted, u64 flags) {
    (void)wanted; /* a wish, which need not be granted */
    ENTER(cuMemAddressReserve);
    REFUSE_IF(!pointer || bytes == 0 || bytes % GRANULARITY != 0 || (alignment & (alignment - 1)) != 0 || flags != 0, INVALID_VALUE);
    const u64 aligned = alignment > GRANULARITY ? alignment : GRANULARITY;
    char *pages = mmap(NULL, bytes + aligned, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REFUSE_IF(pages == MAP_FAILED, OUT_OF_MEMORY);
    const Address start = round_up((Address)pages, aligned);
    if (start > (Address)pages) munmap(pages, start - (Address)pages);
    munmap((char *)start + bytes, (Address)pages + aligned - start);
    Reservation *reservation = malloc(sizeof *reservation);
    pthread_rwlock_wrlock(&lock);
    *reservation = (Reservation){reservations, start, bytes};
    reservations = reservation;
    pthread_rwlock_unlock(&lock);
    *pointer = start;
    return SUCCESS;
}

API Result cuMemAddressFree(Address pointer, size_t bytes) {
    ENTER(cuMemAddressFree);
    pthread_rwlock_wrlock(&lock);
    Reservation **link = &reservations;
    while (*link && ((*link)->start != pointer || (*link)->bytes != bytes)) link = &(*link)->next;
    Reservation *found = *link && !overlaps(pointer, bytes) ? *link : NULL;
    if (found) {
        *link = found->next;
        munmap((void *)pointer, bytes);
        free(found);
    }

    pthread_rwlock_unlock(&lock);
    return found ? SUCCESS : INVALID_VALUE;
}

static int is_reserved(Address start, u64 bytes) {
    for (Reservation *r = reservations; r; r = r->next) {
        if (start >= r->start && bytes <= r->bytes && start - r->start <= r->bytes - bytes) return 1;
    }

    return 0;
}

/* Its offset "currently must be zero", says cuda.h. */
API Result cuMemMap(Address pointer, size_t bytes, size_t offset, u64 handle, u64 flags) {
    ENTER(cuMemMap);
    REFUSE_IF(bytes == 0 || bytes % GRANULARITY != 0 || pointer % GRANULARITY != 0 || offset != 0 || flags != 0, INVALID_VALUE);
    settle();
    pthread_rwlock_wrlock(&lock);
    Physical *physical = physical_of(handle);
    const int is_valid = physical && bytes <= physical->bytes && is_reserved(pointer, bytes) && !overlaps(pointer, bytes)
        && mmap((void *)pointer, bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, physical->descriptor, 0) != MAP_FAILED;
    if (is_valid) {
        physical->mappings++;
        insert((Region){.start = pointer, .end = pointer + bytes, .kind = MAPPED, .physical = physical});
    }

    pthread_rwlock_unlock(&lock);
    return is_valid ? SUCCESS : INVALID_VALUE;
}

/* The region after the last of those that a range consists of, whole mappings side by side; -1 if it does not. */
static int end_of_mappings(Address pointer, u64 bytes) {
    int i = find(pointer);
    for (Address at = pointer; at != pointer + bytes; at = regions[i++].end) {
        if (i == region_count || regions[i].start != at || regions[i].kind != MAPPED || regions[i].end > pointer + bytes) return -1;
    }

    return i;
}

API Result cuMemUnmap(Address pointer, size_t bytes) {
    ENTER(cuMemUnmap);
    settle();
    pthread_rwlock_wrlock(&lock);
    const int end = bytes == 0 ? -1 : end_of_mappings(pointer, bytes);
    if (end >= 0) {
        mmap((void *)pointer, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
        for (int i = end - 1; i >= 0 && regions[i].start >= pointer; i--) {
            Physical *physical = regions[i].physical;
            erase(i);
            physical->mappings--;
            drop_unused(physical);
        }
    }

    pthread_rwlock_unlock(&lock);
    return end >= 0 ? SUCCESS : INVALID_VALUE;
}

API Result cuMemSetAccess(Address pointer, size_t bytes, const AccessDescription *access, size_t count) {
    ENTER(cuMemSetAccess);
    REFUSE_IF(!access || count != 1 || access->location.type != 1 || access->location.id != 0, INVALID_VALUE);
    REFUSE_IF(access->flags != 0 && access->flags != 1 && access->flags != 3, INVALID_VALUE);
    settle();
    pthread_rwlock_wrlock(&lock);
    const int end = bytes == 0 ? -1 : end_of_mappings(pointer, bytes);
    if (end >= 0) {
        const int protection = access->flags == 0 ? PROT_NONE : PROT_READ | (access->flags == 3 ? PROT_WRITE : 0);
        protect((void *)pointer, bytes, protection);
        for (int i = end - 1; i >= 0 && regions[i].start >= pointer; i--) {
            regions[i].reach = access->flags;
        }

        atomic_fetch_add(&version, 1);
    }

    pthread_rwlock_unlock(&lock);
    return end >= 0 ? SUCCESS : INVALID_VALUE;
}
