/* Any bytes as a safetensors file: every tensor is walked, a row of each converted, every name found again. */
#include "core/model/safetensors.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/memory_limit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sink; /* so that reads are not left out */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    LIMIT_MEMORY(size);
    ts_safetensors *s;
    ts_err err;
    if (ts_safetensors_open(&s, memory_file(data, size), &err) != TS_OK) return 0;
    for (size_t i = 0; i < ts_safetensors_count(s); i++) {
        const ts_tensor *t = ts_safetensors_at(s, i);
        const unsigned char *bytes = t->data;
        float row[1024];
        ts_assert(ts_safetensors_find(s, t->name) == t);
        size_t n = t->n_dims ? t->dims[t->n_dims - 1] : 1;
        if (t->type != TS_DTYPES && t->bytes > 0 && n <= 1024) {
            ts_dequantize(t->type, t->data, row, n);
            sink += row[n - 1] > 0;
        }
        if (t->bytes > 0) sink += bytes[0] + (size_t)bytes[t->bytes - 1];
    }
    ts_safetensors_close(s);
    return 0;
}
