#include "core/base/hash.h"

#include "core/base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

uint64_t ts_hash64(const void *data, size_t n, uint64_t seed) {
    return XXH3_64bits_withSeed(data, n, seed);
}

static void to_hex(XXH128_hash_t h, char out[33]) {
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

void ts_hash128_hex(const void *data, size_t n, char out[33]) {
    to_hex(XXH3_128bits(data, n), out);
}

ts_status ts_hash_file(const char *path, char out[33], ts_err *err) {
    enum { PIECE = 1 << 20 };
    ts_status status = TS_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ts_fail_errno(err, "cannot open %s", path);
    char *piece = ts_malloc(PIECE);
    XXH3_state_t *state = XXH3_createState();
    XXH3_128bits_reset(state);
    ssize_t n;
    while ((n = read(fd, piece, PIECE)) > 0)
        XXH3_128bits_update(state, piece, (size_t)n);
    if (n < 0)
        status = ts_fail_errno(err, "cannot read %s", path);
    else
        to_hex(XXH3_128bits_digest(state), out);
    XXH3_freeState(state);
    free(piece);
    close(fd);
    return status;
}
