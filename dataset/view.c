#include "dataset/view.h"

#include "dataset/db.h"
#include "dataset/query.h"
#include "dataset/scan.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct ts_view {
    int64_t *ids;
    size_t n, cap;
    bool by_id; /* rising ids: found by halving */
};

static ts_status order_sql(const char *sort, ts_buf *sql, bool *by_id, ts_err *err) {
    bool falling = sort && *sort == '-';
    const char *name = sort && *sort ? sort + falling : "id";
    *by_id = strcmp(name, "id") == 0 && !falling;
    ts_buf_puts(sql, " ORDER BY ");
    size_t start = sql->len;
    if (!ts_query_order(name, strlen(name), sql))
        return ts_fail(err, TS_INVALID,
                       "rows cannot be put in order by \"%.40s\": there is no such field (score, rating, id, "
                       "status, tokens, words, instruction ... or the name of a score)",
                       name);
    if (strcmp(sql->data + start, "e.id") == 0)
        ts_buf_puts(sql, falling ? " DESC" : "");
    else
        ts_buf_puts(sql, falling ? " DESC NULLS LAST, e.id" : " NULLS LAST, e.id");
    return TS_OK;
}

static ts_status collect(ts_view *v, ts_store *st, const ts_query *q, const char *sql, ts_progress *progress,
                         ts_err *err) {
    sqlite3_stmt *s = NULL;
    const ts_progress *before = st->watched;
    ts_status status = TS_OK;
    int rc;
    if (sqlite3_prepare_v2(st->db, sql, -1, &s, NULL) != SQLITE_OK) return ts_db_fail(st, "search the rows", err);
    ts_query_bind(q, s);
    if (progress) st->watched = progress;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        TS_PUSH(v->ids, v->n, v->cap, sqlite3_column_int64(s, 0));
        if (v->n % 4096 == 0) ts_progress_set(progress, (int64_t)v->n, 0);
    }
    if (rc != SQLITE_DONE) status = ts_db_fail(st, "search the rows", err);
    sqlite3_finalize(s);
    st->watched = before;
    return status;
}

/* ---- in the order of the ids: on all cores ---- */

struct collecting {
    ts_query *queries[TS_SCAN_WORKERS]; /* a query's patterns serve one thread */
    struct {
        int64_t *ids;
        size_t n, cap;
    } pieces[TS_SCAN_PIECES];
};

static ts_status bind_query(void *ctx, int worker, sqlite3_stmt *s, ts_err *err) {
    struct collecting *c = ctx;
    (void)err;
    if (!c->queries[worker]) c->queries[worker] = ts_query_twin(c->queries[0]);
    ts_query_bind(c->queries[worker], s);
    return TS_OK;
}

static ts_status take_id(void *ctx, int worker, size_t piece, sqlite3_stmt *s, ts_err *err) {
    struct collecting *c = ctx;
    (void)worker;
    (void)err;
    TS_PUSH(c->pieces[piece].ids, c->pieces[piece].n, c->pieces[piece].cap, sqlite3_column_int64(s, 0));
    return TS_OK;
}

static ts_status collect_by_id(ts_view *v, ts_store *st, const ts_query *q, const char *sql, ts_progress *progress,
                               ts_err *err) {
    struct collecting *c = ts_calloc(1, sizeof *c);
    const ts_scan scan = {.sql = sql, .bind = bind_query, .row = take_id, .ctx = c};
    c->queries[0] = (ts_query *)(uintptr_t)q; /* the caller's, for the caller's thread */
    ts_status status = ts_scan_rows(st, &scan, progress, err);
    for (size_t i = 0; i < TS_SCAN_PIECES; i++)
        v->n += c->pieces[i].n;
    v->ids = ts_malloc(TS_MAX(v->n, 1) * sizeof *v->ids);
    for (size_t i = 0, at = 0; i < TS_SCAN_PIECES; at += c->pieces[i++].n) {
        if (c->pieces[i].n) memcpy(v->ids + at, c->pieces[i].ids, c->pieces[i].n * sizeof *v->ids);
        free(c->pieces[i].ids);
    }
    for (size_t i = 1; i < TS_SCAN_WORKERS; i++)
        ts_query_free(c->queries[i]);
    free(c);
    return status;
}

