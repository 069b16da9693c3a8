#include "core/model/gguf_write.h"

#include "core/base/file.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_KEY = 65535, MAX_NAME = 63, MAX_ALIGNMENT = 1 << 20 };

/* The value as the file holds it: its kind (u32) first. */
typedef struct key_value {
    char *name;
    ts_buf value;
} key_value;

typedef struct tensor {
    char *name;
    ts_dtype type;
    size_t dims[4];
    int n_dims;
    uint64_t bytes;
} tensor;

struct ts_gguf_writer {
    key_value *keys;
    tensor *tensors;
    size_t n_keys, cap_keys, n_tensors, cap_tensors;
    size_t alignment;
    ts_out out;
    size_t at;          /* the tensor whose data comes next */
    uint64_t left;      /* of its data */
    bool open;          /* between begin and commit */
    ts_err first_wrong; /* found while keys and tensors were given */
};

ts_gguf_writer *ts_gguf_writer_new(void) {
    return ts_calloc(1, sizeof(ts_gguf_writer));
}

static void free_key(key_value *kv) {
    free(kv->name);
    ts_buf_release(&kv->value);
}

void ts_gguf_writer_free(ts_gguf_writer *w) {
    if (!w) return;
    if (w->open) ts_out_drop(&w->out);
    for (size_t i = 0; i < w->n_keys; i++)
        free_key(&w->keys[i]);
    for (size_t i = 0; i < w->n_tensors; i++)
        free(w->tensors[i].name);
    free(w->keys);
    free(w->tensors);
    free(w);
}

/* ---- keys ---- */

static key_value *find(const ts_gguf_writer *w, const char *key) {
    for (size_t i = 0; i < w->n_keys; i++)
        if (strcmp(w->keys[i].name, key) == 0) return &w->keys[i];
    return NULL;
}

static void wrong(ts_gguf_writer *w, const char *what, const char *name, const char *why) {
    if (w->first_wrong.code == TS_OK)
        ts_fail(&w->first_wrong, TS_INVALID, "the %s %.100s cannot be written to a GGUF file: %s", what, name, why);
}

/* Where the value of `key` is to be written, empty but for its kind. */
static ts_buf *start(ts_gguf_writer *w, const char *key, uint32_t kind) {
    ts_assert(!w->open);
    size_t n = strlen(key);
    if (n == 0 || n > MAX_KEY) wrong(w, "key", n ? key : "\"\"", "a key has 1 to 65,535 bytes");
    key_value *kv = find(w, key);
    if (!kv) {
        TS_PUSH(w->keys, w->n_keys, w->cap_keys, (key_value){.name = ts_strdup(key)});
        kv = &w->keys[w->n_keys - 1];
    }
    ts_buf_reset(&kv->value);
    ts_buf_add(&kv->value, &kind, sizeof kind);
    return &kv->value;
}

void ts_gguf_put_int(ts_gguf_writer *w, const char *key, ts_gguf_kind kind, int64_t v) {
    static const struct {
        int64_t min, max;
    } range[TS_GGUF_KINDS] = {
        [TS_GGUF_U8] = {0, UINT8_MAX},   [TS_GGUF_I8] = {INT8_MIN, INT8_MAX},
        [TS_GGUF_U16] = {0, UINT16_MAX}, [TS_GGUF_I16] = {INT16_MIN, INT16_MAX},
        [TS_GGUF_U32] = {0, UINT32_MAX}, [TS_GGUF_I32] = {INT32_MIN, INT32_MAX},
        [TS_GGUF_U64] = {0, INT64_MAX},  [TS_GGUF_I64] = {INT64_MIN, INT64_MAX},
    };
    ts_assert(kind < TS_GGUF_KINDS && range[kind].max);
    if (v < range[kind].min || v > range[kind].max) wrong(w, "key", key, "its value does not fit its kind of integer");
    ts_buf_add(start(w, key, kind), &v, ts_gguf_kind_bytes(kind)); /* little-endian, as the machines we run on */
}

void ts_gguf_put_num(ts_gguf_writer *w, const char *key, ts_gguf_kind kind, double v) {
    ts_assert(kind == TS_GGUF_F32 || kind == TS_GGUF_F64);
    float f = (float)v;
    ts_buf *b = start(w, key, kind);
    if (kind == TS_GGUF_F32)
        ts_buf_add(b, &f, sizeof f);
    else
        ts_buf_add(b, &v, sizeof v);
}

