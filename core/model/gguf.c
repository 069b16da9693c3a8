/* A GGUF file: "GGUF", u32 version, u64 number of tensors, u64 number of keys; the keys (name, u32 type, value); the
 * tensor infos (name, u32 number of dimensions, u64 dimensions with the innermost first, u32 type, u64 offset behind
 * the start of the data); zeros up to general.alignment; the data. A name or string is a u64 length and that many
 * bytes.
 *
 * Opening walks keys and infos once, behind a cursor that refuses to step over the end of the file; after that every
 * recorded position is known to be inside. The data's pages are not touched. */
#include "core/model/gguf.h"

#include "core/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEY = 65535, MAX_NAME = 1024, MAX_COUNT = 1 << 20 };

static const unsigned char value_bytes[TS_GGUF_KINDS] = {
    [TS_GGUF_U8] = 1,  [TS_GGUF_I8] = 1,   [TS_GGUF_U16] = 2, [TS_GGUF_I16] = 2, [TS_GGUF_U32] = 4, [TS_GGUF_I32] = 4,
    [TS_GGUF_F32] = 4, [TS_GGUF_BOOL] = 1, [TS_GGUF_U64] = 8, [TS_GGUF_I64] = 8, [TS_GGUF_F64] = 8,
};

/* What ts_dtype does not have, by ggml's number: listed so that a message can name it and the file's lengths can be
 * checked. */
static const struct unread_type {
    const char *name;
    unsigned short number, block, bytes;
} unread_types[] = {
    {"q8_1", 9, 32, 36},      {"q8_k", 15, 256, 292}, {"iq2_xxs", 16, 256, 66}, {"iq2_xs", 17, 256, 74},
    {"iq3_xxs", 18, 256, 98}, {"iq1_s", 19, 256, 50}, {"iq3_s", 21, 256, 110},  {"iq2_s", 22, 256, 82},
    {"i8", 24, 1, 1},         {"i16", 25, 1, 2},      {"i32", 26, 1, 4},        {"i64", 27, 1, 8},
    {"f64", 28, 1, 8},        {"iq1_m", 29, 256, 56}, {"tq1_0", 34, 256, 54},   {"tq2_0", 35, 256, 66},
};

size_t ts_gguf_kind_bytes(ts_gguf_kind kind) {
    return kind < TS_GGUF_KINDS ? value_bytes[kind] : 0;
}

typedef struct key_value {
    const char *name;
    uint32_t type, element;              /* element: of an array */
    uint64_t count;                      /* of an array, or bytes of a string */
    const unsigned char *at, *raw, *end; /* raw to end: the value as in the file, its kind (u32) first */
} key_value;

struct ts_gguf {
    ts_map map;
    const char *path;
    int version;
    ts_arena arena; /* names */
    key_value *keys;
    ts_tensor *tensors;
    const char **type_names;
    uint64_t *offsets;
    size_t n_keys, n_tensors;
    size_t *keys_by_name, *tensors_by_name; /* sorted indices */
    const unsigned char *p, *end;           /* the cursor while opening */
};

static ts_status cut_short(const ts_gguf *g, const char *what, ts_err *err) {
    return ts_fail(err, TS_FORMAT,
                   "%s: the file ends inside %s (%zu bytes are there); it is cut short or damaged: fetch it again",
                   g->path, what, g->map.len);
}

/* The cursor: false when fewer bytes are left. */
static bool take(ts_gguf *g, void *out, size_t n) {
    if ((size_t)(g->end - g->p) < n) return false;
    memcpy(out, g->p, n);
    g->p += n;
    return true;
}

static bool skip(ts_gguf *g, uint64_t n) {
    if ((uint64_t)(g->end - g->p) < n) return false;
    g->p += n;
    return true;
}

/* Reads a name of a key or tensor: not empty, no NUL inside. */
static ts_status take_name(ts_gguf *g, const char *what, size_t i, size_t max, const char **out, ts_err *err) {
    uint64_t n;
    char where[64];
    snprintf(where, sizeof where, "the name of %s %zu", what, i + 1);
    if (!take(g, &n, sizeof n)) return cut_short(g, where, err);
    if (n == 0 || n > max)
        return ts_fail(err, TS_FORMAT,
                       "%s: %s is said to have %llu bytes (1 to %zu are possible); the file is damaged: fetch it again",
                       g->path, where, (unsigned long long)n, max);
    const unsigned char *at = g->p;
    if (!skip(g, n)) return cut_short(g, where, err);
    if (memchr(at, 0, n))
        return ts_fail(err, TS_FORMAT, "%s: %s holds a NUL byte; the file is damaged", g->path, where);
    *out = ts_arena_strndup(&g->arena, (const char *)at, n);
    return TS_OK;
}

