#include "dataset/snapshot.h"

#include "core/base/file.h"
#include "core/base/hash.h"
#include "dataset/rowjson.h"
#include "dataset/split.h"
#include "dataset/view.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 256 };

struct chosen {
    ts_store *st;
    ts_view *view;
    bool *held_out; /* per row of the view */
    size_t n, n_valid;
    ts_progress *progress;
};

/* Calls fn for every row of the view, in order. */
static ts_status each_row(struct chosen *c, ts_status (*fn)(void *ctx, size_t i, const ts_row *row, ts_err *err),
                          void *ctx, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_row *rows = ts_malloc(PIECE * sizeof *rows);
    ts_status status = TS_OK;
    for (size_t i = 0; i < c->n && status == TS_OK; i += PIECE) {
        size_t m = TS_MIN((size_t)PIECE, c->n - i);
        ts_arena_reset(&arena);
        status = ts_rows_read(c->st, ts_view_ids(c->view) + i, m, rows, &arena, err);
        for (size_t k = 0; k < m && status == TS_OK; k++)
            if (!rows[k].gone) status = fn(ctx, i + k, &rows[k], err);
        ts_progress_set(c->progress, (int64_t)(i + m), (int64_t)c->n);
        if (status == TS_OK && ts_cancelled(c->progress))
            status = ts_fail(err, TS_CANCELLED, "stopped; nothing was written");
    }
    free(rows);
    ts_arena_release(&arena);
    return status;
}

/* ---- the files ---- */

struct writing {
    struct chosen *c;
    ts_out files[2]; /* train, valid */
    char hash[33];   /* chained: of the hash so far and the next line */
    ts_buf line;
};

static ts_status write_row(void *ctx, size_t i, const ts_row *row, ts_err *err) {
    struct writing *w = ctx;
    (void)err;
    bool held_out = w->c->held_out[i];
    ts_buf_reset(&w->line);
    ts_buf_printf(&w->line, "%s%c", w->hash, held_out ? 'v' : 't');
    size_t start = w->line.len;
    ts_row_messages_line(row, &w->line);
    ts_buf_putc(&w->line, '\n');
    ts_out_add(&w->files[held_out], w->line.data + start, w->line.len - start);
    ts_hash128_hex(w->line.data, w->line.len, w->hash);
    return TS_OK;
}

static ts_status write_files(struct chosen *c, const char *train_path, const char *valid_path, char hash[33],
                             ts_err *err) {
    struct writing w = {.c = c, .files = {{.fd = -1}, {.fd = -1}}};
    ts_status status;
    ts_progress_what(c->progress, "writing");
    TS_GOTO(ts_out_open(&w.files[0], train_path, err));
    if (valid_path) TS_GOTO(ts_out_open(&w.files[1], valid_path, err));
    TS_GOTO(each_row(c, write_row, &w, err));
    TS_GOTO(ts_out_commit(&w.files[0], err));
    if (valid_path) TS_GOTO(ts_out_commit(&w.files[1], err));
    memcpy(hash, w.hash, sizeof w.hash);
out:
    ts_out_drop(&w.files[0]);
    ts_out_drop(&w.files[1]);
    ts_buf_release(&w.line);
    return status;
}

ts_status ts_dataset_write_messages(ts_store *st, const ts_snapshot_options *options, const char *train_path,
                                    const char *valid_path, ts_progress *progress, ts_snapshot *out, ts_err *err) {
    struct chosen c = {.st = st, .progress = progress};
    ts_snapshot_options o = *options;
    const char *where = o.where ? o.where : "status=accepted";
    ts_status status;
    *out = (ts_snapshot){0};
    if (!valid_path) o.valid_fraction = 0;
    TS_GOTO(ts_view_new(&c.view, st, where, NULL, NULL, NULL, err));
    c.n = ts_view_count(c.view);
    if (!c.n) {
        status =
            ts_fail(err, TS_NOT_FOUND,
                    "no row of %s answers \"%s\", so there is nothing to train on; accept rows, or choose others with "
                    "--where",
                    ts_store_folder(st), where);
        goto out;
    }
    c.held_out = ts_calloc(c.n, sizeof *c.held_out);
    TS_GOTO(
        ts_split_rows(st, ts_view_ids(c.view), c.n, o.valid_fraction, o.seed, progress, c.held_out, &c.n_valid, err));
    TS_GOTO(write_files(&c, train_path, valid_path, out->data_hash, err));
    if (!o.preview) TS_GOTO(ts_split_keep(st, ts_view_ids(c.view), c.n, c.held_out, err));
    out->valid = (int64_t)c.n_valid;
    out->train = (int64_t)(c.n - c.n_valid);
out:
    free(c.held_out);
    ts_view_free(c.view);
    return status;
}
