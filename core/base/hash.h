/* Content hashes (XXH3): fast, stable across machines, not for secrets. */
#ifndef TS_BASE_HASH_H
#define TS_BASE_HASH_H

#include "core/base/err.h"

#include <stddef.h>
#include <stdint.h>

uint64_t ts_hash64(const void *data, size_t n, uint64_t seed);
/* 32 hexadecimal digits and a NUL of the 128-bit hash. */
void ts_hash128_hex(const void *data, size_t n, char out[33]);
/* The same of a whole file, read in pieces. */
TS_MUST_USE ts_status ts_hash_file(const char *path, char out[33], ts_err *err);

#endif
