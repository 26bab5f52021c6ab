/* What no compiler takes: the log that comes of it must reach who opens the device. */
#include "device.h"

KV_KERNEL test_broken(const kv_u32 a) {
    undeclared_in_broken = a;
}