static bool skip_strings(ts_gguf *g, uint64_t count) {
    for (uint64_t n; count > 0; count--)
        if (!take(g, &n, sizeof n) || !skip(g, n)) return false;
    return true;
}

static ts_status read_array(ts_gguf *g, key_value *kv, ts_err *err) {
    if (!take(g, &kv->element, 4) || !take(g, &kv->count, 8)) return cut_short(g, kv->name, err);
    if (kv->element >= TS_GGUF_KINDS || kv->element == TS_GGUF_ARRAY)
        return ts_fail(err, TS_FORMAT, "%s: the key %s is an array of type %u, which is not taken", g->path, kv->name,
                       kv->element);
    kv->at = g->p;
    uint64_t left = (uint64_t)(g->end - g->p);
    size_t width = kv->element == TS_GGUF_STRING ? 8 : value_bytes[kv->element];
    if (kv->count > left / width)
        return ts_fail(
            err, TS_FORMAT,
            "%s: the key %s is said to hold %llu values, more than the file has room for; it is cut short or damaged",
            g->path, kv->name, (unsigned long long)kv->count);
    bool fine = kv->element == TS_GGUF_STRING ? skip_strings(g, kv->count) : skip(g, kv->count * width);
    return fine ? TS_OK : cut_short(g, kv->name, err);
}

static ts_status read_value(ts_gguf *g, key_value *kv, ts_err *err) {
    if (!take(g, &kv->type, 4)) return cut_short(g, kv->name, err);
    if (kv->type == TS_GGUF_ARRAY) return read_array(g, kv, err);
    if (kv->type >= TS_GGUF_KINDS)
        return ts_fail(
            err, TS_FORMAT,
            "%s: the key %s has a value of the unknown type %u; the file is damaged or newer than this program",
            g->path, kv->name, kv->type);
    if (kv->type == TS_GGUF_STRING) {
        if (!take(g, &kv->count, 8)) return cut_short(g, kv->name, err);
        kv->at = g->p;
        return skip(g, kv->count) ? TS_OK : cut_short(g, kv->name, err);
    }
    kv->at = g->p;
    return skip(g, value_bytes[kv->type]) ? TS_OK : cut_short(g, kv->name, err);
}

static ts_status read_keys(ts_gguf *g, ts_err *err) {
    for (size_t i = 0; i < g->n_keys; i++) {
        TS_TRY(take_name(g, "key", i, MAX_KEY, &g->keys[i].name, err));
        g->keys[i].raw = g->p;
        TS_TRY(read_value(g, &g->keys[i], err));
        g->keys[i].end = g->p;
    }
    return TS_OK;
}

/* Name and block of ggml's type number, read by us or not; false when nobody knows it. */
static bool known_type(uint32_t number, ts_dtype *type, const char **name, size_t *block, size_t *bytes) {
    *type = ts_dtype_from_ggml(number);
    if (*type != TS_DTYPES) {
        *name = ts_dtype_name(*type);
        *block = ts_dtype_block(*type);
        *bytes = ts_row_bytes(*type, *block);
        return true;
    }
    for (size_t i = 0; i < TS_COUNT(unread_types); i++) {
        const struct unread_type *t = &unread_types[i];
        if (t->number != number) continue;
        *name = t->name;
        *block = t->block;
        *bytes = t->bytes;
        return true;
    }
    return false;
}

/* Type and size of one tensor; t->bytes stays 0 for a type number nobody knows. */
static ts_status set_type(ts_gguf *g, size_t i, uint32_t type, uint64_t weights, ts_err *err) {
    ts_tensor *t = &g->tensors[i];
    size_t block, bytes, row = t->n_dims ? t->dims[t->n_dims - 1] : 1;
    if (!known_type(type, &t->type, &g->type_names[i], &block, &bytes)) {
        g->type_names[i] = ts_arena_printf(&g->arena, "type %u", type);
        return TS_OK;
    }
    if (row % block != 0)
        return ts_fail(
            err, TS_FORMAT,
            "%s: tensor %s has rows of %zu weights, which is no multiple of %zu as type %s needs; the file is damaged",
            g->path, t->name, row, block, g->type_names[i]);
    if (!ts_mul(weights / block, bytes, &t->bytes))
        return ts_fail(err, TS_FORMAT, "%s: the size of tensor %s overflows; the file is damaged", g->path, t->name);
    return TS_OK;
}

