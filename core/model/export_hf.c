/* The Hugging Face folder: weights in one file or in parts, then what stands beside them. */
#include "core/model/export_private.h"

#include "core/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SHARD ((uint64_t)5000000000) /* transformers' max_shard_size before version 5: "5GB" */

/* A weights file: parts [first, first + n). */
typedef struct shard {
    char name[64];
    size_t first, n;
} shard;
typedef struct shards {
    shard *items;
    size_t n, cap;
} shards;

/* As transformers cuts: in order, a new file when the next tensor would make this one too large. */
static void cut(const ts_exporting *e, shards *out) {
    uint64_t max = e->x->max_shard ? e->x->max_shard : DEFAULT_SHARD, size = 0;
    for (size_t i = 0; i < e->parts.n; i++) {
        uint64_t bytes = ts_part_bytes(&e->parts.items[i]);
        if (out->n == 0 || (size > 0 && size + bytes > max)) {
            shard s = {.first = i};
            TS_PUSH(out->items, out->n, out->cap, s);
            size = 0;
        }
        size += bytes;
        out->items[out->n - 1].n++;
    }
    for (size_t i = 0; i < out->n; i++) {
        if (out->n == 1)
            snprintf(out->items[i].name, sizeof out->items[i].name, "model.safetensors");
        else
            snprintf(out->items[i].name, sizeof out->items[i].name, "model-%05zu-of-%05zu.safetensors", i + 1, out->n);
    }
}

struct filling {
    ts_exporting *e;
    const shard *s;
    ts_out *f;
};

static ts_status add_bytes(void *ctx, const void *data, size_t n, ts_err *err) {
    const struct filling *fill = ctx;
    (void)err; /* a disk that is full is said at the end, by the file's name */
    ts_out_add(fill->f, data, n);
    return TS_OK;
}

static ts_status fill_tensor(void *ctx, size_t i, ts_out *f, ts_err *err) {
    struct filling *fill = ctx;
    fill->f = f;
    return ts_export_part(fill->e, &fill->e->parts.items[fill->s->first + i], false, add_bytes, fill, err);
}

static ts_status write_shard(ts_exporting *e, const shard *s, ts_err *err) {
    ts_tensor *list = ts_calloc(s->n, sizeof *list);
    struct filling fill = {.e = e, .s = s};
    for (size_t i = 0; i < s->n; i++) {
        const ts_part *p = &e->parts.items[s->first + i];
        bool vector = p->role == TS_ROLE_VECTOR;
        list[i] = (ts_tensor){.name = p->hf, .type = p->type, .n_dims = vector ? 1 : 2, .bytes = ts_part_bytes(p)};
        list[i].dims[0] = vector ? p->cols : p->rows;
        list[i].dims[1] = p->cols;
    }
    char *path = ts_path_join(e->temp, s->name);
    ts_status status = ts_safetensors_write_with(path, list, s->n, fill_tensor, &fill, err);
    if (status == TS_OK) e->report->bytes += (uint64_t)ts_file_size(path);
    e->report->files++;
    free(path);
    free(list);
    return status;
}

static int by_hf(const void *a, const void *b) {
    return strcmp(((const ts_part *)a)->hf, ((const ts_part *)b)->hf);
}

/* weight_map in the order of the names, as transformers writes it. */
static ts_status write_index(const ts_exporting *e, const shards *s, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    ts_part *sorted = ts_malloc(e->parts.n * sizeof *sorted);
    uint64_t total = 0;
    memcpy(sorted, e->parts.items, e->parts.n * sizeof *sorted);
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->items[i].n; k++)
            sorted[s->items[i].first + k].layer = i; /* its file, from here on */
    qsort(sorted, e->parts.n, sizeof *sorted, by_hf);
    for (size_t i = 0; i < e->parts.n; i++)
        total += ts_part_bytes(&sorted[i]);
    ts_buf_printf(&text, "{\n  \"metadata\": {\n    \"total_size\": %llu\n  },\n  \"weight_map\": {\n",
                  (unsigned long long)total);
    for (size_t i = 0; i < e->parts.n; i++)
        ts_buf_printf(&text, "    \"%s\": \"%s\"%s\n", sorted[i].hf, s->items[sorted[i].layer].name,
                      i + 1 < e->parts.n ? "," : "");
    ts_buf_puts(&text, "  }\n}\n");
    char *path = ts_path_join(e->temp, "model.safetensors.index.json");
    ts_status status = ts_file_write(path, text.data, text.len, err);
    free(path);
    free(sorted);
    ts_buf_release(&text);
    return status;
}

static ts_status write_all(ts_exporting *e, ts_err *err) {
    shards s = {0};
    ts_status status = TS_OK;
    cut(e, &s);
    TS_GOTO(ts_export_config(e, e->temp, err));
    TS_GOTO(ts_export_tokenizer(e->x, e->temp, err));
    for (size_t i = 0; i < s.n; i++)
        TS_GOTO(write_shard(e, &s.items[i], err));
    if (s.n > 1) TS_GOTO(write_index(e, &s, err));
    TS_GOTO(ts_dir_sync(e->temp, err));
out:
    free(s.items);
    return status;
}

char *ts_export_temp(const char *out) {
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        n--;
    return ts_printf("%.*s.tmp%ld", (int)n, out, (long)getpid());
}

ts_status ts_export_name(const char *temp, const char *out, ts_err *err) {
    char *parent = ts_path_dir(out);
    ts_status status = TS_OK;
    if (rename(temp, out) != 0) /* on Linux it replaces an empty folder */
        status = ts_fail_errno(err, "cannot give the finished folder the name %s", out);
    if (status == TS_OK) status = ts_dir_sync(parent, err);
    free(parent);
    return status;
}

ts_status ts_export_folder(const ts_export *x, ts_export_report *report, ts_err *err) {
    ts_exporting e = {.x = x, .report = report};
    char list[TS_FILE_TYPE_LIST];
    ts_status status;
    *report = (ts_export_report){0};
    if (ts_file_type_in_blocks(x->type))
        return ts_fail(err, TS_INVALID, "a Hugging Face folder cannot hold %s; take one of %s, or write a .gguf file",
                       x->type->name, ts_file_type_names(true, list));
    TS_TRY(ts_export_check_out(x->out, true, err));
    ts_export_parts(x, &e.parts);
    for (size_t i = 0; i < e.parts.n; i++)
        e.total += (int64_t)ts_part_bytes(&e.parts.items[i]);
    e.temp = ts_export_temp(x->out);
    TS_GOTO(ts_mkdirs(e.temp, err));
    TS_GOTO(write_all(&e, err));
    TS_GOTO(ts_export_name(e.temp, x->out, err));
    ts_export_finish_report(&e);
out:
    if (status != TS_OK && e.temp && ts_remove_tree(e.temp, NULL) != TS_OK && err)
        ts_wrap(err, status, "(%s could not be removed)", e.temp);
    free(e.temp);
    free(e.parts.items);
    return status;
}
