#include "dataset/summary.h"

#include "core/base/file.h"
#include "dataset/db.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lengths {
    int64_t *items;
    size_t n, cap;
};

struct tallies {
    ts_tally *items;
    size_t n, cap;
};

struct reading {
    ts_summary *out;
    struct lengths tokens[TS_SUMMARIES], prompt[TS_SUMMARIES], answer[TS_SUMMARIES];
    struct tallies tags, origins;
};

static int by_length(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static ts_spread spread_of(struct lengths *l) {
    ts_spread s = {.rows = (int64_t)l->n};
    if (!l->n) return s;
    qsort(l->items, l->n, sizeof *l->items, by_length);
    for (size_t i = 0; i < l->n; i++)
        s.sum += l->items[i];
    s.min = l->items[0];
    s.p5 = l->items[(l->n - 1) * 5 / 100];
    s.p50 = l->items[(l->n - 1) / 2];
    s.p95 = l->items[(l->n - 1) * 95 / 100];
    s.max = l->items[l->n - 1];
    return s;
}

static void add_length(struct lengths of[TS_SUMMARIES], ts_row_status status, int64_t length) {
    if (status == TS_REJECTED) return;
    TS_PUSH(of[TS_OF_KEPT].items, of[TS_OF_KEPT].n, of[TS_OF_KEPT].cap, length);
    if (status == TS_ACCEPTED) TS_PUSH(of[TS_OF_ACCEPTED].items, of[TS_OF_ACCEPTED].n, of[TS_OF_ACCEPTED].cap, length);
}

/* There are few different names; they are met in runs, so the last one is looked at first. */
static void tally(struct tallies *t, const char *name, size_t n, ts_row_status status) {
    char cut[sizeof t->items->name];
    n = TS_MIN(n, sizeof cut - 1);
    memcpy(cut, name, n);
    cut[n] = 0;
    size_t at = t->n;
    while (at > 0 && strcmp(t->items[at - 1].name, cut) != 0)
        at--;
    if (at == 0) {
        TS_PUSH(t->items, t->n, t->cap, (ts_tally){0});
        at = t->n;
        memcpy(t->items[at - 1].name, cut, n + 1);
    }
    t->items[at - 1].rows++;
    t->items[at - 1].accepted += status == TS_ACCEPTED;
    t->items[at - 1].rejected += status == TS_REJECTED;
}

static void tally_tags(struct tallies *t, const char *tags, ts_row_status status) {
    for (; tags && *tags; tags += strspn(tags, " ")) {
        size_t n = strcspn(tags, " ");
        tally(t, tags, n, status);
        tags += n;
    }
}

static int by_rows(const void *a, const void *b) {
    const ts_tally *x = a, *y = b;
    if (x->rows != y->rows) return x->rows < y->rows ? 1 : -1;
    return strcmp(x->name, y->name);
}

static void hand_over(struct tallies *t, ts_tally out[TS_TALLIES], size_t *n, size_t *more) {
    if (t->n) qsort(t->items, t->n, sizeof *t->items, by_rows);
    *n = TS_MIN(t->n, (size_t)TS_TALLIES);
    *more = t->n - *n;
    if (*n) memcpy(out, t->items, *n * sizeof *out);
}

/* Columns: status, tags, rating, shape, prompt and answer in characters, has system, has input, tokens, path. */
static void take_row(struct reading *r, sqlite3_stmt *s) {
    ts_row_status status = (ts_row_status)sqlite3_column_int(s, 0);
    const char *path = (const char *)sqlite3_column_text(s, 9);
    const char *name = path ? ts_path_base(path) : "typed";
    tally_tags(&r->tags, (const char *)sqlite3_column_text(s, 1), status);
    tally(&r->origins, name, strlen(name), status);
    r->out->rated += sqlite3_column_int(s, 2) > 0;
    r->out->conversations += sqlite3_column_int(s, 3) == TS_MESSAGES;
    r->out->with_system += sqlite3_column_int(s, 6);
    r->out->with_input += sqlite3_column_int(s, 7);
    add_length(r->prompt, status, sqlite3_column_int64(s, 4));
    add_length(r->answer, status, sqlite3_column_int64(s, 5));
    if (sqlite3_column_type(s, 8) != SQLITE_NULL) add_length(r->tokens, status, sqlite3_column_int64(s, 8));
}

static ts_status scan(struct reading *r, ts_store *st, ts_progress *progress, ts_err *err) {
    sqlite3_stmt *s =
        ts_db_stmt(st,
                   "SELECT e.status,e.tags,e.rating,e.shape,length(b.instruction)+length(b.input),length(b.output),"
                   "b.system IS NOT NULL,b.input<>'',m.tokens,t.path FROM example e JOIN body b ON b.id=e.id"
                   " LEFT JOIN metric m ON m.id=e.id LEFT JOIN batch t ON t.id=e.batch WHERE e.batch NOT IN " TS_HIDDEN,
                   err);
    ts_status status = TS_OK;
    int64_t n = 0;
    int rc = SQLITE_DONE;
    if (!s) return err ? err->code : TS_IO;
    while (status == TS_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        take_row(r, s);
        if (++n % 1024) continue;
        ts_progress_set(progress, n, r->out->counts.rows);
        if (ts_cancelled(progress)) status = ts_fail(err, TS_CANCELLED, "stopped");
    }
    sqlite3_reset(s);
    if (status == TS_OK && rc != SQLITE_DONE) status = ts_db_fail(st, "count the rows", err);
    return status;
}

static void read_target(ts_store *st, ts_summary *out) {
    ts_buf text = TS_BUF_INIT;
    if (ts_setting_get(st, "target", &text)) out->target = TS_MAX(strtoll(text.data, NULL, 10), 0LL);
    ts_buf_release(&text);
}

ts_status ts_summary_read(ts_store *st, ts_summary *out, ts_progress *progress, ts_err *err) {
    struct reading r = {.out = out};
    *out = (ts_summary){0};
    ts_status status = ts_store_counts(st, &out->counts, err);
    if (status == TS_OK) status = scan(&r, st, progress, err);
    for (int i = 0; i < TS_SUMMARIES; i++) {
        out->tokens[i] = spread_of(&r.tokens[i]);
        out->prompt[i] = spread_of(&r.prompt[i]);
        out->answer[i] = spread_of(&r.answer[i]);
        free(r.tokens[i].items);
        free(r.prompt[i].items);
        free(r.answer[i].items);
    }
    hand_over(&r.tags, out->tags, &out->n_tags, &out->more_tags);
    hand_over(&r.origins, out->origins, &out->n_origins, &out->more_origins);
    free(r.tags.items);
    free(r.origins.items);
    read_target(st, out);
    return status;
}