void ts_gguf_put_bool(ts_gguf_writer *w, const char *key, bool v) {
    ts_buf_putc(start(w, key, TS_GGUF_BOOL), v);
}

static void add_str(ts_buf *b, const char *s, uint64_t n) {
    ts_buf_add(b, &n, sizeof n);
    ts_buf_add(b, s, n);
}

void ts_gguf_put_str(ts_gguf_writer *w, const char *key, const char *s, size_t n) {
    add_str(start(w, key, TS_GGUF_STRING), s, n);
}

static ts_buf *start_array(ts_gguf_writer *w, const char *key, uint32_t element, uint64_t n) {
    ts_buf *b = start(w, key, TS_GGUF_ARRAY);
    ts_buf_add(b, &element, sizeof element);
    ts_buf_add(b, &n, sizeof n);
    return b;
}

void ts_gguf_put_array(ts_gguf_writer *w, const char *key, ts_gguf_kind element, const void *values, size_t n) {
    ts_assert(ts_gguf_kind_bytes(element));
    ts_buf *b = start_array(w, key, element, n);
    if (n) ts_buf_add(b, values, n * ts_gguf_kind_bytes(element));
}

void ts_gguf_put_strs(ts_gguf_writer *w, const char *key, const char *const *s, const size_t *bytes, size_t n) {
    ts_buf *b = start_array(w, key, TS_GGUF_STRING, n);
    for (size_t i = 0; i < n; i++)
        add_str(b, s[i], bytes ? bytes[i] : strlen(s[i]));
}

void ts_gguf_put_copy(ts_gguf_writer *w, const ts_gguf *from, size_t i) {
    size_t n;
    const void *value = ts_gguf_raw(from, i, &n);
    uint32_t kind;
    memcpy(&kind, value, sizeof kind);
    ts_buf_add(start(w, ts_gguf_key(from, i), kind), (const char *)value + sizeof kind, n - sizeof kind);
}

bool ts_gguf_drop_key(ts_gguf_writer *w, const char *key) {
    key_value *kv = find(w, key);
    if (!kv) return false;
    free_key(kv);
    memmove(kv, kv + 1, (size_t)(w->keys + w->n_keys - kv - 1) * sizeof *kv);
    w->n_keys--;
    return true;
}

/* ---- tensors ---- */

/* Bytes of the whole tensor; 0 when its rows are no whole blocks or the size overflows. */
static uint64_t tensor_bytes(const tensor *t) {
    size_t bytes = ts_row_bytes(t->type, t->dims[t->n_dims - 1]);
    for (int d = 0; d + 1 < t->n_dims; d++)
        if (!ts_mul(bytes, t->dims[d], &bytes)) return 0;
    return bytes;
}

void ts_gguf_add_tensor(ts_gguf_writer *w, const char *name, ts_dtype type, const size_t *dims, int n_dims) {
    ts_assert(!w->open && type < TS_DTYPES && n_dims >= 1 && n_dims <= 4);
    tensor t = {.name = ts_strdup(name), .type = type, .n_dims = n_dims};
    memcpy(t.dims, dims, (size_t)n_dims * sizeof *dims);
    t.bytes = tensor_bytes(&t);
    size_t n = strlen(name);
    if (n == 0 || n > MAX_NAME) wrong(w, "tensor", n ? name : "\"\"", "a tensor's name has 1 to 63 bytes");
    if (t.bytes == 0 || t.bytes > INT64_MAX)
        wrong(w, "tensor", name, "its rows are no whole number of the type's blocks, or it is empty or too large");
    TS_PUSH(w->tensors, w->n_tensors, w->cap_tensors, t);
}

uint64_t ts_gguf_data_bytes(const ts_gguf_writer *w) {
    uint64_t sum = 0;
    for (size_t i = 0; i < w->n_tensors; i++)
        sum += w->tensors[i].bytes;
    return sum;
}

