/* A safetensors file: u64 length of the header, the header (a JSON object: name -> dtype, shape, data_offsets relative
 * to the header's end; `__metadata__` maps strings to strings), the data. The rules checked here are those of the
 * library's own reader. */
#include "core/model/safetensors.h"

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DIMS = 4 };

/* Bits of an element; what we cannot read as weights is listed so that lengths can be checked. */
static const struct st_type {
    const char *name;
    unsigned bits;
    ts_dtype type;
} st_types[] = {
    {"F32", 32, TS_F32},       {"F16", 16, TS_F16},           {"BF16", 16, TS_BF16},         {"BOOL", 8, TS_DTYPES},
    {"U8", 8, TS_DTYPES},      {"I8", 8, TS_DTYPES},          {"F8_E5M2", 8, TS_DTYPES},     {"F8_E4M3", 8, TS_DTYPES},
    {"F8_E8M0", 8, TS_DTYPES}, {"F8_E4M3FNUZ", 8, TS_DTYPES}, {"F8_E5M2FNUZ", 8, TS_DTYPES}, {"I16", 16, TS_DTYPES},
    {"U16", 16, TS_DTYPES},    {"I32", 32, TS_DTYPES},        {"U32", 32, TS_DTYPES},        {"C64", 64, TS_DTYPES},
    {"F64", 64, TS_DTYPES},    {"I64", 64, TS_DTYPES},        {"U64", 64, TS_DTYPES},        {"F4", 4, TS_DTYPES},
    {"F6_E2M3", 6, TS_DTYPES}, {"F6_E3M2", 6, TS_DTYPES},
};

typedef struct entry {
    ts_tensor t;
    const struct st_type *type;
    size_t start, end; /* offsets behind the header */
} entry;

struct ts_safetensors {
    ts_map map;
    const char *path;
    ts_arena arena;
    entry *entries; /* by offset */
    size_t n;
    size_t *by_name;
};

static ts_status damaged(const ts_safetensors *s, ts_err *err, const char *name, const char *what) {
    return ts_fail(err, TS_FORMAT, "%s: tensor %s %s; the file is damaged: fetch it again", s->path, name, what);
}

static ts_status read_shape(const ts_safetensors *s, entry *e, const ts_json *shape, ts_err *err) {
    size_t bits = e->type->bits;
    if (!ts_json_is_array(shape)) return damaged(s, err, e->t.name, "has no shape");
    if (ts_json_count(shape) > MAX_DIMS)
        return ts_fail(err, TS_UNSUPPORTED, "%s: tensor %s has %zu dimensions; at most %d are read", s->path, e->t.name,
                       ts_json_count(shape), MAX_DIMS);
    for (const ts_json *d = ts_json_child(shape); d; d = ts_json_next(d)) {
        int64_t size;
        if (!ts_json_int(d, 0, INT64_C(1) << 53, &size))
            return damaged(s, err, e->t.name, "has a shape that is not whole numbers");
        if (!ts_mul(bits, (size_t)size, &bits))
            return damaged(s, err, e->t.name, "has a shape whose product overflows");
        e->t.dims[e->t.n_dims++] = (size_t)size;
    }
    if (bits % 8 != 0 || bits / 8 != e->end - e->start)
        return ts_fail(
            err, TS_FORMAT,
            "%s: tensor %s has %zu bytes, but its shape and type %s need %zu; the file is damaged: fetch it again",
            s->path, e->t.name, e->end - e->start, e->type->name, bits / 8);
    e->t.bytes = bits / 8;
    return TS_OK;
}

static ts_status read_offsets(const ts_safetensors *s, entry *e, const ts_json *offsets, ts_err *err) {
    const ts_json *first = ts_json_child(offsets);
    int64_t start, end;
    if (!ts_json_is_array(offsets) || ts_json_count(offsets) != 2 || !ts_json_int(first, 0, INT64_C(1) << 53, &start) ||
        !ts_json_int(ts_json_next(first), start, INT64_C(1) << 53, &end))
        return damaged(s, err, e->t.name, "has impossible data_offsets");
    e->start = (size_t)start;
    e->end = (size_t)end;
    return TS_OK;
}

static ts_status read_entry(ts_safetensors *s, entry *e, const ts_json *v, ts_err *err) {
    const char *dtype = ts_json_str(ts_json_get(v, "dtype"), NULL);
    e->t.name = ts_arena_strndup(&s->arena, ts_json_key(v), strlen(ts_json_key(v)));
    if (!ts_json_is_object(v) || !dtype) return damaged(s, err, e->t.name, "has no dtype");
    for (size_t i = 0; i < TS_COUNT(st_types); i++)
        if (strcmp(st_types[i].name, dtype) == 0) e->type = &st_types[i];
    if (!e->type)
        return ts_fail(err, TS_UNSUPPORTED, "%s: tensor %s has the unknown type %s; F32, F16 and BF16 are read",
                       s->path, e->t.name, dtype);
    e->t.type = e->type->type;
    TS_TRY(read_offsets(s, e, ts_json_get(v, "data_offsets"), err));
    return read_shape(s, e, ts_json_get(v, "shape"), err);
}

