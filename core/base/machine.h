/* What the machine has. Any thread. */
#ifndef TS_BASE_MACHINE_H
#define TS_BASE_MACHINE_H

#include <stdint.h>

/* Bytes; -1: not known. `limit` is that of the control group that the process runs in. */
typedef struct ts_memory {
    int64_t total, available, limit;
} ts_memory;

void ts_memory_read(ts_memory *out);

#endif
