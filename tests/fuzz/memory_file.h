/* Bytes as a file with a path, without a disk: for fuzz targets of readers that map files. */
#ifndef TS_TESTS_FUZZ_MEMORY_FILE_H
#define TS_TESTS_FUZZ_MEMORY_FILE_H

#include "core/base/err.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* The path of a file that holds the n bytes, until the next call. */
static inline const char *memory_file(const uint8_t *data, size_t n) {
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        ts_assert(fd >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    ts_assert(ftruncate(fd, 0) == 0);
    ts_assert(pwrite(fd, data, n, 0) == (ssize_t)n);
    return path;
}

#endif
