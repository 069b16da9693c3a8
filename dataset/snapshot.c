#include "dataset/snapshot.h"

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/rand.h"
#include "dataset/db.h"
#include "dataset/dedupe.h"
#include "dataset/rowjson.h"
#include "dataset/view.h"

#include <math.h>
#include <sqlite3.h>
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

/* ---- the split ---- */

struct prompts {
    ts_arena arena;
    ts_text *texts;
};

static ts_status take_prompt(void *ctx, size_t i, const ts_row *row, ts_err *err) {
    struct prompts *p = ctx;
    ts_buf text = TS_BUF_INIT;
    (void)err;
    ts_dup_text(row, TS_DUP_PROMPT, &text);
    p->texts[i] = (ts_text){ts_arena_strndup(&p->arena, ts_buf_str(&text), text.len), text.len};
    ts_buf_release(&text);
    return TS_OK;
}

/* Rows that must stay together, with their place in the draw. */
struct bundle {
    uint64_t draw;
    size_t rows, number;
};

static int by_draw(const void *a, const void *b) {
    const struct bundle *x = a, *y = b;
    if (x->draw != y->draw) return x->draw < y->draw ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* Holds out whole bundles in the order of a draw by seed and first row id, as many as fit into the share. */
static void hold_out(struct chosen *c, const ts_near *near, const ts_snapshot_options *o) {
    size_t wanted = (size_t)llround(o->valid_fraction * (double)c->n), n = 0;
    size_t *bundle_of = ts_malloc(c->n * sizeof *bundle_of);
    size_t *of_group = ts_calloc(near->groups + 1, sizeof *of_group);
    struct bundle *bundles = ts_malloc(c->n * sizeof *bundles);
    bool *out = ts_calloc(c->n, sizeof *out);
    wanted = TS_MIN(TS_MAX(wanted, 1), c->n - 1);
    for (size_t i = 0; i < c->n; i++) {
        uint32_t g = near->group[i];
        if (g && of_group[g]) {
            bundle_of[i] = of_group[g] - 1;
        } else {
            bundles[n] = (struct bundle){ts_rand_mix(o->seed, (uint64_t)ts_view_id(c->view, i)), 0, n};
            bundle_of[i] = n++;
            if (g) of_group[g] = n;
        }
        bundles[bundle_of[i]].rows++;
    }
    qsort(bundles, n, sizeof *bundles, by_draw);
    for (size_t b = 0; b < n && c->n_valid < wanted; b++) {
        if (c->n_valid + bundles[b].rows > wanted) continue;
        out[bundles[b].number] = true;
        c->n_valid += bundles[b].rows;
    }
    for (size_t i = 0; i < c->n; i++)
        c->held_out[i] = out[bundle_of[i]];
    free(out);
    free(bundles);
    free(of_group);
    free(bundle_of);
}

static ts_status split(struct chosen *c, const ts_snapshot_options *o, ts_err *err) {
    struct prompts p = {.arena = TS_ARENA_INIT};
    ts_near_options near_options = TS_NEAR_DEFAULTS;
    ts_near near;
    c->held_out = ts_calloc(TS_MAX(c->n, 1), sizeof *c->held_out);
    if (!(o->valid_fraction > 0) || c->n < 2) return TS_OK;
    p.texts = ts_calloc(c->n, sizeof *p.texts);
    for (size_t i = 0; i < c->n; i++)
        p.texts[i].s = "";
    ts_status status = each_row(c, take_prompt, &p, err);
    if (status == TS_OK) status = ts_near_find(p.texts, c->n, &near_options, c->progress, &near, err);
    if (status == TS_OK) {
        hold_out(c, &near, o);
        ts_near_release(&near);
    }
    ts_arena_release(&p.arena);
    free(p.texts);
    return status;
}

static ts_status store_split(struct chosen *c, ts_err *err) {
    ts_status status;
    if (ts_store_read_only(c->st)) return TS_OK;
    TS_TRY(ts_db_begin(c->st, "note the split", err));
    TS_GOTO(ts_db_run(c->st, "UPDATE metric SET split=NULL WHERE split IS NOT NULL", "note the split", err));
    for (size_t i = 0; i < c->n; i++) {
        sqlite3_stmt *s = ts_db_stmt(c->st,
                                     "INSERT INTO metric(id,split) VALUES(?1,?2)"
                                     " ON CONFLICT(id) DO UPDATE SET split=?2",
                                     err);
        if (s) sqlite3_bind_int64(s, 1, ts_view_id(c->view, i));
        if (s) sqlite3_bind_int(s, 2, c->held_out[i]);
        TS_GOTO(ts_db_step(c->st, s, "note the split", err));
    }
    status = ts_db_commit(c->st, "note the split", err);
out:
    if (status != TS_OK) ts_db_rollback(c->st);
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
    TS_GOTO(split(&c, &o, err));
    TS_GOTO(write_files(&c, train_path, valid_path, out->data_hash, err));
    if (!o.preview) TS_GOTO(store_split(&c, err));
    out->valid = (int64_t)c.n_valid;
    out->train = (int64_t)(c.n - c.n_valid);
out:
    free(c.held_out);
    ts_view_free(c.view);
    return status;
}
