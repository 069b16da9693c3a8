#include "dataset/scan.h"

#include "core/work/pool.h"
#include "dataset/db.h"

#include <pthread.h>
#include <sqlite3.h>

/* Every page is read once: a cache that stays in the processor's own takes a quarter less time than one of 16 MB. */
#define SMALL_CACHE "PRAGMA cache_size=-500"

enum { LEAST_IDS = 2048 }; /* of a piece; opening a connection takes as long as reading about so many rows */

struct scanning {
    const ts_scan *scan;
    ts_progress *progress;
    const char *folder;
    int64_t version, first, last, step;
    size_t pieces;
    atomic_size_t next, done;
    atomic_bool failed;
    pthread_mutex_t lock; /* guards the two below */
    ts_status status;
    ts_err err;
};

struct helper {
    struct scanning *sc;
    int worker;
    pthread_t thread;
};

static void fail(struct scanning *sc, ts_status status, const ts_err *err) {
    pthread_mutex_lock(&sc->lock);
    if (sc->status == TS_OK) {
        sc->status = status;
        sc->err = *err;
    }
    pthread_mutex_unlock(&sc->lock);
    atomic_store(&sc->failed, true);
}

static ts_status scan_piece(struct scanning *sc, ts_store *st, sqlite3_stmt *s, int worker, size_t piece, ts_err *err) {
    int64_t first = sc->first + (int64_t)piece * sc->step, last = TS_MIN(first + sc->step, sc->last);
    int rc;
    sqlite3_bind_int64(s, sqlite3_bind_parameter_index(s, ":first"), first);
    sqlite3_bind_int64(s, sqlite3_bind_parameter_index(s, ":last"), last);
    ts_status status = TS_OK;
    while (status == TS_OK && (rc = sqlite3_step(s)) != SQLITE_DONE)
        status = rc == SQLITE_ROW ? sc->scan->row(sc->scan->ctx, worker, piece, s, err)
                                  : ts_db_fail(st, "read the rows", err);
    sqlite3_reset(s);
    return status;
}

/* Takes pieces until there are none. */
static void work(struct scanning *sc, ts_store *st, int worker) {
    const ts_progress *before = st->watched;
    sqlite3_stmt *s = NULL;
    ts_err err;
    ts_status status = TS_OK;
    if (sc->progress) st->watched = sc->progress;
    sqlite3_exec(st->db, SMALL_CACHE, NULL, NULL, NULL);
    if (sqlite3_prepare_v2(st->db, sc->scan->sql, -1, &s, NULL) != SQLITE_OK)
        status = ts_db_fail(st, "read the rows", &err);
    if (status == TS_OK && sc->scan->bind) status = sc->scan->bind(sc->scan->ctx, worker, s, &err);
    for (size_t piece;
         status == TS_OK && !atomic_load(&sc->failed) && (piece = atomic_fetch_add(&sc->next, 1)) < sc->pieces;) {
        status = scan_piece(sc, st, s, worker, piece, &err);
        ts_progress_set(sc->progress, (int64_t)(atomic_fetch_add(&sc->done, 1) + 1) * sc->step, sc->last - sc->first);
        if (status == TS_OK && ts_cancelled(sc->progress)) status = ts_fail(&err, TS_CANCELLED, "stopped");
    }
    if (status != TS_OK) fail(sc, status, &err);
    sqlite3_finalize(s);
    sqlite3_exec(st->db, TS_CACHE, NULL, NULL, NULL);
    st->watched = before;
}

/* A thread that cannot help (no connection, another state of the workspace) leaves the pieces to the others. */
static void *help(void *arg) {
    struct helper *h = arg;
    ts_store *st = NULL;
    ts_err err;
    if (ts_store_open(&st, h->sc->folder, "reader", &err) != TS_OK) return NULL;
    if (ts_db_run(st, "BEGIN", "read the rows", &err) == TS_OK && ts_store_version(st) == h->sc->version)
        work(h->sc, st, h->worker);
    ts_store_close(st);
    return NULL;
}

ts_status ts_scan_rows(ts_store *st, const ts_scan *scan, ts_progress *progress, ts_err *err) {
    struct scanning sc = {.scan = scan, .progress = progress, .folder = st->folder};
    struct helper helpers[TS_SCAN_WORKERS];
    int n = 0, wanted = TS_MIN(ts_pool_threads(), (int)TS_SCAN_WORKERS);
    bool own = sqlite3_get_autocommit(st->db);
    if (own) TS_TRY(ts_db_run(st, "BEGIN", "read the rows", err));
    sc.version = ts_store_version(st);
    sc.first = ts_db_int(st, "SELECT min(id) FROM example", 0);
    sc.last = ts_db_int(st, "SELECT max(id) FROM example", -1) + 1;
    sc.step = TS_MAX((sc.last - sc.first + TS_SCAN_PIECES - 1) / TS_SCAN_PIECES, (int64_t)LEAST_IDS);
    sc.pieces = sc.last > sc.first ? (size_t)((sc.last - sc.first + sc.step - 1) / sc.step) : 0;
    pthread_mutex_init(&sc.lock, NULL);
    while (own && n + 1 < wanted && (size_t)n * 4 + 4 < sc.pieces) {
        helpers[n] = (struct helper){.sc = &sc, .worker = n + 1};
        if (pthread_create(&helpers[n].thread, NULL, help, &helpers[n]) != 0) break; /* fewer threads, same rows */
        n++;
    }
    work(&sc, st, 0);
    for (int i = 0; i < n; i++)
        pthread_join(helpers[i].thread, NULL);
    pthread_mutex_destroy(&sc.lock);
    if (own) sqlite3_exec(st->db, "COMMIT", NULL, NULL, NULL);
    if (sc.status != TS_OK && err) *err = sc.err;
    return sc.status;
}
