#include "core/base/machine.h"

#include "core/base/buf.h"
#include "core/base/file.h"

#include <stdio.h>
#include <string.h>

static int64_t kilobytes(const char *text, const char *key) {
    long long v;
    const char *at = strstr(text, key);
    return at && sscanf(at + strlen(key), " %lld", &v) == 1 ? (int64_t)v * 1024 : -1;
}

void ts_memory_read(ts_memory *out) {
    ts_buf text = TS_BUF_INIT;
    ts_err ignored;
    long long limit;
    *out = (ts_memory){-1, -1, -1};
    if (ts_file_read("/proc/meminfo", 1 << 20, &text, &ignored) == TS_OK) {
        out->total = kilobytes(ts_buf_str(&text), "MemTotal:");
        out->available = kilobytes(ts_buf_str(&text), "MemAvailable:");
    }
    ts_buf_reset(&text);
    if (ts_file_read("/sys/fs/cgroup/memory.max", 100, &text, &ignored) == TS_OK &&
        sscanf(ts_buf_str(&text), "%lld", &limit) == 1)
        out->limit = limit;
    ts_buf_release(&text);
}