static ts_status read_info(ts_gguf *g, size_t i, ts_err *err) {
    ts_tensor *t = &g->tensors[i];
    uint32_t n_dims, type;
    uint64_t dims[4], weights = 1;
    TS_TRY(take_name(g, "tensor", i, MAX_NAME, &t->name, err));
    if (!take(g, &n_dims, 4)) return cut_short(g, t->name, err);
    if (n_dims > 4)
        return ts_fail(err, TS_FORMAT, "%s: tensor %s is said to have %u dimensions (4 at most); the file is damaged",
                       g->path, t->name, n_dims);
    if (!take(g, dims, n_dims * sizeof *dims) || !take(g, &type, 4) || !take(g, &g->offsets[i], 8))
        return cut_short(g, t->name, err);
    t->n_dims = (int)n_dims;
    for (uint32_t d = 0; d < n_dims; d++) {
        if (dims[d] == 0 || !ts_mul(weights, dims[d], &weights))
            return ts_fail(err, TS_FORMAT, "%s: tensor %s has an impossible dimension of %llu; the file is damaged",
                           g->path, t->name, (unsigned long long)dims[d]);
        t->dims[n_dims - 1 - d] = dims[d];
    }
    return set_type(g, i, type, weights, err);
}

static ts_status data_start(ts_gguf *g, size_t *alignment, size_t *start, ts_err *err) {
    int64_t a = TS_GGUF_ALIGNMENT;
    ts_gguf_int(g, "general.alignment", &a);
    if (a < 8 || a > 1 << 20 || (a & (a - 1)) != 0)
        return ts_fail(err, TS_FORMAT,
                       "%s: general.alignment is %lld, which is no power of two from 8 on; the file is damaged",
                       g->path, (long long)a);
    *alignment = (size_t)a;
    *start = ((size_t)(g->p - g->map.data) + *alignment - 1) & ~(*alignment - 1);
    return TS_OK;
}

static ts_status place_tensors(ts_gguf *g, ts_err *err) {
    size_t alignment = 0, start = 0;
    TS_TRY(data_start(g, &alignment, &start, err));
    size_t room = g->map.len > start ? g->map.len - start : 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        ts_tensor *t = &g->tensors[i];
        if (g->offsets[i] % alignment != 0)
            return ts_fail(
                err, TS_FORMAT,
                "%s: tensor %s starts at %llu, which is no multiple of the alignment %zu; the file is damaged", g->path,
                t->name, (unsigned long long)g->offsets[i], alignment);
        if (g->offsets[i] > room || t->bytes > room - g->offsets[i])
            return ts_fail(err, TS_FORMAT,
                           "%s: the file ends before tensor %s (%zu bytes are there); it is cut short: fetch it again",
                           g->path, t->name, g->map.len);
        t->data = g->map.data + start + g->offsets[i];
    }
    return TS_OK;
}

static int by_key(const void *a, const void *b, void *g) {
    const key_value *keys = ((const ts_gguf *)g)->keys;
    return strcmp(keys[*(const size_t *)a].name, keys[*(const size_t *)b].name);
}

static int by_tensor(const void *a, const void *b, void *g) {
    const ts_tensor *tensors = ((const ts_gguf *)g)->tensors;
    return strcmp(tensors[*(const size_t *)a].name, tensors[*(const size_t *)b].name);
}

static size_t *sorted(ts_gguf *g, size_t n, int (*order)(const void *, const void *, void *)) {
    size_t *index = ts_malloc(n * sizeof *index);
    for (size_t i = 0; i < n; i++)
        index[i] = i;
    if (n) qsort_r(index, n, sizeof *index, order, g);
    return index;
}

static ts_status index_keys(ts_gguf *g, ts_err *err) {
    g->keys_by_name = sorted(g, g->n_keys, by_key);
    for (size_t i = 1; i < g->n_keys; i++)
        if (by_key(&g->keys_by_name[i - 1], &g->keys_by_name[i], g) == 0)
            return ts_fail(err, TS_FORMAT, "%s: the key %s is there twice; the file is damaged", g->path,
                           g->keys[g->keys_by_name[i]].name);
    return TS_OK;
}

static ts_status index_tensors(ts_gguf *g, ts_err *err) {
    g->tensors_by_name = sorted(g, g->n_tensors, by_tensor);
    for (size_t i = 1; i < g->n_tensors; i++)
        if (by_tensor(&g->tensors_by_name[i - 1], &g->tensors_by_name[i], g) == 0)
            return ts_fail(err, TS_FORMAT, "%s: tensor %s is there twice; the file is damaged", g->path,
                           g->tensors[g->tensors_by_name[i]].name);
    return TS_OK;
}

