/* Shared by core/model/inspect*.c: one list of facts that is printed as lines or as JSON. */
#ifndef TS_MODEL_INSPECT_PRIVATE_H
#define TS_MODEL_INSPECT_PRIVATE_H

#include "core/base/json.h"
#include "core/model/inspect.h"
#include "core/model/tensor.h"

/* Tensors by type, in the order of first sight. */
typedef struct ts_type_count {
    const char *name; /* borrowed */
    size_t tensors, weights, bytes;
} ts_type_count;
typedef struct ts_type_counts {
    ts_type_count *items;
    size_t n, cap;
} ts_type_counts;
void ts_count_type(ts_type_counts *c, const char *type, const ts_tensor *t);

/* "  label      " and room for a value; then the value's pieces; then a newline. */
void ts_put_label(ts_buf *out, const char *label);
void ts_put_size(ts_buf *out, size_t v);                   /* 134,515,008 */
void ts_put_bytes(ts_buf *out, size_t v);                  /* 98.4 MB */
void ts_put_clean(ts_buf *out, const char *s, size_t n);   /* control characters and bad UTF-8 as '?' */
void ts_put_types(ts_buf *out, const ts_type_counts *c);   /* the line of types */
void ts_put_types_json(ts_jw *w, const ts_type_counts *c); /* "types":[..] */

TS_MUST_USE ts_status ts_inspect_adapter(const char *dir, bool json, ts_buf *out, ts_err *err);

#endif
