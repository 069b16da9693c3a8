/* A tokenizer.json of any bytes: it is refused, or it encodes and decodes without harm. Behind a NUL byte comes the
 * text to encode; without one a text of our own. */
#include "core/model/tokenizer_impl.h"
#include "tests/fuzz/memory_limit.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    LIMIT_MEMORY(size);
    static const char sample[] = "ab  12 caf\xc3\xa9\n<x> abc\xff\xe2\x96\x81 e\xcc\x81 tail ";
    ts_tokenizer *t = ts_tokenizer_new();
    ts_ids ids = {0}, starts = {0};
    ts_buf back = TS_BUF_INIT;
    ts_err err;
    const char *nul = size ? memchr(data, 0, size) : NULL, *text = nul ? nul + 1 : sample;
    size_t file = nul ? (size_t)(nul - (const char *)data) : size, n = nul ? size - file - 1 : sizeof sample - 1;
    if (ts_tokenizer_parse_json(t, (const char *)data, file, "fuzz", &err) == TS_OK) {
        ts_tokenizer_encode(t, text, n, true, &ids, &starts);
        ts_assert(ids.n == starts.n);
        for (size_t i = 0; i < ids.n; i++)
            ts_assert(starts.items[i] >= 0 && (size_t)starts.items[i] <= n);
        ts_tokenizer_decode(t, ids.items, ids.n, true, &back);
        for (int32_t id = -1; id < 40; id++)
            ts_tokenizer_decode(t, &id, 1, false, &back);
    }
    ts_ids_release(&ids);
    ts_ids_release(&starts);
    ts_buf_release(&back);
    ts_tokenizer_free(t);
    return 0;
}