static ts_status read_header(ts_gguf *g, ts_err *err) {
    char magic[4];
    uint32_t version;
    uint64_t n_tensors, n_keys;
    if (!take(g, magic, 4) || memcmp(magic, "GGUF", 4) != 0)
        return ts_fail(err, TS_FORMAT, "%s is not a GGUF file (it does not begin with GGUF)", g->path);
    if (!take(g, &version, 4)) return cut_short(g, "its header", err);
    if (version == 2u << 24 || version == 3u << 24)
        return ts_fail(err, TS_UNSUPPORTED,
                       "%s is a big-endian GGUF file; only little-endian ones are read: convert it first", g->path);
    if (version != 2 && version != 3)
        return ts_fail(err, TS_UNSUPPORTED,
                       "%s is GGUF version %u; versions 2 and 3 are read: convert it with a current llama.cpp", g->path,
                       version);
    if (!take(g, &n_tensors, 8) || !take(g, &n_keys, 8)) return cut_short(g, "its header", err);
    /* the shortest key has 13 bytes, the shortest tensor info 25 */
    uint64_t left = (uint64_t)(g->end - g->p);
    if (n_keys > TS_MIN(left / 13, (uint64_t)MAX_COUNT) || n_tensors > TS_MIN(left / 25, (uint64_t)MAX_COUNT))
        return ts_fail(err, TS_FORMAT,
                       "%s says it has %llu tensors and %llu keys, more than its %zu bytes can hold; it is cut short "
                       "or damaged: fetch it again",
                       g->path, (unsigned long long)n_tensors, (unsigned long long)n_keys, g->map.len);
    g->version = (int)version;
    g->n_keys = n_keys;
    g->n_tensors = n_tensors;
    return TS_OK;
}

static ts_status read_all(ts_gguf *g, ts_err *err) {
    TS_TRY(read_header(g, err));
    g->keys = ts_calloc(g->n_keys, sizeof *g->keys);
    g->tensors = ts_calloc(g->n_tensors, sizeof *g->tensors);
    g->type_names = ts_calloc(g->n_tensors, sizeof *g->type_names);
    g->offsets = ts_calloc(g->n_tensors, sizeof *g->offsets);
    TS_TRY(read_keys(g, err));
    TS_TRY(index_keys(g, err));
    for (size_t i = 0; i < g->n_tensors; i++)
        TS_TRY(read_info(g, i, err));
    TS_TRY(index_tensors(g, err));
    return place_tensors(g, err);
}

ts_status ts_gguf_open(ts_gguf **out, const char *path, ts_err *err) {
    *out = NULL;
    ts_gguf *g = ts_calloc(1, sizeof *g);
    ts_status status = ts_map_open(&g->map, path, err);
    if (status == TS_OK) {
        g->path = ts_arena_strndup(&g->arena, path, strlen(path));
        g->p = g->map.data;
        g->end = g->map.data + g->map.len;
        status = read_all(g, err);
    }
    if (status == TS_OK)
        *out = g;
    else
        ts_gguf_close(g);
    return status;
}

void ts_gguf_close(ts_gguf *g) {
    if (!g) return;
    ts_map_close(&g->map);
    free(g->keys);
    free(g->tensors);
    free(g->type_names);
    free(g->offsets);
    free(g->keys_by_name);
    free(g->tensors_by_name);
    ts_arena_release(&g->arena);
    free(g);
}

