/* Reads and writes safetensors files (facts: the library's README and src/tensor.rs). Reading maps the file and checks
 * all of: header length, UTF-8, JSON, no duplicate names, offsets that start at 0 and follow each other without hole or
 * overlap, shape times type = bytes, last end = file size. A tensor of another type than F32, F16 and BF16 is listed
 * with type TS_DTYPES, its bytes at hand; who needs it as weights refuses it by name. A ts_safetensors may be read by
 * several threads. Writing is byte-identical with the library: tensors ordered by type size falling, then name; header
 * padded to 8. */
#ifndef TS_MODEL_SAFETENSORS_H
#define TS_MODEL_SAFETENSORS_H

#include "core/base/file.h"
#include "core/model/tensor.h"

enum { TS_SAFETENSORS_MAX_HEADER = 100000000 }; /* the library's own limit */

typedef struct ts_safetensors ts_safetensors;

TS_MUST_USE ts_status ts_safetensors_open(ts_safetensors **out, const char *path, ts_err *err);
void ts_safetensors_close(ts_safetensors *s);
size_t ts_safetensors_count(const ts_safetensors *s);
const ts_tensor *ts_safetensors_at(const ts_safetensors *s, size_t i);           /* in the order of the file */
const char *ts_safetensors_type_name(const ts_safetensors *s, size_t i);         /* as the file says: "F32", "U8" */
size_t ts_safetensors_bytes(const ts_safetensors *s);                            /* of the file */
const ts_tensor *ts_safetensors_find(const ts_safetensors *s, const char *name); /* NULL when not there */

/* Writes n tensors (any order, different names; F32, F16 or BF16) with metadata {"format":"pt"}, atomically. */
TS_MUST_USE ts_status ts_safetensors_write(const char *path, const ts_tensor *tensors, size_t n, ts_err *err);
/* The same for tensors whose data does not lie in memory (their data pointers are not used): when the file has come to
 * tensor i of the list, `fill` adds its bytes to f. A failure of `fill` is the function's; nothing stays then. */
typedef ts_status ts_safetensors_fill(void *ctx, size_t i, ts_out *f, ts_err *err);
TS_MUST_USE ts_status ts_safetensors_write_with(const char *path, const ts_tensor *tensors, size_t n,
                                                ts_safetensors_fill *fill, void *ctx, ts_err *err);

#endif