static ts_status check_metadata(const ts_safetensors *s, const ts_json *metadata, ts_err *err) {
    for (const ts_json *v = ts_json_child(metadata); v; v = ts_json_next(v))
        if (!ts_json_is_string(v))
            return ts_fail(err, TS_FORMAT, "%s: its metadata %s is not a string; the file is damaged", s->path,
                           ts_json_key(v));
    return TS_OK;
}

static int by_offset(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->start != y->start) return x->start < y->start ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1; /* empty tensors come before the one that begins there */
    return strcmp(x->t.name, y->t.name);
}

static int by_name(const void *a, const void *b, void *s) {
    const entry *e = ((const ts_safetensors *)s)->entries;
    return strcmp(e[*(const size_t *)a].t.name, e[*(const size_t *)b].t.name);
}

/* Offsets follow each other from 0 to the end of the file; data pointers are set. */
static ts_status place(ts_safetensors *s, size_t header, ts_err *err) {
    size_t at = 0, room = s->map.len - 8 - header;
    if (s->n) qsort(s->entries, s->n, sizeof *s->entries, by_offset);
    for (size_t i = 0; i < s->n; i++) {
        entry *e = &s->entries[i];
        if (e->start != at) return damaged(s, err, e->t.name, "does not begin where the one before it ends");
        if (e->end > room)
            return ts_fail(err, TS_FORMAT,
                           "%s: the file ends before tensor %s (%zu bytes are there); it is cut short: fetch it again",
                           s->path, e->t.name, s->map.len);
        e->t.data = s->map.data + 8 + header + e->start;
        at = e->end;
    }
    if (at != room)
        return ts_fail(err, TS_FORMAT,
                       "%s: %zu bytes behind the last tensor belong to nothing; the file is damaged: fetch it again",
                       s->path, room - at);
    return TS_OK;
}

static ts_status index_names(ts_safetensors *s, ts_err *err) {
    s->by_name = ts_malloc(s->n * sizeof *s->by_name);
    for (size_t i = 0; i < s->n; i++)
        s->by_name[i] = i;
    if (s->n) qsort_r(s->by_name, s->n, sizeof *s->by_name, by_name, s);
    for (size_t i = 1; i < s->n; i++)
        if (by_name(&s->by_name[i - 1], &s->by_name[i], s) == 0)
            return damaged(s, err, s->entries[s->by_name[i]].t.name, "is there twice");
    return TS_OK;
}

/* Length of the header, and its text checked as far as that goes without parsing. */
static ts_status check_frame(const ts_safetensors *s, size_t *header, ts_err *err) {
    uint64_t n;
    if (s->map.len < 8)
        return ts_fail(err, TS_FORMAT, "%s is no safetensors file: it has only %zu bytes", s->path, s->map.len);
    memcpy(&n, s->map.data, 8);
    if (n > TS_SAFETENSORS_MAX_HEADER)
        return ts_fail(err, TS_FORMAT, "%s is no safetensors file: its header would have %llu bytes (%d at most)",
                       s->path, (unsigned long long)n, TS_SAFETENSORS_MAX_HEADER);
    if (n > s->map.len - 8)
        return ts_fail(err, TS_FORMAT,
                       "%s: the file ends inside its header (%zu bytes are there); it is cut short: fetch it again",
                       s->path, s->map.len);
    const char *text = (const char *)s->map.data + 8;
    if (n == 0 || *text != '{')
        return ts_fail(err, TS_FORMAT, "%s is no safetensors file: its header is no JSON object", s->path);
    if (ts_utf8_check(text, n) != n)
        return ts_fail(err, TS_FORMAT, "%s: the header is not valid UTF-8; the file is damaged", s->path);
    *header = n;
    return TS_OK;
}

static ts_status read_header(ts_safetensors *s, const ts_json *root, ts_err *err) {
    if (!ts_json_is_object(root))
        return ts_fail(err, TS_FORMAT, "%s is no safetensors file: its header is no JSON object", s->path);
    bool metadata = false;
    s->entries = ts_calloc(ts_json_count(root), sizeof *s->entries);
    for (const ts_json *v = ts_json_child(root); v; v = ts_json_next(v)) {
        if (strcmp(ts_json_key(v), "__metadata__") != 0) {
            TS_TRY(read_entry(s, &s->entries[s->n++], v, err));
            continue;
        }
        if (metadata || !ts_json_is_object(v))
            return ts_fail(err, TS_FORMAT, "%s: its __metadata__ is not one object; the file is damaged", s->path);
        metadata = true;
        TS_TRY(check_metadata(s, v, err));
    }
    return TS_OK;
}