static const key_value *find_key(const ts_gguf *g, const char *key) {
    size_t low = 0, high = g->n_keys;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const key_value *kv = &g->keys[g->keys_by_name[mid]];
        int order = strcmp(key, kv->name);
        if (order == 0) return kv;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

/* An integer of any width at p; false for another type or a value over INT64_MAX. */
static bool load_int(uint32_t type, const unsigned char *p, int64_t *out) {
    uint64_t u = 0;
    switch (type) {
    case TS_GGUF_U8:
    case TS_GGUF_U16:
    case TS_GGUF_U32:
    case TS_GGUF_U64:
        memcpy(&u, p, value_bytes[type]); /* little-endian, as the machines we run on */
        if (u > INT64_MAX) return false;
        *out = (int64_t)u;
        return true;
    case TS_GGUF_I8:
        *out = (int8_t)*p;
        return true;
    case TS_GGUF_I16: {
        int16_t v;
        memcpy(&v, p, sizeof v);
        *out = v;
        return true;
    }
    case TS_GGUF_I32: {
        int32_t v;
        memcpy(&v, p, sizeof v);
        *out = v;
        return true;
    }
    case TS_GGUF_I64:
        memcpy(out, p, sizeof *out);
        return true;
    default:
        return false;
    }
}

static bool load_num(uint32_t type, const unsigned char *p, double *out) {
    int64_t i;
    float f;
    if (type == TS_GGUF_F64) {
        memcpy(out, p, sizeof *out);
    } else if (type == TS_GGUF_F32) {
        memcpy(&f, p, sizeof f);
        *out = f;
    } else {
        if (!load_int(type, p, &i)) return false;
        *out = (double)i;
    }
    return true;
}

bool ts_gguf_int(const ts_gguf *g, const char *key, int64_t *out) {
    const key_value *kv = find_key(g, key);
    return kv && load_int(kv->type, kv->at, out);
}

bool ts_gguf_num(const ts_gguf *g, const char *key, double *out) {
    const key_value *kv = find_key(g, key);
    return kv && load_num(kv->type, kv->at, out);
}

bool ts_gguf_bool(const ts_gguf *g, const char *key, bool *out) {
    const key_value *kv = find_key(g, key);
    if (!kv || kv->type != TS_GGUF_BOOL) return false;
    *out = *kv->at != 0;
    return true;
}

bool ts_gguf_str(const ts_gguf *g, const char *key, const char **s, size_t *n) {
    const key_value *kv = find_key(g, key);
    if (!kv || kv->type != TS_GGUF_STRING) return false;
    *s = (const char *)kv->at;
    *n = kv->count;
    return true;
}

bool ts_gguf_array_get(const ts_gguf *g, const char *key, ts_gguf_array *out) {
    const key_value *kv = find_key(g, key);
    if (!kv || kv->type != TS_GGUF_ARRAY) return false;
    char kind = kv->element == TS_GGUF_STRING                              ? 's'
                : kv->element == TS_GGUF_BOOL                              ? 'b'
                : kv->element == TS_GGUF_F32 || kv->element == TS_GGUF_F64 ? 'f'
                                                                           : 'i';
    *out = (ts_gguf_array){.kind = kind, .n = kv->count, .at = kv->at, .type = kv->element, .left = kv->count};
    return true;
}

bool ts_gguf_next_str(ts_gguf_array *a, const char **s, size_t *n) {
    uint64_t bytes;
    if (a->kind != 's' || a->left == 0) return false;
    a->left--;
    memcpy(&bytes, a->at, sizeof bytes); /* checked when the file was opened */
    *s = (const char *)a->at + sizeof bytes;
    *n = bytes;
    a->at += sizeof bytes + bytes;
    return true;
}

int64_t ts_gguf_array_int(const ts_gguf_array *a, size_t i) {
    int64_t v = 0;
    ts_assert(i < a->n && (a->kind == 'i' || a->kind == 'b'));
    if (a->kind == 'b') return a->at[i] != 0;
    load_int(a->type, a->at + i * value_bytes[a->type], &v);
    return v;
}

double ts_gguf_array_num(const ts_gguf_array *a, size_t i) {
    double v = 0;
    ts_assert(i < a->n && (a->kind == 'i' || a->kind == 'f'));
    load_num(a->type, a->at + i * value_bytes[a->type], &v);
    return v;
}

size_t ts_gguf_tensors(const ts_gguf *g) {
    return g->n_tensors;
}

const ts_tensor *ts_gguf_tensor(const ts_gguf *g, size_t i) {
    ts_assert(i < g->n_tensors);
    return &g->tensors[i];
}

const ts_tensor *ts_gguf_find(const ts_gguf *g, const char *name) {
    size_t low = 0, high = g->n_tensors;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const ts_tensor *t = &g->tensors[g->tensors_by_name[mid]];
        int order = strcmp(name, t->name);
        if (order == 0) return t;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const char *ts_gguf_type_name(const ts_gguf *g, size_t i) {
    ts_assert(i < g->n_tensors);
    return g->type_names[i];
}

size_t ts_gguf_keys(const ts_gguf *g) {
    return g->n_keys;
}

const char *ts_gguf_key(const ts_gguf *g, size_t i) {
    ts_assert(i < g->n_keys);
    return g->keys[i].name;
}

const void *ts_gguf_raw(const ts_gguf *g, size_t i, size_t *n) {
    ts_assert(i < g->n_keys);
    *n = (size_t)(g->keys[i].end - g->keys[i].raw);
    return g->keys[i].raw;
}

int ts_gguf_version(const ts_gguf *g) {
    return g->version;
}

size_t ts_gguf_bytes(const ts_gguf *g) {
    return g->map.len;
}
