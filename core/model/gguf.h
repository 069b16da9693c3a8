/* Reads GGUF files, versions 2 and 3, little-endian (facts: ggml's docs/gguf.md). The file is mapped; every length in
 * it is checked before use, so a cut or hostile file gives an error that names the key or tensor, never a crash.
 * A tensor of a type that we do not read is listed with type TS_DTYPES, so that the keys of such a file (its tokenizer)
 * are still of use; opening it as a model is refused with the type's name. A ts_gguf may be read by several threads. */
#ifndef TS_MODEL_GGUF_H
#define TS_MODEL_GGUF_H

#include "core/model/tensor.h"

typedef struct ts_gguf ts_gguf;

/* Kinds of values, by the numbers of the file. */
typedef enum ts_gguf_kind {
    TS_GGUF_U8,
    TS_GGUF_I8,
    TS_GGUF_U16,
    TS_GGUF_I16,
    TS_GGUF_U32,
    TS_GGUF_I32,
    TS_GGUF_F32,
    TS_GGUF_BOOL,
    TS_GGUF_STRING,
    TS_GGUF_ARRAY,
    TS_GGUF_U64,
    TS_GGUF_I64,
    TS_GGUF_F64,
    TS_GGUF_KINDS
} ts_gguf_kind;
size_t ts_gguf_kind_bytes(ts_gguf_kind kind); /* of one value; 0 for strings and arrays */
enum { TS_GGUF_ALIGNMENT = 32 };              /* of the data where general.alignment is not there */

TS_MUST_USE ts_status ts_gguf_open(ts_gguf **out, const char *path, ts_err *err);
void ts_gguf_close(ts_gguf *g); /* everything borrowed from it ends here */

/* Values by key: false (out untouched) when the key is missing or of another kind. Integers of all widths are taken if
 * they fit. */
bool ts_gguf_int(const ts_gguf *g, const char *key, int64_t *out);
bool ts_gguf_num(const ts_gguf *g, const char *key, double *out); /* f32, f64 or any integer */
bool ts_gguf_bool(const ts_gguf *g, const char *key, bool *out);
bool ts_gguf_str(const ts_gguf *g, const char *key, const char **s, size_t *n); /* not NUL-terminated */

/* Arrays. `kind` is 's' strings, 'i' integers, 'f' floats, 'b' bools. */
typedef struct ts_gguf_array {
    char kind;
    size_t n;
    const unsigned char *at; /* private: where the next string is, or the first number */
    size_t left;             /* private: strings not read yet */
    uint32_t type;           /* private */
} ts_gguf_array;
bool ts_gguf_array_get(const ts_gguf *g, const char *key, ts_gguf_array *out);
/* Strings are read in order, one call each; false at the end. */
bool ts_gguf_next_str(ts_gguf_array *a, const char **s, size_t *n);
int64_t ts_gguf_array_int(const ts_gguf_array *a, size_t i);
double ts_gguf_array_num(const ts_gguf_array *a, size_t i);

size_t ts_gguf_tensors(const ts_gguf *g);
const ts_tensor *ts_gguf_tensor(const ts_gguf *g, size_t i);
const ts_tensor *ts_gguf_find(const ts_gguf *g, const char *name); /* NULL when not there */
/* The type of tensor i as ggml calls it ("q4_1", "q6_k", "type 77"), also for one that we do not read. */
const char *ts_gguf_type_name(const ts_gguf *g, size_t i);
size_t ts_gguf_keys(const ts_gguf *g);
const char *ts_gguf_key(const ts_gguf *g, size_t i);
/* The value of key i as it lies in the file: its kind (u32), then the value, n bytes together. */
const void *ts_gguf_raw(const ts_gguf *g, size_t i, size_t *n);
int ts_gguf_version(const ts_gguf *g);  /* 2 or 3 */
size_t ts_gguf_bytes(const ts_gguf *g); /* of the file */

#endif
