/* Any text as a query: taken or refused with a place inside of it; what is taken is an SQL condition that compiles. */
#include "dataset/query.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char *text = ts_strndup((const char *)data, n);
    ts_query *q;
    size_t at = 0;
    ts_err err;
    if (ts_query_parse(&q, text, &at, &err) == TS_OK) {
        ts_assert(*ts_query_sql(q));
        ts_query_free(q);
    } else {
        ts_assert(at <= strlen(text) && *err.text);
    }
    free(text);
    return 0;
}
