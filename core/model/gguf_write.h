/* Writes a GGUF file, version 3, little-endian, as llama.cpp and its `gguf` package read it. Three stages:
 *
 *   ts_gguf_writer *w = ts_gguf_writer_new();
 *   ts_gguf_put_str(w, "general.architecture", "llama", 5);          1. keys and tensors, in the order of the file
 *   ts_gguf_add_tensor(w, "token_embd.weight", TS_Q8_0, dims, 2);
 *   TS_GOTO(ts_gguf_write_begin(w, path, err));                      2. checks everything, writes all but the data
 *   TS_GOTO(ts_gguf_write_data(w, bytes, n, err));  ...              3. the data, in pieces of any size
 *   TS_GOTO(ts_gguf_write_commit(w, err));
 * out:
 *   ts_gguf_writer_free(w);
 *
 * The data of the tensors comes in the order in which they were added; padding is put in between. Only the keys are
 * held in memory, never a tensor. The file appears under its name when it is complete and on the disk (temporary name,
 * fsync, rename: see ts_out); until then, and after any failure, what was there before is untouched.
 *
 * Names and values given are copied. Calls of stage 1 cannot fail: what is wrong is said by ts_gguf_write_begin with
 * the key's or tensor's name. One writer, one thread. */
#ifndef TS_MODEL_GGUF_WRITE_H
#define TS_MODEL_GGUF_WRITE_H

#include "core/model/gguf.h"

typedef struct ts_gguf_writer ts_gguf_writer;

ts_gguf_writer *ts_gguf_writer_new(void);
void ts_gguf_writer_free(ts_gguf_writer *w); /* NULL is fine; without a commit nothing stays on the disk */

/* Keys. A key that is there already gets the new value and keeps its place. kind of an integer: TS_GGUF_U8 to U64 (the
 * value must fit it); of a number: TS_GGUF_F32 or F64. general.alignment (u32) is obeyed; without it data starts at
 * multiples of 32. */
void ts_gguf_put_int(ts_gguf_writer *w, const char *key, ts_gguf_kind kind, int64_t v);
void ts_gguf_put_num(ts_gguf_writer *w, const char *key, ts_gguf_kind kind, double v);
void ts_gguf_put_bool(ts_gguf_writer *w, const char *key, bool v);
void ts_gguf_put_str(ts_gguf_writer *w, const char *key, const char *s, size_t n);
/* The most common one: u32, as nearly every number of a model's settings is written. */
static inline void ts_gguf_put_u32(ts_gguf_writer *w, const char *key, uint32_t v) {
    ts_gguf_put_int(w, key, TS_GGUF_U32, v);
}
/* n numbers or bools as they lie in memory (int32_t for TS_GGUF_I32, float for F32, one byte for BOOL, ...). */
void ts_gguf_put_array(ts_gguf_writer *w, const char *key, ts_gguf_kind element, const void *values, size_t n);
/* n strings; bytes[i] their lengths, or NULL: they end with a NUL. */
void ts_gguf_put_strs(ts_gguf_writer *w, const char *key, const char *const *s, const size_t *bytes, size_t n);
/* Key i of an open file with its value, byte by byte, whatever its kind. */
void ts_gguf_put_copy(ts_gguf_writer *w, const ts_gguf *from, size_t i);
/* Forgets a key (after a copy of all keys); false when there is none of that name. */
bool ts_gguf_drop_key(ts_gguf_writer *w, const char *key);

/* The next tensor: dims outermost first, 1 to 4 of them, as in ts_tensor. Its name has at most 63 bytes (ggml's limit),
 * its rows are whole blocks of the type. */
void ts_gguf_add_tensor(ts_gguf_writer *w, const char *name, ts_dtype type, const size_t *dims, int n_dims);

/* Bytes of tensor data that commit expects, without padding: for progress, and to ask for room on the disk. */
uint64_t ts_gguf_data_bytes(const ts_gguf_writer *w);

/* TS_INVALID names the key or tensor that cannot be written; TS_IO: the path. */
TS_MUST_USE ts_status ts_gguf_write_begin(ts_gguf_writer *w, const char *path, ts_err *err);
/* The next n bytes of the tensors' data; a piece may cross from one tensor to the next. More than was announced is a
 * broken promise. Fails when the disk does (full, gone). */
TS_MUST_USE ts_status ts_gguf_write_data(ts_gguf_writer *w, const void *data, size_t n, ts_err *err);
/* All data must have come. */
TS_MUST_USE ts_status ts_gguf_write_commit(ts_gguf_writer *w, ts_err *err);

#endif