/* ---- the file ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void check_names(ts_gguf_writer *w) {
    char **names = ts_malloc(w->n_tensors * sizeof *names);
    for (size_t i = 0; i < w->n_tensors; i++)
        names[i] = w->tensors[i].name;
    if (w->n_tensors) qsort(names, w->n_tensors, sizeof *names, by_name);
    for (size_t i = 1; i < w->n_tensors; i++)
        if (strcmp(names[i - 1], names[i]) == 0) wrong(w, "tensor", names[i], "another tensor has that name");
    free(names);
}

static void check_alignment(ts_gguf_writer *w) {
    uint32_t words[2]; /* kind, value */
    w->alignment = TS_GGUF_ALIGNMENT;
    key_value *kv = find(w, "general.alignment");
    if (!kv) return;
    memcpy(words, kv->value.data, TS_MIN(kv->value.len, sizeof words));
    if (kv->value.len != sizeof words || words[0] != TS_GGUF_U32 || words[1] < 8 || words[1] > MAX_ALIGNMENT ||
        (words[1] & (words[1] - 1)) != 0)
        wrong(w, "key", "general.alignment", "it is no u32 that is a power of two from 8 to 1,048,576");
    else
        w->alignment = words[1];
}

static uint64_t padded(const ts_gguf_writer *w, uint64_t n) {
    return (n + w->alignment - 1) & ~(uint64_t)(w->alignment - 1);
}

static void pad(ts_gguf_writer *w) {
    static const char zeros[64];
    for (uint64_t n = padded(w, w->out.written) - w->out.written, step; n > 0; n -= step) {
        step = TS_MIN(n, sizeof zeros);
        ts_out_add(&w->out, zeros, step);
    }
}

static void add_u32(ts_gguf_writer *w, uint32_t v) {
    ts_out_add(&w->out, &v, sizeof v);
}

static void add_u64(ts_gguf_writer *w, uint64_t v) {
    ts_out_add(&w->out, &v, sizeof v);
}

static void add_name(ts_gguf_writer *w, const char *name) {
    add_u64(w, strlen(name));
    ts_out_add(&w->out, name, strlen(name));
}

static void write_infos(ts_gguf_writer *w) {
    uint64_t offset = 0;
    for (size_t i = 0; i < w->n_tensors; i++) {
        const tensor *t = &w->tensors[i];
        add_name(w, t->name);
        add_u32(w, (uint32_t)t->n_dims);
        for (int d = t->n_dims - 1; d >= 0; d--)
            add_u64(w, t->dims[d]);
        add_u32(w, ts_dtype_ggml(t->type));
        add_u64(w, offset);
        offset += padded(w, t->bytes);
    }
}

/* The tensor whose data comes next, once the one before it is whole. */
static void enter(ts_gguf_writer *w, size_t i) {
    pad(w);
    w->at = i;
    w->left = i < w->n_tensors ? w->tensors[i].bytes : 0;
}

ts_status ts_gguf_write_begin(ts_gguf_writer *w, const char *path, ts_err *err) {
    ts_assert(!w->open);
    check_names(w);
    check_alignment(w);
    if (w->first_wrong.code != TS_OK) {
        if (err) *err = w->first_wrong;
        return w->first_wrong.code;
    }
    TS_TRY(ts_out_open(&w->out, path, err));
    w->open = true;
    ts_out_add(&w->out, "GGUF", 4);
    add_u32(w, 3);
    add_u64(w, w->n_tensors);
    add_u64(w, w->n_keys);
    for (size_t i = 0; i < w->n_keys; i++) {
        add_name(w, w->keys[i].name);
        ts_out_add(&w->out, w->keys[i].value.data, w->keys[i].value.len);
    }
    write_infos(w);
    enter(w, 0);
    return TS_OK;
}

ts_status ts_gguf_write_data(ts_gguf_writer *w, const void *data, size_t n, ts_err *err) {
    const char *p = data;
    ts_assert(w->open);
    while (n > 0) {
        size_t now = (size_t)TS_MIN(w->left, (uint64_t)n);
        ts_assert(now > 0); /* more data than the tensors have */
        ts_out_add(&w->out, p, now);
        p += now;
        n -= now;
        w->left -= now;
        if (w->left == 0) enter(w, w->at + 1);
    }
    if (!w->out.failed) return TS_OK;
    if (err) *err = w->out.first;
    return w->out.first.code;
}

ts_status ts_gguf_write_commit(ts_gguf_writer *w, ts_err *err) {
    ts_assert(w->open && w->at == w->n_tensors);
    w->open = false;
    return ts_out_commit(&w->out, err);
}