ts_status ts_safetensors_open(ts_safetensors **out, const char *path, ts_err *err) {
    *out = NULL;
    ts_safetensors *s = ts_calloc(1, sizeof *s);
    ts_json *root = NULL;
    size_t header = 0;
    ts_status status;
    TS_GOTO(ts_map_open(&s->map, path, err));
    s->path = ts_arena_strndup(&s->arena, path, strlen(path));
    TS_GOTO(check_frame(s, &header, err));
    root = ts_json_parse((const char *)s->map.data + 8, header, err);
    if (!root) {
        status = ts_wrap(err, TS_FORMAT, "%s: the header is damaged", path);
        goto out;
    }
    TS_GOTO(read_header(s, root, err));
    TS_GOTO(place(s, header, err));
    TS_GOTO(index_names(s, err));
out:
    ts_json_free(root);
    if (status == TS_OK)
        *out = s;
    else
        ts_safetensors_close(s);
    return status;
}

void ts_safetensors_close(ts_safetensors *s) {
    if (!s) return;
    ts_map_close(&s->map);
    free(s->entries);
    free(s->by_name);
    ts_arena_release(&s->arena);
    free(s);
}

size_t ts_safetensors_count(const ts_safetensors *s) {
    return s->n;
}

const ts_tensor *ts_safetensors_at(const ts_safetensors *s, size_t i) {
    ts_assert(i < s->n);
    return &s->entries[i].t;
}

const char *ts_safetensors_type_name(const ts_safetensors *s, size_t i) {
    ts_assert(i < s->n);
    return s->entries[i].type->name;
}

size_t ts_safetensors_bytes(const ts_safetensors *s) {
    return s->map.len;
}

const ts_tensor *ts_safetensors_find(const ts_safetensors *s, const char *name) {
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const ts_tensor *t = &s->entries[s->by_name[mid]].t;
        int order = strcmp(name, t->name);
        if (order == 0) return t;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

/* The library's order: larger types first, then by name. */
static int by_type_and_name(const void *a, const void *b) {
    const ts_tensor *x = *(const ts_tensor *const *)a, *y = *(const ts_tensor *const *)b;
    if ((x->type == TS_F32) != (y->type == TS_F32)) return x->type == TS_F32 ? -1 : 1;
    /* among types of one size the library goes by its list of types, in which BF16 is the larger */
    if (x->type != y->type) return x->type == TS_BF16 ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void put_header(ts_buf *out, const ts_tensor *const *sorted, size_t n) {
    size_t at = 0;
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_key(&w, "__metadata__");
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "format", "pt");
    ts_jw_end_obj(&w);
    for (size_t i = 0; i < n; i++) {
        static const char *const names[] = {[TS_F32] = "F32", [TS_F16] = "F16", [TS_BF16] = "BF16"};
        ts_jw_key(&w, sorted[i]->name);
        ts_jw_obj(&w);
        ts_jw_kstr(&w, "dtype", names[sorted[i]->type]);
        ts_jw_key(&w, "shape");
        ts_jw_arr(&w);
        for (int d = 0; d < sorted[i]->n_dims; d++)
            ts_jw_int(&w, (int64_t)sorted[i]->dims[d]);
        ts_jw_end_arr(&w);
        ts_jw_key(&w, "data_offsets");
        ts_jw_arr(&w);
        ts_jw_int(&w, (int64_t)at);
        ts_jw_int(&w, (int64_t)(at += sorted[i]->bytes));
        ts_jw_end_arr(&w);
        ts_jw_end_obj(&w);
    }
    ts_jw_end_obj(&w);
    while (out->len % 8)
        ts_buf_putc(out, ' ');
}

ts_status ts_safetensors_write_with(const char *path, const ts_tensor *tensors, size_t n, ts_safetensors_fill *fill,
                                    void *ctx, ts_err *err) {
    const ts_tensor **sorted = ts_malloc(n * sizeof *sorted);
    ts_buf header = TS_BUF_INIT;
    ts_out f;
    for (size_t i = 0; i < n; i++) {
        ts_assert(tensors[i].type <= TS_BF16);
        sorted[i] = &tensors[i];
    }
    if (n) qsort(sorted, n, sizeof *sorted, by_type_and_name);
    put_header(&header, sorted, n);
    ts_status status = ts_out_open(&f, path, err);
    if (status == TS_OK) {
        uint64_t length = header.len;
        ts_out_add(&f, &length, sizeof length);
        ts_out_add(&f, header.data, header.len);
        for (size_t i = 0; i < n && status == TS_OK && !f.failed; i++)
            status = fill(ctx, (size_t)(sorted[i] - tensors), &f, err);
        if (status == TS_OK)
            status = ts_out_commit(&f, err);
        else
            ts_out_drop(&f);
    }
    ts_buf_release(&header);
    free(sorted);
    return status;
}

static ts_status add_data(void *ctx, size_t i, ts_out *f, ts_err *err) {
    const ts_tensor *tensors = ctx;
    (void)err;
    ts_out_add(f, tensors[i].data, tensors[i].bytes);
    return TS_OK;
}

ts_status ts_safetensors_write(const char *path, const ts_tensor *tensors, size_t n, ts_err *err) {
    return ts_safetensors_write_with(path, tensors, n, add_data, (void *)(uintptr_t)tensors, err);
}