/* All rows, where none is hidden and no number is missing: counting takes a tenth of the time of looking at each. */
static bool take_all(ts_view *v, ts_store *st) {
    if (ts_db_int(st, "SELECT EXISTS(SELECT 1 FROM batch WHERE state<>0)", 1)) return false;
    int64_t first = ts_db_int(st, "SELECT min(id) FROM example", 0),
            last = ts_db_int(st, "SELECT max(id) FROM example", -1);
    int64_t n = ts_db_int(st, "SELECT count(*) FROM example", -1);
    if (n < 0 || last - first + 1 != n) return false;
    v->ids = ts_malloc((size_t)TS_MAX(n, 1) * sizeof *v->ids);
    for (v->n = 0; v->n < (size_t)n; v->n++)
        v->ids[v->n] = first + (int64_t)v->n;
    return true;
}

/* In one transaction, so that the numbers belong together. */
static ts_status take_all_at_once(ts_view *v, ts_store *st, bool *done, ts_err *err) {
    bool own = sqlite3_get_autocommit(st->db);
    if (own) TS_TRY(ts_db_run(st, "BEGIN", "read the rows", err));
    *done = take_all(v, st);
    if (own) sqlite3_exec(st->db, "COMMIT", NULL, NULL, NULL);
    return TS_OK;
}

/* A query of texts alone reads nothing else where no row is hidden; in another order only of the rows that it finds. */
static void put_sql(ts_buf *sql, const ts_query *q, bool by_id, const char *order) {
    bool texts = ts_query_texts_only(q);
    if (texts && by_id)
        ts_buf_printf(sql,
                      "SELECT b.id FROM body b WHERE %s AND (NOT EXISTS(SELECT 1 FROM batch WHERE state<>0) OR"
                      " EXISTS(SELECT 1 FROM example e WHERE e.id=b.id AND e.batch NOT IN " TS_HIDDEN "))"
                      " AND b.id>=:first AND b.id<:last ORDER BY b.id",
                      ts_query_sql(q));
    else
        ts_buf_printf(sql,
                      "SELECT e.id FROM %s LEFT JOIN metric m ON m.id=e.id WHERE e.batch NOT IN " TS_HIDDEN " AND %s%s",
                      texts ? "body b CROSS JOIN example e ON e.id=b.id" : "example e LEFT JOIN body b ON b.id=e.id",
                      ts_query_sql(q), by_id ? " AND e.id>=:first AND e.id<:last ORDER BY e.id" : order);
}

ts_status ts_view_new(ts_view **out, ts_store *st, const char *where, const char *sort, ts_progress *progress,
                      size_t *at, ts_err *err) {
    ts_view *v = ts_calloc(1, sizeof *v);
    ts_query *q = NULL;
    ts_buf sql = TS_BUF_INIT, order = TS_BUF_INIT;
    ts_status status;
    *out = NULL;
    TS_GOTO(ts_query_parse_in(&q, st, where, at, err));
    TS_GOTO(order_sql(sort, &order, &v->by_id, err));
    put_sql(&sql, q, v->by_id, ts_buf_str(&order));
    bool done = false;
    if (v->by_id && strcmp(ts_query_sql(q), "1") == 0) TS_GOTO(take_all_at_once(v, st, &done, err));
    if (!done) {
        status =
            v->by_id ? collect_by_id(v, st, q, sql.data, progress, err) : collect(v, st, q, sql.data, progress, err);
        if (status != TS_OK) goto out;
    }
    *out = v;
out:
    if (status != TS_OK) ts_view_free(v);
    ts_query_free(q);
    ts_buf_release(&sql);
    ts_buf_release(&order);
    return status;
}

void ts_view_free(ts_view *v) {
    if (!v) return;
    free(v->ids);
    free(v);
}

size_t ts_view_count(const ts_view *v) {
    return v ? v->n : 0;
}

int64_t ts_view_id(const ts_view *v, size_t i) {
    ts_assert(v && i < v->n);
    return v->ids[i];
}

const int64_t *ts_view_ids(const ts_view *v) {
    return v->ids;
}

size_t ts_view_find(const ts_view *v, int64_t id) {
    size_t low = 0, high = ts_view_count(v);
    if (!v || !v->by_id) {
        for (size_t i = 0; i < high; i++)
            if (v->ids[i] == id) return i;
        return high;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (v->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < v->n && v->ids[low] == id ? low : v->n;
}

const char *const *ts_view_fields(void) {
    return ts_query_fields();
}
